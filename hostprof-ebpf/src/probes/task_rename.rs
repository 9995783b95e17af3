//! A recorded thread has another name.
//!
//! `TP_PROTO(struct task_struct *task, const char *comm)`
//! <https://github.com/torvalds/linux/blob/v6.18/include/trace/events/task.h#L38>. It comes before the
//! name is changed.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel_str_bytes},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use hostprof_common::{COMM_BYTES, RecordKind, thread::Rename};

use crate::{emit::Cpu, target, task::Task};

#[btf_tracepoint(function = "task_rename")]
pub fn task_rename(ctx: BtfTracePointContext) -> i32 {
    let _ = try_task_rename(&ctx);
    0
}

#[inline(always)]
fn try_task_rename(ctx: &BtfTracePointContext) -> Option<()> {
    let slot = target::slot_of(Task::new(ctx.arg(0)))?;
    let mut comm = [0; COMM_BYTES];
    // SAFETY: a probing read of a terminated string.
    unsafe { bpf_probe_read_kernel_str_bytes(ctx.arg(1), &mut comm) }.ok()?;
    let (utid, at_ns) = unsafe { ((*slot).utid, bpf_ktime_get_ns()) };
    Cpu::this()?.thread(Rename { kind: RecordKind::Rename as u16, _pad: 0, utid, at_ns, comm });
    Some(())
}
