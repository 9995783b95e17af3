//! Puts a thread that a scan of `/proc` found into the target set.
//!
//! Never attached: user space runs it with `BPF_PROG_TEST_RUN`, so that it races with the fork hook on
//! equal terms, by compare-and-exchange on the tid's entry.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use hostprof_common::{
    COMM_BYTES, RecordKind,
    slot::{Slot, adopt as answer, presence},
    thread::{Begin, cause},
};

use crate::{
    atomic::compare_exchange,
    emit::{Cpu, count},
    maps::{FREE_SLOTS, SLOTS, TIDS},
    target,
};

/// Declared by hand: aya's attribute would discard the answer.
#[unsafe(no_mangle)]
#[unsafe(link_section = "raw_tp")]
pub extern "C" fn adopt(args: *const u64) -> u32 {
    try_adopt(args).unwrap_or(answer::RANGE)
}

#[inline(always)]
fn try_adopt(args: *const u64) -> Option<u32> {
    // SAFETY: user space runs the program with two arguments; the kernel refuses to with fewer than
    // the program reads.
    let (tid, tgid) = unsafe { (*args as u32, *args.add(1) as u32) };
    if !target::in_range(tid) {
        return Some(answer::RANGE);
    }
    let cpu = Cpu::this()?;
    let entry = TIDS.get_ptr_mut(tid)?;
    // SAFETY: from successful lookups, here and below.
    let held = unsafe { *entry };
    if held != 0 && held != target::LEADER_GONE {
        return Some(answer::KNOWN);
    }
    let Some(index) = target::take_slot() else {
        count!(cpu, slots_full);
        return Some(answer::FULL);
    };
    let slot = SLOTS.get_ptr_mut(index)?;
    let utid = target::next_utid()?;
    let now = unsafe { bpf_ktime_get_ns() };
    unsafe {
        *slot = Slot { utid, tid, syscall: -1, presence: presence::UNKNOWN, out_ns: now, index, ..Slot::ZERO }
    };
    if unsafe { compare_exchange(entry, held, index) } != held {
        let _ = FREE_SLOTS.push(index, 0);
        return Some(answer::KNOWN);
    }
    let begin = Begin {
        kind: RecordKind::ThreadBegin as u16,
        cause: cause::ADOPTED,
        utid,
        at_ns: now,
        start_ns: 0,
        tid,
        tgid,
        ns_tid: 0,
        parent_utid: 0,
        comm: [0; COMM_BYTES],
    };
    if !cpu.thread(begin) {
        unsafe { compare_exchange(entry, index, 0) };
        let _ = FREE_SLOTS.push(index, 0);
        return Some(answer::BUSY);
    }
    Some(answer::ADOPTED)
}
