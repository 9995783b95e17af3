//! System calls from enter to exit, whichever hook tells of them.
//!
//! Number, arguments and result are read from the thread's saved registers, so that every hook runs the
//! same code. A task that is not recorded costs what [`target::slot_of`] does.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
};
use hostprof_common::{
    RecordKind, nvidia as wire,
    slot::{Slot, presence},
    span::{CountKey, DEVICE_RANGES, OFF_CPU_UNKNOWN, Open, Span, probe, state},
    stats::HISTOGRAM_BUCKETS,
};

use crate::{
    atomic::fetch_add,
    emit::Cpu,
    maps::{CALL_COUNTS, NO_CALLS, OPEN, SPARE_COUNTS, filter, layout, nvidia_setting},
    nvidia,
    ring::{self, Pushed},
    shed::{self, Price},
    target,
    task::{Call, Task},
};

const IOCTL: i32 = 16;
const FUTEX: i32 = 202;
const RT_SIGRETURN: i32 = 15;
const EXIT: i32 = 60;
const EXIT_GROUP: i32 = 231;

/// Whose call it is, by its number.
#[inline(always)]
fn probe_of(nr: i32) -> u16 {
    match nr {
        IOCTL if filter!(ioctl) != 0 => probe::IOCTL,
        // mmap, mprotect, munmap, brk, mremap, madvise.
        9 | 10 | 11 | 12 | 25 | 28 if filter!(memory) != 0 => probe::MEMORY,
        FUTEX if filter!(futex) != 0 => probe::FUTEX,
        _ if filter!(rows) != 0 => probe::SYSCALL,
        _ if filter!(counts) != 0 => probe::SYSCALL_COUNT,
        _ => probe::NONE,
    }
}

/// Counts one call of a probe, atomically: programs of this file may be preempted by each other where fentry
/// runs them. A macro, since a pointer handed on that may be null is more than the verifier follows.
macro_rules! count {
    ($probe:expr, $field:ident) => {{
        // SAFETY: the helper takes nothing.
        let cpu = unsafe { aya_ebpf::helpers::bpf_get_smp_processor_id() };
        if let Some(stats) = $crate::maps::SPAN_STATS.get_ptr_mut(cpu) {
            let index = usize::from($probe) & (hostprof_common::span::probe::ROOM - 1);
            // SAFETY: from a successful lookup, the index bounded by the mask.
            unsafe { $crate::atomic::fetch_increment(&raw mut (*stats).probes[index].$field) };
        }
    }};
}
pub(crate) use count;

/// An instant of a thread that runs.
pub struct Moment {
    pub now: u64,
    /// [`hostprof_common::span::Open::off_ns`] then.
    pub off_ns: u64,
    /// [`hostprof_common::span::Open::untold_out_ns`] then.
    pub untold_out_ns: u64,
}

/// Now, and the thread's time off the CPU up to now. Where the program was preempted between the two
/// readings, they are taken again: then it has just been given the CPU.
#[inline(always)]
pub fn moment(slot: *mut Slot, open: &mut Open) -> Moment {
    // SAFETY: from a successful lookup; only the thread's own switches write these.
    let off_ns = unsafe { core::ptr::read_volatile(&raw const (*slot).off_ns) };
    let mut now = unsafe { bpf_ktime_get_ns() };
    let again = unsafe { core::ptr::read_volatile(&raw const (*slot).off_ns) };
    if again != off_ns {
        now = unsafe { bpf_ktime_get_ns() };
    }
    // The thread runs: if its slot says otherwise, its last switch-in was not traced.
    let told = unsafe { (*slot).presence } != presence::OFF_CPU;
    let out_ns = unsafe { (*slot).out_ns };
    if !told && open.seen_out_ns != out_ns {
        open.seen_out_ns = out_ns;
        open.seen_ns = now;
    }
    Moment { now, off_ns: again, untold_out_ns: if told { 0 } else { out_ns } }
}

