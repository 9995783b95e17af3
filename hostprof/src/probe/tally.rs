//! Episodes that the kernel half counted and did not record: a sum into a row.

use hostprof_common::{
    episode::{Head, flag},
    shed::Tally,
};

use super::{devices::Devices, life::Life, state, syscalls};
use crate::table::{OffCpuCountRow, State};

/// The row of a sum. Its state is that of an episode as [`Tally`] tells it.
pub fn row(tally: &Tally, life: &mut Life, devices: &Devices) -> OffCpuCountRow {
    let head =
        Head { task_state: tally.task_state, syscall: tally.syscall, flags: tally.flags, ..Head::default() };
    let state = state::decide(&head, tally.rdev, devices, life.last_wait);
    if !state.is_runnable() && !matches!(state, State::Stopped | State::Traced | State::Frozen) {
        life.last_wait = Some(state);
    }
    OffCpuCountRow {
        ts_mono_ns: tally.first_ns,
        dur_ns: tally.last_ns.saturating_sub(tally.first_ns),
        tid: life.row.tid,
        tgid: life.row.tgid,
        state,
        syscall_nr: called(state, &head),
        voluntary: tally.flags & flag::VOLUNTARY != 0,
        episodes: tally.episodes.into(),
        blocked_ns: tally.blocked_ns,
        runqueue_ns: tally.runqueue_ns,
    }
}

/// The system call of an episode, as a row tells it.
#[inline]
pub(super) fn called(state: State, head: &Head) -> Option<i32> {
    let nr = syscalls::number(head.syscall);
    match state {
        // By either entry.
        State::Yield => Some(syscalls::SCHED_YIELD),
        _ if head.flags & flag::COMPAT != 0 => None,
        _ => is_call(state, head).then_some(nr),
    }
}

/// Whether an episode was in a system call of the thread's own.
#[inline]
pub(super) fn is_call(state: State, head: &Head) -> bool {
    syscalls::number(head.syscall) >= 0 && head.flags & flag::IO_WORKER == 0 && state != State::Runqueue
}
