//! System calls of recorded threads, by the tracepoints of single calls: `syscalls:sys_enter_ioctl` and its
//! kin, each of which user space attaches this one pair of programs to.
//!
//! While one is attached, every system call of the machine takes the kernel's slow path, but only the calls
//! attached to run a program. Answering 0 ends the event there: nothing is sampled.
//! <https://github.com/torvalds/linux/blob/v6.18/kernel/trace/trace_syscalls.c#L1210>

use aya_ebpf::{macros::tracepoint, programs::TracePointContext};

use crate::span;

#[tracepoint]
pub fn sys_enter_named(_: TracePointContext) -> u32 {
    span::enter();
    0
}

#[tracepoint]
pub fn sys_exit_named(_: TracePointContext) -> u32 {
    span::exit(None);
    0
}
