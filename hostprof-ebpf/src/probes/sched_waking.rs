//! Who wakes a thread.
//!
//! `TP_PROTO(struct task_struct *p)`
//! <https://github.com/torvalds/linux/blob/v6.18/include/trace/events/sched.h#L134>. It runs where the
//! waker runs, before the thread's run queue is locked: a thread may still be on its way off the CPU, so
//! what is noted here is read at its switch-in and never cleared.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use hostprof_common::episode::flag;

use crate::{
    target,
    task::{Task, in_interrupt},
};

#[btf_tracepoint(function = "sched_waking")]
pub fn sched_waking(ctx: BtfTracePointContext) -> i32 {
    try_sched_waking(&ctx);
    0
}

#[inline(always)]
fn try_sched_waking(ctx: &BtfTracePointContext) {
    let Some(slot) = target::slot_of(Task::new(ctx.arg(0))) else { return };
    let current = Task::current().tid();
    // The idle task wakes nobody: what runs on top of it does.
    let by_task = current != 0 && !in_interrupt();
    // SAFETY: from a successful lookup.
    unsafe {
        (*slot).waker_tid = if by_task { current } else { 0 };
        (*slot).wake_flags = if by_task { flag::WAKE_TASK } else { flag::WAKE_IRQ };
    }
}
