//! System calls of recorded threads, by the tracepoints of single calls: `syscalls:sys_enter_ioctl` and its
//! kin, each of which user space attaches this one pair of programs to.
//!
//! While one is attached, every system call of the machine takes the kernel's slow path, but only the calls
//! attached to run a program. They answer 1: 0 would end the event there, and other tracers would see none of
//! these calls.
//! <https://github.com/torvalds/linux/blob/v6.18/kernel/trace/trace_syscalls.c#L1210>

use core::ffi::c_void;

use crate::span;

/// The answer that lets the event go on.
const GO_ON: u32 = 1;

/// Declared by hand, as is the other: aya's attribute would answer 0.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tracepoint")]
pub extern "C" fn sys_enter_named(_: *mut c_void) -> u32 {
    span::enter();
    GO_ON
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "tracepoint")]
pub extern "C" fn sys_exit_named(_: *mut c_void) -> u32 {
    span::exit(None);
    GO_ON
}
