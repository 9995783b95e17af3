//! The kernel calls that the patterns and the workloads share. The system call is the point here, so
//! they are made by number: a C library is free to use another one (`select` as `pselect6`).

pub mod clock;
pub mod futex;
pub mod mapping;
pub mod usage;

use std::io;

/// Makes a system call by its number, with up to six arguments.
///
/// # Safety
///
/// The arguments must be what the kernel expects of this call: pointers to live memory of the right
/// size, and no effect on memory or descriptors that Rust believes to own.
pub unsafe fn syscall(number: libc::c_long, arguments: &[usize]) -> io::Result<usize> {
    let a = |i: usize| arguments.get(i).copied().unwrap_or(0);
    // SAFETY: the caller vouches for the arguments; unused ones are not looked at by the kernel.
    let result = unsafe { libc::syscall(number, a(0), a(1), a(2), a(3), a(4), a(5)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}

/// The calling thread's id.
pub fn gettid() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::gettid() as u32 }
}
