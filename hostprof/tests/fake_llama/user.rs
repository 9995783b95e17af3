//! A program that calls what stands in for llama.cpp, and counts what it did.
//!
//! `fake_llama_user STEP...`, each of them one of
//!
//!     open:PATH                       load a library, whose functions the steps that follow call; before, its own
//!     decode:N:TOKENS:SEQUENCES:SPIN  N of llama_decode, of tokens dealt out to sequences, each of which spins so many
//!                                     nanoseconds; encode:..., process:... of its kin, process_encode:... for an encoder
//!     one:N:TOKENS                    N of llama_decode whose batch names no sequences
//!     odd:N                           N of llama_process whose batch is laid out in another way
//!     tokenise:N:TOKENS               N of llama_tokenize, which return a number; sample:N:0:0:SPIN of llama_sampler_sample
//!     wait                            go on when a line comes
//!
//! A line of JSON for each step tells its calls and, by the program's own clock, their time; the first one its pid.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the functions have these types in the library that tests load"
)]

#[path = "lib.rs"]
mod own;

use std::{
    env,
    ffi::{CString, c_char, c_void},
    io::{self, BufRead as _, Write as _},
    mem, ptr,
    time::Instant,
};

use own::Batch;

/// The functions that are called.
#[derive(Clone, Copy)]
struct Functions {
    set: extern "C" fn(u64, i32),
    decode: extern "C" fn(*mut c_void, Batch) -> i32,
    encode: extern "C" fn(*mut c_void, Batch) -> i32,
    process: extern "C" fn(*mut c_void, i32, *const c_void) -> i32,
    tokenize: extern "C" fn(*const c_void, *const c_char, i32) -> i32,
    sample: extern "C" fn(*mut c_void, *mut c_void, i32) -> i32,
}

const OWN: Functions = Functions {
    set: own::fake_set,
    decode: own::llama_decode,
    encode: own::llama_encode,
    process: own::llama_process,
    tokenize: own::llama_tokenize,
    sample: own::llama_sampler_sample,
};

impl Functions {
    fn open(path: &str) -> Self {
        let path = CString::new(path).expect("a path");
        // SAFETY: a path that ends with a zero.
        let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "load {}", path.to_string_lossy());
        let find = |name: &str| {
            let name = CString::new(name).expect("a name");
            let function = unsafe { libc::dlsym(library, name.as_ptr()) };
            assert!(!function.is_null(), "find {}", name.to_string_lossy());
            function
        };
        // SAFETY: the types are those of the library's functions; a function pointer is as large as a pointer.
        unsafe {
            Self {
                set: mem::transmute::<*mut c_void, extern "C" fn(u64, i32)>(find("fake_set")),
                decode: mem::transmute::<*mut c_void, extern "C" fn(*mut c_void, Batch) -> i32>(find(
                    "llama_decode",
                )),
                encode: mem::transmute::<*mut c_void, extern "C" fn(*mut c_void, Batch) -> i32>(find(
                    "llama_encode",
                )),
                process: mem::transmute::<*mut c_void, extern "C" fn(*mut c_void, i32, *const c_void) -> i32>(
                    find("llama_process"),
                ),
                tokenize: mem::transmute::<
                    *mut c_void,
                    extern "C" fn(*const c_void, *const c_char, i32) -> i32,
                >(find("llama_tokenize")),
                sample: mem::transmute::<*mut c_void, extern "C" fn(*mut c_void, *mut c_void, i32) -> i32>(
                    find("llama_sampler_sample"),
                ),
            }
        }
    }
}

/// A token of `struct llama_batch_ext`.
#[derive(Clone)]
#[repr(C)]
struct Token {
    before: [u64; 7],
    /// The first node of its sequences.
    sequences: *const Node,
    after: [u64; 6],
}

#[repr(C)]
struct Node {
    next: *const Self,
    sequence: i32,
}

/// `struct llama_batch_ext`.
#[repr(C)]
struct Extended {
    tokens_max: u64,
    between: [u64; 3],
    sequences_max: i32,
    more: [u64; 4],
    begin: *const Token,
    end: *const Token,
}

/// Does a step; yields the calls made and their time.
fn step(functions: Functions, words: &[&str]) -> (u64, u64) {
    let number = |at: usize| words.get(at).map_or(0, |word| word.parse::<u64>().expect("a number"));
    let (calls, tokens, sequences, spin_ns) = (number(1), number(2), number(3).max(1), number(4));
    let result = if words[0] == "tokenise" { tokens as i32 } else { 0 };
    (functions.set)(spin_ns, result);
    let of: Vec<i32> = (0..tokens).map(|token| (token % sequences) as i32).collect();
    let lists: Vec<*const i32> = of.iter().map(ptr::from_ref).collect();
    let batch = Batch {
        tokens: tokens as i32,
        token: ptr::null(),
        embd: ptr::null(),
        pos: ptr::null(),
        sequences: ptr::null(),
        sequence: if words[0] == "one" { ptr::null() } else { lists.as_ptr() },
        logits: ptr::null(),
    };
    let nodes: Vec<Node> = of.iter().map(|&sequence| Node { next: ptr::null(), sequence }).collect();
    let all: Vec<Token> =
        nodes.iter().map(|node| Token { before: [0; 7], sequences: node, after: [0; 6] }).collect();
    let ends = all.as_ptr_range();
    let extended = Extended {
        // No batch has more tokens than it has room for.
        tokens_max: if words[0] == "odd" { 0 } else { 2048 },
        between: [0; 3],
        sequences_max: 256,
        more: [0; 4],
        begin: ends.start,
        end: ends.end,
    };
    let (null, extended) = (ptr::null_mut(), ptr::from_ref(&extended).cast::<c_void>());
    let begun = Instant::now();
    for _ in 0..calls {
        match words[0] {
            "decode" | "one" => (functions.decode)(null, batch),
            "encode" => (functions.encode)(null, batch),
            "process" | "odd" => (functions.process)(null, 1, extended),
            "process_encode" => (functions.process)(null, 0, extended),
            "tokenise" => (functions.tokenize)(null, ptr::null(), 0),
            "sample" => (functions.sample)(null, null, 0),
            other => panic!("no step {other}"),
        };
    }
    (calls, begun.elapsed().as_nanos() as u64)
}

fn main() {
    let mut functions = OWN;
    println!("{{\"pid\":{}}}", std::process::id());
    for text in env::args().skip(1) {
        let words: Vec<&str> = text.split(':').collect();
        match words[0] {
            "open" => functions = Functions::open(&text["open:".len()..]),
            "wait" => {
                let _ = io::stdin().lock().read_line(&mut String::new());
            }
            _ => {
                let (calls, ns) = step(functions, &words);
                println!("{{\"step\":\"{text}\",\"calls\":{calls},\"ns\":{ns}}}");
            }
        }
        io::stdout().flush().expect("write a line");
    }
}
