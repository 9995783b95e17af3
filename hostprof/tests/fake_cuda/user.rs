//! A program that loads a library in the place of CUDA's driver, calls it and counts what it did.
//!
//! `fake_cuda_user STEP...`, each of them one of
//!
//!     open:PATH           load a library; the steps that follow use it
//!     launch:N            N of cuLaunchKernel; ptsz:N, graph:N of its kin
//!     sync:N:SPIN:SLEEP   N of cuStreamSynchronize, each of which spins and then sleeps so many nanoseconds
//!     nested:N:SPIN       N of cuEventSynchronize, each of which calls another that spins
//!     copy:N:BYTES        N of cuMemcpyHtoD; copy2d:N:WIDTH, fill:N:WORDS, alloc:N:BYTES, free:N
//!     wait                go on when a line comes
//!     threads:N           the steps that follow on N threads at once
//!
//! A line of JSON for each step tells its calls and, by the program's own clock, their time; the first one its pid.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the functions have these types in the library that tests load"
)]

use std::{
    env,
    ffi::{CString, c_void},
    io::{self, BufRead as _, Write as _},
    mem, ptr, thread,
    time::Instant,
};

/// A library that is loaded.
#[derive(Clone, Copy)]
struct Library(*mut c_void);

// SAFETY: a handle that any thread may use.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    fn open(path: &str) -> Self {
        let path = CString::new(path).expect("a path");
        // SAFETY: a path that ends with a zero.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "load {}", path.to_string_lossy());
        Self(library)
    }

    /// A function of it.
    ///
    /// # Safety
    ///
    /// `F` must be the function's type.
    unsafe fn function<F>(self, name: &str) -> F {
        let name = CString::new(name).expect("a name");
        // SAFETY: by the caller; a function pointer is as large as a pointer.
        unsafe {
            let function = libc::dlsym(self.0, name.as_ptr());
            assert!(!function.is_null(), "find {}", name.to_string_lossy());
            mem::transmute_copy(&function)
        }
    }
}

type Two = extern "C" fn(*mut c_void, *mut c_void) -> i32;
type One = extern "C" fn(*mut c_void) -> i32;
type Three = extern "C" fn(u64, *mut c_void, u64) -> i32;
type Set = extern "C" fn(u64, u64);
type Alloc = extern "C" fn(*mut u64, u64) -> i32;

/// Does a step; yields the calls made and their time.
fn step(library: Library, words: &[&str]) -> (u64, u64) {
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<u64>().expect("a number"));
    let (calls, size) = (number(1), number(2));
    // SAFETY: the types are those of the library's functions, here and below, as far as their arguments are used.
    let two = |name: &str| unsafe { library.function::<Two>(name) };
    let one = |name: &str| unsafe { library.function::<One>(name) };
    let three = |name: &str| unsafe { library.function::<Three>(name) };
    let set = unsafe { library.function::<Set>("fake_set") };
    let alloc = unsafe { library.function::<Alloc>("cuMemAlloc_v2") };
    set(size, number(3));
    let null = ptr::null_mut();
    let mut copy = [0_u64; 16];
    (copy[14], copy[15]) = (size, 3);
    let repeat = |call: &dyn Fn() -> i32| {
        let mut ns = 0;
        for _ in 0..calls {
            let begun = Instant::now();
            call();
            ns += begun.elapsed().as_nanos() as u64;
        }
        (calls, ns)
    };
    let repeat_two = |function: Two| repeat(&|| function(null, null));
    let repeat_one = |function: One, argument: *mut c_void| repeat(&|| function(argument));
    let repeat_three = |function: Three| repeat(&|| function(0, null, size));
    match words[0] {
        "launch" => repeat_two(two("cuLaunchKernel")),
        "ptsz" => repeat_two(two("cuLaunchKernel_ptsz")),
        "graph" => repeat_two(two("cuGraphLaunch")),
        "sync" => repeat_one(one("cuStreamSynchronize"), null),
        "nested" => repeat_one(one("cuEventSynchronize"), null),
        "copy" => repeat_three(three("cuMemcpyHtoD_v2")),
        "copy2d" => repeat_one(one("cuMemcpy2D_v2"), copy.as_mut_ptr().cast()),
        "fill" => repeat_three(three("cuMemsetD32_v2")),
        "alloc" => repeat(&|| alloc(ptr::null_mut(), size)),
        "free" => repeat_one(one("cuMemFree_v2"), null),
        other => panic!("no step {other}"),
    }
}

fn main() {
    let mut library = None;
    let mut threads = 1_u64;
    println!("{{\"pid\":{}}}", std::process::id());
    for text in env::args().skip(1) {
        let words: Vec<&str> = text.split(':').collect();
        match words[0] {
            "open" => library = Some(Library::open(&text["open:".len()..])),
            "wait" => {
                let _ = io::stdin().lock().read_line(&mut String::new());
            }
            "threads" => threads = words[1].parse().expect("a number"),
            _ => {
                let library = library.expect("a library first");
                let each = thread::scope(|scope| {
                    // On the main thread where there is one alone.
                    if threads == 1 {
                        return vec![step(library, &words)];
                    }
                    let handles: Vec<_> =
                        (0..threads).map(|_| scope.spawn(|| step(library, &words))).collect();
                    handles.into_iter().map(|handle| handle.join().expect("a thread")).collect()
                });
                let calls: u64 = each.iter().map(|(calls, _)| calls).sum();
                let ns: u64 = each.iter().map(|(_, ns)| ns).sum();
                println!("{{\"step\":\"{text}\",\"calls\":{calls},\"ns\":{ns}}}");
            }
        }
        io::stdout().flush().expect("write a line");
    }
}
