//! A context switch: one thread leaves the CPU, another comes back.
//!
//! `TP_PROTO(bool preempt, struct task_struct *prev, struct task_struct *next, unsigned int prev_state)`
//! <https://github.com/torvalds/linux/blob/v6.18/include/trace/events/sched.h#L220>; before 5.18 without
//! `prev_state`. It runs under the run queue's lock with interrupts off.

use core::arch::asm;

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::btf_tracepoint, programs::BtfTracePointContext};
use hostprof_common::{
    RecordKind,
    episode::{Blocked, Head, Runnable, flag},
    slot::{Slot, presence},
    stats::HISTOGRAM_BUCKETS,
    thread::First,
};

use crate::{
    emit::{Cpu, count},
    maps::layout,
    shed::{self, Price},
    span, target,
    task::{RunQueue, Task, bit, clamped},
};

/// `TASK_DEAD`, the state of a thread's last switch, on every kernel hostprof supports (5.15 and later).
const TASK_DEAD: u32 = 0x80;

#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    let _ = try_sched_switch(&ctx);
    0
}

#[inline(always)]
fn try_sched_switch(ctx: &BtfTracePointContext) -> Option<()> {
    let prev = Task::new(ctx.arg(1));
    let next = Task::new(ctx.arg(2));
    let cpu = Cpu::this()?;
    count!(cpu, switches);
    if shed::ended() {
        return None;
    }
    // Of both: the one that leaves is still on this CPU.
    let rq = next.run_queue();
    let queued = rq.queued_for(next);
    let waited = clamped(queued);
    if layout!(host_runqueue) != 0 {
        host_runqueue(cpu, next, waited);
    }

    let prev_slot = target::slot_of(prev);
    let next_slot = target::slot_of(next);
    if prev_slot.is_none() && next_slot.is_none() {
        shed::spend(cpu, Price::Filtered);
        count!(cpu, switches_filtered);
        return None;
    }
    shed::spend(cpu, Price::Switch);
    let now = unsafe { bpf_ktime_get_ns() };
    if let Some(slot) = prev_slot {
        let preempt: u64 = ctx.arg(0);
        let state: u32 = if layout!(switch_has_prev_state) != 0 { ctx.arg(3) } else { prev.state() };
        switch_out(cpu, slot, prev, rq, preempt, state, now);
    }
    if let Some(slot) = next_slot {
        // SAFETY: from a successful lookup.
        let slot_ref = unsafe { &mut *slot };
        let lag = rq.lag(now);
        slot_ref.wait_late_ns = wait_late(slot_ref, next, now, queued, lag);
        slot_ref.lag_ns = lag;
        slot_ref.ahead_ns = rq.clock_ahead();
        let waited = untold_wait(slot_ref, next, now, queued);
        switch_in(cpu, slot, now, waited, 0);
    }
    Some(())
}

#[inline(always)]
fn switch_out(cpu: Cpu, slot: *mut Slot, prev: Task, rq: RunQueue, preempt: u64, state: u32, now: u64) {
    // SAFETY: from a successful lookup; the run queue's lock keeps other switches of this thread away.
    let slot_ref = unsafe { &mut *slot };
    let mut counters = prev.counters(now);
    counters.stolen_ns = slot_ref.last.stolen_ns;
    if slot_ref.presence == presence::ON_CPU {
        counters.stolen_ns += rq.clock_ahead() - slot_ref.ahead_ns;
    }
    let lag = rq.lag(now);
    if slot_ref.presence != presence::ON_CPU {
        let arrived = now - rq.arrived_ago(prev);
        // Of a thread that was adopted, and for which no switch was seen since, the kernel tells whether it came later.
        if slot_ref.presence == presence::OFF_CPU || arrived > slot_ref.out_ns && arrived != now {
            // It leaves and was not seen to come.
            count!(cpu, switch_ins_untold);
            let waited = counters.run_delay_ns - slot_ref.last.run_delay_ns;
            switch_in(cpu, slot, span::arrival(slot_ref, arrived), waited, flag::UNTOLD);
            slot_ref.lag_ns = lag;
            slot_ref.wait_late_ns = 0;
        }
    }
    shed::settle(cpu, slot_ref, now);
    let late = lag.wrapping_sub(slot_ref.lag_ns);
    counters.late_on_cpu_ns = slot_ref.last.late_on_cpu_ns.wrapping_add(late);
    counters.late_runqueue_ns = slot_ref.last.late_runqueue_ns.wrapping_add(slot_ref.wait_late_ns);
    // With a signal pending a task stays runnable although `state` says it meant to block.
    let blocked = preempt & 1 == 0 && state != 0 && prev.state() != 0;
    let met_before = slot_ref.last.at_ns != 0;
    let voluntary = if met_before { counters.nvcsw != slot_ref.last.nvcsw } else { blocked };

    let mut flags = prev.flags() | bit(preempt, 1, flag::PREEMPT);
    if voluntary {
        flags |= flag::VOLUNTARY;
    }
    if blocked {
        flags |= flag::BLOCKED;
    }
    if !met_before {
        shed::first(slot_ref, now);
        cpu.thread(First { kind: RecordKind::ThreadFirst as u16, _pad: 0, utid: slot_ref.utid, counters });
    }
    if state & TASK_DEAD != 0 {
        target::end(cpu, prev, slot, flags, counters);
        return;
    }
    let syscall = prev.syscall(flags & flag::COMPAT != 0);
    slot_ref.lag_ns = lag;
    slot_ref.migrations = prev.migrations();
    slot_ref.out_ns = now;
    slot_ref.arg0 = syscall.arg0;
    slot_ref.arg1 = syscall.arg1;
    slot_ref.task_state = state;
    slot_ref.syscall = syscall.nr;
    slot_ref.cpu_out = cpu.id as u16;
    slot_ref.flags = flags;
    slot_ref.rdev = if blocked { prev.ioctl_device(&syscall, flags & flag::COMPAT != 0) } else { 0 };
    slot_ref.presence = presence::OFF_CPU;
    slot_ref.last = counters;
}

