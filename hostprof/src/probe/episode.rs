//! Episodes as rows of `off_cpu`: those that ended, and those that were open when recording began or ended.

use hostprof_common::{
    episode::{Blocked, Head, flag},
    slot::{Slot, presence},
};

use super::{devices::Devices, life::Life, seed::Seed, state, tally};
use crate::{
    table::{OffCpuRow, State, WakeSource},
    units::MonoNs,
};

/// Who woke a thread, by the flags of its episode.
#[inline]
pub(super) fn waker(flags: u16, tid: u32) -> (Option<WakeSource>, Option<u32>) {
    if flags & flag::WAKE_NEW != 0 {
        (Some(WakeSource::New), None)
    } else if flags & flag::WAKE_IRQ != 0 {
        (Some(WakeSource::Irq), None)
    } else if flags & flag::WAKE_TASK != 0 {
        (Some(WakeSource::Task), Some(tid))
    } else {
        (None, None)
    }
}

/// An episode that began while the thread was recorded, its times to be filled in.
#[inline]
pub(super) fn closed(
    life: &Life,
    head: &Head,
    blocked: Option<&Blocked>,
    devices: &Devices,
    major: bool,
) -> OffCpuRow {
    let rdev = blocked.map_or(0, |blocked| blocked.rdev);
    let state = state::decide(head, rdev, devices, life.last_wait);
    let syscall_nr = tally::called(state, head);
    let with_args = blocked.filter(|_| tally::is_call(state, head));
    OffCpuRow {
        ts_mono_ns: head.out_ns,
        tid: life.row.tid,
        tgid: life.row.tgid,
        state,
        syscall_nr,
        arg0: with_args.map(|blocked| blocked.arg0),
        arg1: with_args.map(|blocked| blocked.arg1),
        voluntary: head.flags & flag::VOLUNTARY != 0,
        major,
        cpu_out: Some(head.cpu_out),
        ..OffCpuRow::default()
    }
}

/// An episode that was open when recording of the thread began: why, `/proc` told, a moment later.
/// `blocked` is what the kernel half saw: whether a wakeup ended it.
pub(super) fn open_start(life: &Life, blocked: bool, devices: &Devices) -> OffCpuRow {
    let seed = life.seed.as_ref().filter(|seed| blocked && seed.is_blocked());
    let syscall = seed.and_then(|seed| seed.syscall);
    let head = Head {
        task_state: seed.map_or(0, Seed::task_state),
        syscall: syscall.map_or(-1, |(nr, ..)| nr),
        flags: flag::BLOCKED,
        ..Head::default()
    };
    let state = match seed {
        _ if !blocked => State::Preempted,
        // Where the kernel does not tell the call, an uninterruptible wait is not known to be a fault.
        Some(seed) if seed.syscall_readable || head.task_state & 0xc != 0 => {
            state::decide(&head, 0, devices, seed.restarts)
        }
        _ => State::Other,
    };
    OffCpuRow {
        ts_mono_ns: life.row.begin_mono_ns,
        tid: life.row.tid,
        tgid: life.row.tgid,
        state,
        syscall_nr: syscall.map(|(nr, ..)| nr),
        arg0: syscall.map(|(_, arg0, _)| arg0),
        arg1: syscall.map(|(.., arg1)| arg1),
        voluntary: blocked,
        open_start: true,
        ..OffCpuRow::default()
    }
}

/// The wait that a thread was met in and is in still, of which no row has told yet.
pub fn met_in(life: &Life) -> Option<State> {
    let goes_on = life.row.end_mono_ns == life.row.begin_mono_ns;
    let is_blocked = life.seed.as_ref().is_some_and(Seed::is_blocked);
    (goes_on && is_blocked).then(|| open_start(life, true, &Devices::default()).state)
}

/// The episode that is open when recording ends, if the thread is off the CPU.
pub(super) fn open_end(life: &mut Life, slot: &Slot, end: MonoNs, devices: &Devices) -> Option<OffCpuRow> {
    let switched = !matches!(slot.presence, presence::ON_CPU | presence::UNKNOWN);
    // A new thread that never ran has no switch-out to its account.
    let new = slot.last.nvcsw + slot.last.nivcsw == 0;
    let major = switched && life.faults(slot.last.min_flt as u32, slot.last.maj_flt as u32);
    if switched && !new {
        life.last_sequence(&slot.last);
    }
    open_row(life, slot, end, devices, major)
}

/// The episode that a slot tells of, up to `end`; none where the thread runs.
pub(super) fn open_row(
    life: &Life,
    slot: &Slot,
    end: MonoNs,
    devices: &Devices,
    major: bool,
) -> Option<OffCpuRow> {
    let mut row = match slot.presence {
        presence::ON_CPU => return None,
        presence::UNKNOWN => {
            // Never switched: off the CPU throughout, or on it throughout.
            if slot.wake_ns == 0 && !life.seed.as_ref().is_some_and(Seed::is_blocked) {
                return None;
            }
            open_start(life, true, devices)
        }
        _ => {
            let head = Head {
                out_ns: slot.out_ns,
                task_state: slot.task_state,
                syscall: slot.syscall,
                cpu_out: slot.cpu_out,
                flags: slot.flags,
                ..Head::default()
            };
            let blocked =
                Blocked { head, arg0: slot.arg0, arg1: slot.arg1, rdev: slot.rdev, ..Blocked::default() };
            let mut row =
                closed(life, &head, (slot.flags & flag::BLOCKED != 0).then_some(&blocked), devices, major);
            if slot.last.nvcsw + slot.last.nivcsw == 0 {
                row.state = State::Runqueue;
            }
            row
        }
    };
    let runnable = row.state.is_runnable() || row.state == State::Runqueue;
    let wake = if runnable {
        row.ts_mono_ns
    } else if slot.wake_ns >= row.ts_mono_ns && slot.wake_ns != 0 {
        slot.wake_ns.min(end.0)
    } else {
        end.0
    };
    row.blocked_ns = wake.saturating_sub(row.ts_mono_ns);
    row.runqueue_ns = end.0.saturating_sub(wake.max(row.ts_mono_ns));
    row.open_end = true;
    Some(row)
}
