//! Which threads are recorded: the tid table, slots, and their coming and going.

use hostprof_common::{
    RecordKind,
    episode::flag,
    slot::{Slot, given_out, presence},
    thread::{Begin, Counters, End, cause},
};

use crate::{
    atomic::{compare_exchange, fetch_increment},
    emit::{Cpu, count},
    function,
    maps::{FREE_SLOTS, GIVEN_OUT, SLOT_BY_START, SLOTS, StartKey, TIDS, layout},
    shed, span,
    task::Task,
};

/// In the tid table, where a process's main thread has ended: another thread of it may yet take the tid by
/// exec, and is then found by its start. No slot has this index.
pub const LEADER_GONE: u32 = u32::MAX;

/// The slot of a recorded thread, or `None`. Two loads for a task that is not recorded.
#[inline(always)]
pub fn slot_of(task: Task) -> Option<*mut Slot> {
    if shed::ended() {
        return None;
    }
    let tid = task.tid();
    let index = *TIDS.get(tid)?;
    if index == 0 {
        return None;
    }
    if index == LEADER_GONE {
        return moved(task);
    }
    let slot = SLOTS.get_ptr_mut(index)?;
    let start_ns = task.start_ns();
    // SAFETY: from a successful lookup, here and below.
    let known = unsafe { (*slot).start_ns };
    if known == start_ns {
        return Some(slot);
    }
    if known == 0 {
        // Adopted by user space, which cannot know the start to the nanosecond.
        unsafe { (*slot).start_ns = start_ns };
        let key = StartKey { start_ns, tgid: u64::from(task.tgid()) };
        let _ = SLOT_BY_START.insert(key, index, 0);
        return Some(slot);
    }
    moved(task)
}

/// The slot of a thread whose tid is not, or no longer, the one it was recorded under.
#[inline(always)]
fn moved(task: Task) -> Option<*mut Slot> {
    let key = StartKey { start_ns: task.start_ns(), tgid: u64::from(task.tgid()) };
    // SAFETY: from a successful lookup.
    let index = unsafe { *SLOT_BY_START.get(key)? };
    if let Some(cpu) = Cpu::this() {
        count!(cpu, slots_moved);
    }
    SLOTS.get_ptr_mut(index)
}

/// The next thread number of the recording; never 0.
#[inline(always)]
pub fn next_utid() -> Option<u32> {
    let next = GIVEN_OUT.get_ptr_mut(given_out::UTIDS)?;
    // SAFETY: from a successful lookup.
    Some(unsafe { fetch_increment(next) } as u32 + 1)
}

/// A free slot's index: one that was used, else the next that never was.
#[inline(always)]
pub fn take_slot() -> Option<u32> {
    if let Ok(Some(index)) = FREE_SLOTS.pop() {
        return Some(index);
    }
    let used = GIVEN_OUT.get_ptr_mut(given_out::SLOTS)?;
    // SAFETY: from a successful lookup. Only this counts up, so that the bound holds but for a race that
    // the map's own bound ends.
    unsafe {
        if *used >= u64::from(layout!(slots)) {
            return None;
        }
        Some(fetch_increment(used) as u32 + 1)
    }
}

/// Puts a thread that a recorded thread made into the target set, before it first runs. False where no
/// slot was free.
#[inline(always)]
pub fn begin_fork(cpu: Cpu, child: Task, parent_utid: u32, now: u64) -> bool {
    let (tid, tgid, start_ns) = (child.tid(), child.tgid(), child.start_ns());
    if let Some(index) = TIDS.get(tid) {
        if *index != 0 {
            if let Some(slot) = SLOTS.get_ptr_mut(*index) {
                let known = unsafe { (*slot).start_ns };
                // A scan of /proc was quicker than this hook; anything else is a tid's last owner.
                if known == 0 || known == start_ns {
                    return true;
                }
            }
        }
    }
    let Some(index) = take_slot() else {
        count!(cpu, slots_full);
        return false;
    };
    let (Some(slot), Some(utid)) = (SLOTS.get_ptr_mut(index), next_utid()) else { return true };
    let begin = Begin {
        kind: RecordKind::ThreadBegin as u16,
        cause: cause::FORK,
        utid,
        at_ns: now,
        start_ns,
        tid,
        tgid,
        ns_tid: child.ns_tid(),
        parent_utid,
        comm: comm(child),
    };
    if !cpu.thread(begin) {
        let _ = FREE_SLOTS.push(index, 0);
        return true;
    }
    // Not yet run: off the CPU since now, its counters zero.
    unsafe {
        *slot = Slot {
            start_ns,
            out_ns: now,
            utid,
            tid,
            syscall: -1,
            cpu_out: cpu.id as u16,
            flags: flag::BLOCKED,
            presence: presence::OFF_CPU,
            index,
            last: Counters { at_ns: now, ..Counters::ZERO },
            ..Slot::ZERO
        };
    }
    let _ = SLOT_BY_START.insert(StartKey { start_ns, tgid: u64::from(tgid) }, index, 0);
    if let Some(entry) = TIDS.get_ptr_mut(tid) {
        // SAFETY: from a successful lookup.
        unsafe { core::ptr::write_volatile(entry, index) };
    }
    true
}

/// Ends a thread at its last switch: the record, then the slot.
#[inline(always)]
pub fn end(cpu: Cpu, task: Task, slot: *mut Slot, flags: u16, counters: Counters) {
    // SAFETY: from a successful lookup.
    let (utid, start_ns) = unsafe { ((*slot).utid, (*slot).start_ns) };
    shed::leave(cpu, unsafe { &*slot }, counters.at_ns);
    cpu.thread(End {
        kind: RecordKind::ThreadEnd as u16,
        cause: cause::EXIT,
        utid,
        at_ns: counters.at_ns,
        cpu: cpu.id,
        flags: u32::from(flags),
        counters,
    });
    let key = StartKey { start_ns, tgid: u64::from(task.tgid()) };
    span::abandon(slot);
    function::abandon(slot, counters.at_ns);
    let Some(index) = index_of(task, utid, key) else { return };
    // A thread that took this one's tid by exec took its start too: the key may be that thread's by now.
    if unsafe { SLOT_BY_START.get(key) }.copied() == Some(index) {
        let _ = SLOT_BY_START.remove(key);
    }
    if let Some(entry) = TIDS.get_ptr_mut(task.tid()) {
        // Not where the tid already is another thread's.
        let rest = if task.tid() == task.tgid() { LEADER_GONE } else { 0 };
        unsafe { compare_exchange(entry, index, rest) };
    }
    unsafe { (*slot).utid = 0 };
    let _ = FREE_SLOTS.push(index, 0);
}

/// The index of an ending thread's slot: by its tid, or where that is another's by now, by its start.
#[inline(always)]
fn index_of(task: Task, utid: u32, key: StartKey) -> Option<u32> {
    let index = *TIDS.get(task.tid())?;
    if let Some(slot) = SLOTS.get_ptr_mut(index) {
        // SAFETY: from a successful lookup.
        if unsafe { (*slot).utid } == utid {
            return Some(index);
        }
    }
    unsafe { SLOT_BY_START.get(key) }.copied()
}

/// A task's name. `comm` is always terminated, and the kernel writes it whole.
#[inline(always)]
pub fn comm(task: Task) -> [u8; hostprof_common::COMM_BYTES] {
    unsafe { aya_ebpf::helpers::bpf_probe_read_kernel(task.comm_ptr().cast()) }.unwrap_or_default()
}

/// Whether a tid can be in the tid table.
#[inline(always)]
pub fn in_range(tid: u32) -> bool {
    tid < layout!(tids)
}
