//! A thread becomes runnable: the end of its wait, the start of its run-queue latency.
//!
//! `TP_PROTO(struct task_struct *p)`
//! <https://github.com/torvalds/linux/blob/v6.18/include/trace/events/sched.h#L141>. It runs under the
//! lock of the thread's run queue, on that CPU where the wakeup came from another: who woke it is told
//! by `sched_waking`.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use hostprof_common::{episode::flag, slot::presence};

use crate::{
    emit::{Cpu, count},
    target,
    task::Task,
};

#[btf_tracepoint(function = "sched_wakeup")]
pub fn sched_wakeup(ctx: BtfTracePointContext) -> i32 {
    try_sched_wakeup(&ctx, false);
    0
}

/// A new thread's first: its maker is the waker.
#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn sched_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    try_sched_wakeup(&ctx, true);
    0
}

#[inline(always)]
fn try_sched_wakeup(ctx: &BtfTracePointContext, new: bool) {
    let Some(cpu) = Cpu::this() else { return };
    let task = Task::new(ctx.arg(0));
    let Some(slot) = target::slot_of(task) else {
        count!(cpu, wakeups_filtered);
        return;
    };
    // SAFETY: from a successful lookup; the run queue's lock keeps switches of this thread away.
    let slot = unsafe { &mut *slot };
    let off_cpu = slot.presence == presence::OFF_CPU && slot.flags & flag::BLOCKED != 0;
    if !off_cpu && slot.presence != presence::UNKNOWN {
        count!(cpu, wakeups_early);
        return;
    }
    slot.wake_ns = unsafe { bpf_ktime_get_ns() };
    slot.lag_ns = task.run_queue().lag(slot.wake_ns);
    if new {
        slot.wake_flags = flag::WAKE_NEW;
        slot.waker_tid = Task::current().tid();
    } else if slot.wake_flags & flag::WAKE_NEW != 0 {
        // Where no program tells wakers, the last word is still of its making.
        slot.wake_flags = 0;
    }
}