/// The current task enters a call.
#[inline(always)]
pub fn enter() {
    let task = Task::current();
    let Some(slot) = target::slot_of(task) else { return };
    if shed::spans_off() {
        return;
    }
    let compat = task.is_compat();
    let call = task.call();
    let probe = if compat { probe_of(-1) } else { probe_of(call.nr) };
    if probe == probe::NONE {
        return;
    }
    // SAFETY: from successful lookups, here and below.
    let (index, utid) = unsafe { ((*slot).index, (*slot).utid) };
    let Some(open) = OPEN.get_ptr_mut(index) else { return };
    let open = unsafe { &mut *open };
    if open.state == state::RECORD {
        count!(open.probe, unfinished);
    }
    open.state = state::NONE;
    if compat {
        count!(probe, filtered);
        return;
    }
    open.utid = utid;
    open.nr = call.nr;
    open.args = call.args;
    open.rdev = 0;
    open.device = wire::device::OTHER;
    open.probe = probe;
    let mut next = if probe == probe::SYSCALL_COUNT { state::COUNT } else { state::RECORD };
    if probe == probe::IOCTL {
        let rdev = task.device(call.args[0] as u32);
        if let Some(kind) = selected(rdev) {
            open.rdev = rdev;
            open.device = kind;
            if kind != wire::device::OTHER {
                nvidia::enter(index, kind, &call.args);
            }
        } else if filter!(rows) != 0 {
            open.probe = probe::SYSCALL;
        } else {
            count!(probe, filtered);
            next = state::COUNT;
        }
    }
    let enter = moment(slot, open);
    open.enter_ns = enter.now;
    open.off_ns = enter.off_ns;
    open.untold_out_ns = enter.untold_out_ns;
    open.state = next;
}

/// What a selected device speaks, one of [`wire::device`]; `None` for a device that is not selected.
#[inline(always)]
fn selected(rdev: u32) -> Option<u32> {
    let mut at = 0;
    while at < DEVICE_RANGES {
        if at >= filter!(ranges) as usize {
            return None;
        }
        let first = filter!(devices[at][0]);
        let last = filter!(devices[at][1]);
        if first <= rdev && rdev <= last {
            return Some(nvidia_setting!(kinds[at]));
        }
        at += 1;
    }
    None
}

/// The current task returns from a call.
#[inline(always)]
pub fn exit(result: Option<i64>) {
    let task = Task::current();
    let Some(slot) = target::slot_of(task) else { return };
    if shed::spans_off() || task.is_compat() {
        return;
    }
    spend(Price::Call);
    let Call { nr, ret, .. } = task.call();
    let ret = if let Some(result) = result { result } else { ret };
    // SAFETY: from successful lookups, here and below.
    let (index, utid) = unsafe { ((*slot).index, (*slot).utid) };
    let Some(open) = OPEN.get_ptr_mut(index) else { return };
    let open = unsafe { &mut *open };
    let was = open.state;
    open.state = state::NONE;
    // A signal's end restores registers that were in no call.
    let same = open.nr == nr || (open.nr == RT_SIGRETURN && nr == -1);
    if was == state::NONE || open.utid != utid || !same {
        let probe = probe_of(nr);
        if was == state::RECORD {
            count!(open.probe, unfinished);
        }
        if probe != probe::NONE && !is_child_return(nr, ret) {
            count!(probe, unbegun);
        }
        return;
    }
    let exit = moment(slot, open);
    let dur_ns = exit.now - open.enter_ns;
    if filter!(counts) != 0 {
        count_call(task.tgid(), open.nr, dur_ns);
    }
    if was == state::COUNT {
        return;
    }
    if open.probe == probe::FUTEX && filter!(rows) == 0 && dur_ns < filter!(futex_threshold_ns) {
        count!(probe::FUTEX, filtered);
        return;
    }
    // Told at both ends, or one untold stay from end to end.
    let known = exit.untold_out_ns == open.untold_out_ns;
    let span = Span {
        kind: RecordKind::Span as u16,
        probe: open.probe,
        utid,
        exit_ns: exit.now,
        enter_ns: open.enter_ns,
        off_cpu_ns: if known { exit.off_ns - open.off_ns } else { OFF_CPU_UNKNOWN },
        ret,
        nr: open.nr,
        rdev: open.rdev,
        args: open.args,
    };
    if nvidia_setting!(any) != 0 && open.device != wire::device::OTHER {
        nvidia::exit(index, span);
    } else {
        emit(span.probe, span);
    }
}

