//! System calls of recorded threads, by the tracepoints of every call.
//!
//! `TP_PROTO(struct pt_regs *regs, long id)` and `TP_PROTO(struct pt_regs *regs, long ret)`
//! <https://github.com/torvalds/linux/blob/v6.18/include/trace/events/syscalls.h#L18>. While one is attached,
//! every system call of the machine takes the kernel's slow path. Since 6.13 they run with preemption
//! disabled by the caller, before by the tracepoint.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};

use crate::span;

#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(_: BtfTracePointContext) -> i32 {
    span::enter();
    0
}

#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(_: BtfTracePointContext) -> i32 {
    span::exit(None);
    0
}