/// `waited` is the kernel's account of the wait for a CPU: for a wakeup that was not traced.
#[inline(always)]
fn switch_in(cpu: Cpu, slot: *mut Slot, now: u64, waited: u64, extra_flags: u16) {
    // SAFETY: as in `switch_out`.
    let slot = unsafe { &mut *slot };
    let was = slot.presence;
    slot.presence = presence::ON_CPU;
    if was == presence::OFF_CPU {
        slot.off_ns += now.saturating_sub(slot.out_ns);
    }
    let mut head = Head {
        kind: RecordKind::Runnable as u16,
        cpu_in: cpu.id as u16,
        utid: slot.utid,
        in_ns: now,
        out_ns: slot.out_ns,
        seq: (slot.last.nvcsw.wrapping_add(slot.last.nivcsw) as u32).wrapping_sub(shed::switches(slot)),
        min_flt: slot.last.min_flt as u32,
        maj_flt: slot.last.maj_flt as u32,
        task_state: slot.task_state,
        syscall: slot.syscall,
        cpu_out: slot.cpu_out,
        flags: slot.flags | extra_flags,
    };
    let woken = slot.wake_ns != 0;
    if was == presence::UNKNOWN {
        // Met while off the CPU: why, user space has read from /proc.
        head.out_ns = 0;
        head.syscall = -1;
        head.flags = flag::OPEN_START | if woken { flag::BLOCKED } else { 0 };
    }
    if head.flags & flag::BLOCKED == 0 {
        if shed::counts(slot, &head) {
            shed::hold(slot, Blocked { head, wake_ns: 0, arg0: 0, arg1: 0, waker_tid: 0, rdev: 0 });
            return;
        }
        shed::spend(cpu, Price::Record);
        cpu.episode(Runnable { head });
        return;
    }
    head.kind = RecordKind::Blocked as u16;
    if woken {
        head.flags |= slot.wake_flags;
    }
    let episode = Blocked {
        head,
        wake_ns: if woken { slot.wake_ns } else { now.saturating_sub(waited) },
        arg0: slot.arg0,
        arg1: slot.arg1,
        waker_tid: if woken { slot.waker_tid } else { 0 },
        rdev: slot.rdev,
    };
    slot.wake_ns = 0;
    if shed::counts(slot, &head) {
        shed::hold(slot, episode);
        return;
    }
    shed::spend(cpu, Price::Record);
    cpu.episode(episode);
}

/// Whether a thread was blocked in the stay off the CPU that ends now.
#[inline(always)]
fn was_blocked(slot: &Slot) -> bool {
    slot.flags & flag::BLOCKED != 0 || slot.presence == presence::UNKNOWN
}

/// Whether it was, and its wakeup was not traced.
#[inline(always)]
fn is_woken_untold(slot: &Slot) -> bool {
    slot.wake_ns == 0 && was_blocked(slot)
}

/// The kernel's account of the wait for a CPU that ends now. Where the thread was moved to another queue meanwhile, the
/// wait in the first is in `run_delay` already.
#[inline(always)]
fn counted_wait(slot: &Slot, next: Task, queued: u64) -> u64 {
    next.run_delay_ns().wrapping_sub(slot.last.run_delay_ns).wrapping_add(queued)
}

/// The wait for a CPU of a thread whose wakeup was not traced, 0 for any other.
#[inline(always)]
fn untold_wait(slot: &Slot, next: Task, now: u64, queued: u64) -> u64 {
    if !is_woken_untold(slot) {
        return 0;
    }
    if slot.last.at_ns == 0 {
        return clamped(queued);
    }
    let counted = clamped(counted_wait(slot, next, queued));
    let most = now.saturating_sub(slot.out_ns);
    if counted > most { most } else { counted }
}

/// [`Slot::wait_late_ns`] at a switch-in, whichever way the wait began and went.
#[inline(always)]
fn wait_late(slot: &Slot, next: Task, now: u64, queued: u64, lag: u64) -> u64 {
    if is_woken_untold(slot) {
        // An untold wakeup's time is taken from the run queue's clock.
        return 0;
    }
    if next.migrations() == slot.migrations && queued != 0 {
        return lag.wrapping_sub(slot.lag_ns);
    }
    // Preempted after it had made ready to sleep: the kernel does not count that wait. Or moved meanwhile:
    // the clock of the other run queue may have stood still for milliseconds, and since 6.12 a sleeping
    // thread that is moved counts as waiting from then on. So nothing but the kernel's account of this very
    // wait tells how far it is off.
    let start = if was_blocked(slot) { slot.wake_ns } else { slot.out_ns };
    (now - start).wrapping_sub(counted_wait(slot, next, queued))
}

/// Run-queue latency of the whole machine, in the kernel. The idle tasks (tid 0) never wait.
#[inline(always)]
fn host_runqueue(cpu: Cpu, next: Task, waited: u64) {
    if next.tid() == 0 {
        return;
    }
    let mut bucket = u64::from(64 - waited.leading_zeros());
    // SAFETY: arithmetic. The compiler knows that a clamped length has no 64th bucket, and would leave out
    // the mask by which the verifier knows it.
    unsafe { asm!("{bucket} &= {mask}", bucket = inout(reg) bucket, mask = const HISTOGRAM_BUCKETS - 1) };
    // SAFETY: from a successful lookup, the index bounded by the mask.
    unsafe { *(*cpu.stats()).runqueue_ns.as_mut_ptr().add(bucket as usize) += 1 };
}
