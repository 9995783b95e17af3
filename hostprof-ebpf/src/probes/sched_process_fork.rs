//! A recorded thread makes a thread or a process: it is recorded before it first runs.
//!
//! `TP_PROTO(struct task_struct *parent, struct task_struct *child)`
//! <https://github.com/torvalds/linux/blob/v6.18/include/trace/events/sched.h#L389>

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use aya_log_ebpf::warn;

use crate::{emit::Cpu, target, task::Task};

#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    let _ = try_sched_process_fork(&ctx);
    0
}

#[inline(always)]
fn try_sched_process_fork(ctx: &BtfTracePointContext) -> Option<()> {
    let parent = target::slot_of(Task::new(ctx.arg(0)))?;
    // SAFETY: from a successful lookup.
    let parent_utid = unsafe { (*parent).utid };
    let now = unsafe { bpf_ktime_get_ns() };
    let child = Task::new(ctx.arg(1));
    if !target::begin_fork(Cpu::this()?, child, parent_utid, now) {
        warn!(ctx, "thread {} is not recorded: no free slot", child.tid());
    }
    Some(())
}