/// Whether this is how a new thread comes to life: from its maker's clone, fork, vfork or clone3.
#[inline(always)]
fn is_child_return(nr: i32, ret: i64) -> bool {
    ret == 0 && matches!(nr, 56 | 57 | 58 | 435)
}

#[inline(always)]
pub fn spend(price: Price) {
    if layout!(ceiling) != 0 {
        if let Some(cpu) = Cpu::this() {
            shed::spend(cpu, price);
        }
    }
}

/// Writes what is told of a call, and counts what became of it.
#[inline(always)]
pub fn emit<T: Copy>(probe: u16, told: T) {
    spend(Price::Record);
    // SAFETY: the helper takes nothing.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    match ring::push(cpu, told) {
        Pushed::Written => count!(probe, records),
        Pushed::Full => count!(probe, full),
        Pushed::Busy => count!(probe, busy),
    }
}

/// Counts a call of a process, by its length.
#[inline(always)]
fn count_call(tgid: u32, nr: i32, dur_ns: u64) {
    let key = CountKey { tgid, nr };
    let bucket = (64 - dur_ns.leading_zeros()) as usize & (HISTOGRAM_BUCKETS - 1);
    let mut counts = CALL_COUNTS.get_ptr_mut(key);
    if counts.is_none() {
        // Refused where another CPU was quicker: then it is there.
        let _ = CALL_COUNTS.insert(key, &NO_CALLS, u64::from(BPF_NOEXIST));
        counts = CALL_COUNTS.get_ptr_mut(key);
    }
    if let Some(counts) = counts {
        // SAFETY: from a successful lookup, the index bounded by the mask; the CPU's own.
        unsafe {
            (*counts).count[bucket] += 1;
            (*counts).total_ns[bucket] += dur_ns;
        }
        return;
    }
    // Memory for every CPU comes from a reserve that is filled up a little later: some new pairs at once empty it.
    let mut counts = SPARE_COUNTS.get_ptr_mut(key);
    if counts.is_none() {
        let _ = SPARE_COUNTS.insert(key, &NO_CALLS, u64::from(BPF_NOEXIST));
        counts = SPARE_COUNTS.get_ptr_mut(key);
    }
    let Some(counts) = counts else {
        count!(probe::SYSCALL_COUNT, full);
        return;
    };
    // SAFETY: as above, but all CPUs'.
    unsafe {
        fetch_add(&raw mut (*counts).count[bucket], 1);
        fetch_add(&raw mut (*counts).total_ns[bucket], dur_ns);
    }
}

/// The switch-in of a thread that came back untold, as the kernel's clock has it, but no later than it was seen
/// to run: that clock is some microseconds off.
#[inline(always)]
pub fn arrival(slot: &Slot, arrived_ns: u64) -> u64 {
    if filter!(any) == 0 {
        return arrived_ns;
    }
    let Some(open) = OPEN.get(slot.index) else { return arrived_ns };
    if open.seen_out_ns == slot.out_ns && open.seen_ns < arrived_ns { open.seen_ns } else { arrived_ns }
}

/// A thread ends: a call it was in has no exit, unless it was the one to end in.
#[inline(always)]
pub fn abandon(slot: *mut Slot) {
    if filter!(any) == 0 {
        return;
    }
    // SAFETY: from successful lookups, here and below.
    let Some(open) = OPEN.get_ptr_mut(unsafe { (*slot).index }) else { return };
    let open = unsafe { &mut *open };
    if open.state == state::RECORD && open.nr != EXIT && open.nr != EXIT_GROUP {
        count!(open.probe, unfinished);
    }
    open.state = state::NONE;
}
