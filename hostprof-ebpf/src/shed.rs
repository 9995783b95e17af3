//! What is left out when hostprof's cost nears its ceiling: spans, then short episodes, which are summed, then all.
//!
//! User space measures and decides; between two of its looks the kernel half spends from a budget, by estimates, and
//! where that runs out it acts by itself. Without a ceiling nothing of this is in the programs.

use aya_ebpf::{bindings::BPF_RB_FORCE_WAKEUP, helpers::bpf_ktime_get_ns};
use hostprof_common::{
    RecordKind,
    episode::{Blocked, Head, flag},
    shed::{Budget, CREDIT_NS, Counted, TALLIES, TALLY_NS, Tallies, Tally},
    slot::Slot,
};

use crate::{
    atomic::fetch_add,
    emit::Cpu,
    maps::{ALARM, BUDGET, COUNTED, ENDED, layout},
};

/// Reads one field of the budget that other CPUs write.
macro_rules! budget {
    ($budget:expr, $field:ident) => {
        // SAFETY: from a successful lookup.
        unsafe { core::ptr::read_volatile(&raw const (*$budget).$field) }
    };
}

/// Sets one.
macro_rules! set {
    ($budget:expr, $field:ident, $value:expr) => {
        // SAFETY: from a successful lookup.
        unsafe { core::ptr::write_volatile(&raw mut (*$budget).$field, $value) }
    };
}

#[inline(always)]
fn the_budget() -> Option<*mut Budget> {
    if layout!(ceiling) == 0 {
        return None;
    }
    BUDGET.get_ptr_mut(0)
}

/// Whether recording is over.
#[inline(always)]
pub fn ended() -> bool {
    if layout!(ceiling) == 0 {
        return false;
    }
    let Some(ended) = ENDED.get_ptr(0) else { return false };
    // SAFETY: from a successful lookup.
    unsafe { core::ptr::read_volatile(ended) != 0 }
}

/// Whether calls become no spans any more: before an episode is counted, since a call's time off the CPU is told by its
/// thread's episodes.
#[inline(always)]
pub fn spans_off() -> bool {
    let Some(budget) = the_budget() else { return false };
    budget!(budget, threshold_ns) != 0
}

/// What is spent on.
pub enum Price {
    Switch,
    /// A switch of two bystanders: a few loads.
    Filtered,
    Call,
    Record,
}

/// Spends from the budget.
#[inline(always)]
pub fn spend(cpu: Cpu, price: Price) {
    let Some(budget) = the_budget() else { return };
    let ns = match price {
        Price::Switch => budget!(budget, switch_ns),
        Price::Filtered => budget!(budget, switch_ns) / 4,
        Price::Call => budget!(budget, call_ns),
        Price::Record => budget!(budget, record_ns),
    };
    let stats = cpu.stats();
    // SAFETY: from a successful lookup, here and below.
    let mut credit = unsafe { (*stats).credit_ns }.wrapping_sub(ns);
    if credit.cast_signed() < 0 {
        credit = credit.wrapping_add(CREDIT_NS);
        let spent = unsafe { fetch_add(&raw mut (*budget).spent_ns, CREDIT_NS) } + CREDIT_NS;
        if spent > budget!(budget, end_above_ns) {
            end();
        } else if spent > budget!(budget, count_above_ns) && budget!(budget, threshold_ns) != u64::MAX {
            let now = unsafe { bpf_ktime_get_ns() };
            set!(budget, counting_ns, now);
            set!(budget, threshold_ns, u64::MAX);
            alarm();
        }
    }
    unsafe { (*stats).credit_ns = credit };
}

/// The wakeup itself comes a little later, from an interrupt: here a run queue is locked.
#[inline(always)]
fn alarm() {
    // One that finds no room is one of many.
    if let Some(mut entry) = ALARM.reserve_untyped::<u64>(0) {
        entry.write(0);
        entry.submit(u64::from(BPF_RB_FORCE_WAKEUP));
    }
}

#[inline(always)]
fn end() {
    let Some(ended) = ENDED.get_ptr_mut(0) else { return };
    // SAFETY: from a successful lookup. Where two CPUs end recording at once, either time is as true.
    unsafe {
        if core::ptr::read_volatile(ended) == 0 {
            core::ptr::write_volatile(ended, bpf_ktime_get_ns());
            alarm();
        }
    }
}

/// The switches of a thread that were counted: its records leave them out of `seq`.
#[inline(always)]
pub fn switches(slot: &Slot) -> u32 {
    if layout!(ceiling) == 0 {
        return 0;
    }
    match COUNTED.get(slot.index) {
        Some(tallies) => tallies.switches,
        None => 0,
    }
}

/// A thread's counters were read for the first time, at a switch-out.
#[inline(always)]
pub fn first(slot: &Slot, at_ns: u64) {
    if layout!(ceiling) == 0 {
        return;
    }
    let Some(tallies) = COUNTED.get_ptr_mut(slot.index) else { return };
    // SAFETY: from a successful lookup; only the thread's own switches write these.
    unsafe {
        (*tallies).utid = slot.utid;
        (*tallies).switches = 0;
        (*tallies).first_ns = at_ns;
    }
}

