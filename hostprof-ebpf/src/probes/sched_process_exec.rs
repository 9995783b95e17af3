//! A recorded process runs another program.
//!
//! `TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`
//! <https://github.com/torvalds/linux/blob/v6.18/include/trace/events/sched.h#L420>. Where a thread that
//! is not the leader called exec, it has by now taken the leader's tid, which was that of another thread
//! until a moment ago: the recording tells the two apart by ending the one and beginning another.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_probe_read_kernel_str_bytes},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use hostprof_common::{
    RecordKind,
    slot::presence,
    thread::{Begin, EXEC_PATH_BYTES, End, Exec, cause},
};

use crate::{
    emit::Cpu,
    maps::{SLOT_BY_START, SLOTS, StartKey, THREADS, TIDS, layout},
    shed, target,
    task::Task,
};

#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let _ = try_sched_process_exec(&ctx);
    0
}

#[inline(always)]
fn try_sched_process_exec(ctx: &BtfTracePointContext) -> Option<()> {
    if shed::ended() {
        return None;
    }
    let task = Task::new(ctx.arg(0));
    let old_tid: u32 = ctx.arg(1);
    let cpu = Cpu::this()?;
    let now = unsafe { bpf_ktime_get_ns() };
    if old_tid != task.tid() {
        take_over(cpu, task, old_tid, now)?;
    }
    let slot = target::slot_of(task)?;
    // SAFETY: from a successful lookup.
    let utid = unsafe { (*slot).utid };
    let bprm: *const u8 = ctx.arg(2);
    // SAFETY: the offset is `filename`'s, by BTF.
    let path: *const u8 =
        unsafe { core::ptr::read_volatile(bprm.add(layout!(bprm_filename) as usize).cast()) };
    let Some(mut entry) = THREADS.reserve_untyped::<Exec>(0) else {
        crate::emit::count!(cpu, threads_full);
        return None;
    };
    // SAFETY: every field is written before the record is submitted.
    unsafe {
        let record = entry.as_mut_ptr();
        (*record).kind = RecordKind::Exec as u16;
        (*record)._pad = 0;
        (*record).utid = utid;
        (*record).at_ns = now;
        (*record).comm = target::comm(task);
        (*record).path = [0; EXEC_PATH_BYTES];
        let _ = bpf_probe_read_kernel_str_bytes(path, &mut (*record).path);
    }
    entry.submit(u64::from(aya_ebpf::bindings::BPF_RB_NO_WAKEUP));
    crate::emit::count!(cpu, threads);
    Some(())
}

/// The thread goes on under its process's id: the recording's thread of the old tid ends, another begins.
/// It has taken the leader's start time with the tid, so only the old tid still leads to its slot.
#[inline(always)]
fn take_over(cpu: Cpu, task: Task, old_tid: u32, now: u64) -> Option<()> {
    let (tid, tgid, start_ns) = (task.tid(), task.tgid(), task.start_ns());
    let old = TIDS.get_ptr_mut(old_tid)?;
    // SAFETY: from successful lookups, here and below.
    let index = unsafe { *old };
    if index == 0 {
        return None;
    }
    let slot = unsafe { &mut *SLOTS.get_ptr_mut(index)? };
    let utid = target::next_utid()?;
    shed::leave(cpu, slot, now);
    cpu.thread(End {
        kind: RecordKind::ThreadEnd as u16,
        cause: cause::EXEC,
        utid: slot.utid,
        at_ns: now,
        cpu: cpu.id,
        flags: 0,
        counters: slot.last,
    });
    cpu.thread(Begin {
        kind: RecordKind::ThreadBegin as u16,
        cause: cause::EXEC,
        utid,
        at_ns: now,
        start_ns,
        tid,
        tgid,
        ns_tid: task.ns_tid(),
        parent_utid: slot.utid,
        comm: target::comm(task),
    });
    slot.utid = utid;
    slot.tid = tid;
    slot.start_ns = start_ns;
    slot.presence = presence::ON_CPU;
    // Its counters go on from what they are: the next switch-out gives the first of the new thread.
    slot.last.at_ns = 0;
    let _ = SLOT_BY_START.insert(StartKey { start_ns, tgid: u64::from(tgid) }, index, 0);
    let leader = TIDS.get_ptr_mut(tid)?;
    unsafe {
        // The old leader may have its last switch still before it, and that under the old tid.
        let before = *leader;
        *leader = index;
        *old = if before == target::LEADER_GONE { 0 } else { before };
    }
    Some(())
}