/// Whether an episode that ends now is counted. Not one that was met under way, nor a new thread's wait for its first
/// CPU: the thread's life begins with them.
#[inline(always)]
pub fn counts(slot: &Slot, head: &Head) -> bool {
    let Some(budget) = the_budget() else { return false };
    let threshold_ns = budget!(budget, threshold_ns);
    if head.in_ns.wrapping_sub(head.out_ns) >= threshold_ns && threshold_ns != u64::MAX {
        return false;
    }
    if head.flags & (flag::OPEN_START | flag::WAKE_NEW) != 0 {
        return false;
    }
    let Some(tallies) = COUNTED.get(slot.index) else { return false };
    tallies.first_ns != head.out_ns
}

/// Keeps an episode until the thread's next switch-out, which counts it.
#[inline(always)]
pub fn hold(slot: &Slot, episode: Blocked) {
    let Some(tallies) = COUNTED.get_ptr_mut(slot.index) else { return };
    // SAFETY: as in `first`.
    unsafe {
        (*tallies).utid = slot.utid;
        (*tallies).last = episode;
    }
}

/// The thread leaves the CPU: the episode before is not its last, and is counted.
#[inline(always)]
pub fn settle(cpu: Cpu, slot: &Slot, now: u64) {
    if layout!(ceiling) == 0 {
        return;
    }
    let Some(tallies) = COUNTED.get_ptr_mut(slot.index) else { return };
    // SAFETY: as in `first`.
    let tallies = unsafe { &mut *tallies };
    if tallies.last.head.kind == 0 {
        return;
    }
    add(cpu, tallies, now);
    tallies.last.head.kind = 0;
}

#[inline(always)]
fn add(cpu: Cpu, tallies: &mut Tallies, now: u64) {
    let head = tallies.last.head;
    let flags = head.flags & Tally::WHY;
    let rdev = tallies.last.rdev;
    let (mut place, mut free) = (TALLIES, TALLIES);
    let mut at = 0;
    while at < TALLIES {
        let tally = &tallies.tallies[at];
        if tally.episodes == 0 {
            free = at;
        } else if tally.syscall == head.syscall
            && tally.flags == flags
            && tally.task_state == head.task_state
            && tally.rdev == rdev
        {
            place = at;
        }
        at += 1;
    }
    if place == TALLIES {
        place = free;
    }
    if place >= TALLIES {
        place = tallies.oldest as usize;
        if place >= TALLIES {
            place = 0;
        }
        tallies.oldest = place as u32 + 1;
    }
    if place >= TALLIES {
        return;
    }
    tallies.switches = tallies.switches.wrapping_add(1);
    let utid = tallies.utid;
    let tally = &mut tallies.tallies[place];
    let same = tally.syscall == head.syscall
        && tally.flags == flags
        && tally.task_state == head.task_state
        && tally.rdev == rdev;
    if tally.episodes != 0 && (!same || now.wrapping_sub(tally.first_ns) > TALLY_NS) {
        hand_over(cpu, utid, tally, now);
    }
    let blocked_ns = blocked_ns(&tallies.last);
    let tally = &mut tallies.tallies[place];
    if tally.episodes == 0 {
        tally.first_ns = head.out_ns;
        tally.blocked_ns = 0;
        tally.runqueue_ns = 0;
        tally.syscall = head.syscall;
        tally.task_state = head.task_state;
        tally.rdev = rdev;
        tally.flags = flags;
    }
    tally.episodes += 1;
    tally.last_ns = head.in_ns;
    tally.blocked_ns += blocked_ns;
    tally.runqueue_ns += head.in_ns.wrapping_sub(head.out_ns).wrapping_sub(blocked_ns);
}

/// Of an episode, the time up to the wakeup, as user space tells it of a record.
#[inline(always)]
fn blocked_ns(episode: &Blocked) -> u64 {
    let Head { out_ns, in_ns, .. } = episode.head;
    if episode.head.flags & flag::BLOCKED == 0 {
        return 0;
    }
    if episode.wake_ns == 0 || episode.wake_ns < out_ns || episode.wake_ns > in_ns {
        return in_ns.wrapping_sub(out_ns);
    }
    episode.wake_ns - out_ns
}

#[inline(always)]
fn hand_over(cpu: Cpu, utid: u32, tally: &mut Tally, now: u64) {
    spend(cpu, Price::Record);
    cpu.counted(Counted { kind: RecordKind::Counted as u16, _pad: 0, utid, at_ns: now, tally: *tally });
    tally.episodes = 0;
}

/// The thread ends, or goes on as another of the recording: all that is counted of it is handed over.
#[inline(always)]
pub fn leave(cpu: Cpu, slot: &Slot, now: u64) {
    if layout!(ceiling) == 0 {
        return;
    }
    let Some(tallies) = COUNTED.get_ptr_mut(slot.index) else { return };
    // SAFETY: as in `first`.
    let tallies = unsafe { &mut *tallies };
    if tallies.last.head.kind != 0 {
        let mut episode = tallies.last;
        episode.head.kind = RecordKind::Blocked as u16;
        episode.head.flags |= flag::LATE;
        cpu.episode(episode);
        tallies.last.head.kind = 0;
    }
    let utid = tallies.utid;
    let mut at = 0;
    while at < TALLIES {
        if tallies.tallies[at].episodes != 0 {
            hand_over(cpu, utid, &mut tallies.tallies[at], now);
        }
        at += 1;
    }
    tallies.switches = 0;
    tallies.first_ns = 0;
}
