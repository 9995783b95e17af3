//! What a single `off_cpu` row must be, whatever the rows around it.

use super::rules::{Breaches, Rule};
use crate::table::{OffCpuCountRow, OffCpuRow, State, WakeSource};

/// `restart_syscall`: goes on with a sleep, a poll or a futex wait that a stop interrupted.
const RESTART_SYSCALL: i32 = 219;
const SCHED_YIELD: i32 = 24;

/// How a state comes about, which decides what else its row must say.
enum Origin {
    /// From the system call.
    Syscall,
    /// From the scheduler: the thread stayed runnable.
    Runnable,
    /// From the task's own state or flags, whatever the call.
    Task,
}

fn origin(state: State) -> Origin {
    match state {
        State::Preempted | State::Yield | State::Throttled => Origin::Runnable,
        State::Futex
        | State::Poll
        | State::Sleep
        | State::Read
        | State::Write
        | State::Network
        | State::GpuIoctl
        | State::Ioctl
        | State::Memory
        | State::Wait
        | State::Fsync
        | State::IoUring
        | State::SyscallOther => Origin::Syscall,
        State::Exit
        | State::Stopped
        | State::Traced
        | State::Frozen
        | State::IoWorker
        | State::PageFault
        | State::Other
        | State::Runqueue => Origin::Task,
    }
}

/// Checks a row; `state_of` is the table of states by system call.
pub(super) fn check(row: &OffCpuRow, state_of: &impl Fn(i32) -> State, breaches: &mut Breaches) {
    wake(row, breaches);
    state_and_syscall(row.state, row.syscall_nr, Some(row.ts_mono_ns), state_of, breaches);
    // A call of i386 has no number here, but its arguments.
    let no_call = row.syscall_nr.is_none() && row.arg0.is_none() && !row.open_start;
    if no_call && (row.state == State::Yield || matches!(origin(row.state), Origin::Syscall)) {
        breaches.add(Rule::StateSyscall, Some(row.ts_mono_ns), || {
            ("a state that stands for no system call".to_owned(), row.state.to_string())
        });
    }
    let blocked = !row.state.is_runnable() && row.state != State::Runqueue;
    if blocked && !row.voluntary && !row.open_start {
        breaches.add(Rule::StateVoluntary, Some(row.ts_mono_ns), || {
            (format!("a voluntary switch into {}", row.state), "an involuntary one".to_owned())
        });
    }
}

/// Checks a row of counted episodes.
pub(super) fn check_count(row: &OffCpuCountRow, state_of: &impl Fn(i32) -> State, breaches: &mut Breaches) {
    let at = Some(row.ts_mono_ns);
    let off_ns = row.blocked_ns.saturating_add(row.runqueue_ns);
    if off_ns > row.dur_ns || row.episodes == 0 {
        breaches.add(Rule::Overlap, at, || {
            (format!("episodes that fit into {} ns", row.dur_ns), format!("{} of {off_ns} ns", row.episodes))
        });
    }
    if row.state.is_runnable() && row.blocked_ns > 0 {
        breaches.add(Rule::Wake, at, || {
            let found = format!("{} for {} ns", row.state, row.blocked_ns);
            ("no blocked time for a thread that stayed runnable".to_owned(), found)
        });
    }
    state_and_syscall(row.state, row.syscall_nr, at, state_of, breaches);
    if !row.state.is_runnable() && !row.voluntary {
        breaches.add(Rule::StateVoluntary, at, || {
            (format!("voluntary switches into {}", row.state), "involuntary ones".to_owned())
        });
    }
}

fn wake(row: &OffCpuRow, breaches: &mut Breaches) {
    let mut add = |expected: &str, found: String| {
        breaches.add(Rule::Wake, Some(row.ts_mono_ns), || (expected.to_owned(), found));
    };
    if row.state.is_runnable() {
        if row.blocked_ns > 0 {
            add(
                "no blocked time for a thread that stayed runnable",
                format!("{} for {} ns", row.state, row.blocked_ns),
            );
        } else if row.wake_source.is_some() {
            add("no wakeup of a thread that stayed runnable", format!("{} and a wakeup", row.state));
        }
    }
    if row.state == State::Runqueue && row.blocked_ns > 0 {
        add("no blocked time before a new thread's first wait", format!("{} ns", row.blocked_ns));
    }
    match (row.wake_source, row.waker_tid) {
        (_, None) | (Some(WakeSource::New), _) => (),
        (Some(WakeSource::Task), Some(waker)) if waker != row.tid => (),
        (source, waker) => add(
            "a waker where another task woke, else none",
            format!(
                "source {}, waker tid {}",
                source.map_or_else(|| "none".to_owned(), |source| source.to_string()),
                waker.map_or_else(|| "none".to_owned(), |waker| waker.to_string()),
            ),
        ),
    }
}

fn state_and_syscall(
    state: State,
    syscall_nr: Option<i32>,
    at: Option<u64>,
    state_of: &impl Fn(i32) -> State,
    breaches: &mut Breaches,
) {
    let expected = match (origin(state), syscall_nr) {
        (Origin::Runnable, Some(nr)) if state == State::Yield && nr != SCHED_YIELD => State::Preempted,
        (Origin::Task, Some(nr)) if state == State::PageFault => state_of(nr),
        (Origin::Syscall, Some(nr)) => match (state_of(nr), state) {
            // The number says ioctl; whose device it is on, the fd says.
            (State::Ioctl | State::GpuIoctl, State::Ioctl | State::GpuIoctl) => return,
            _ if nr == RESTART_SYSCALL => return,
            (expected, _) => expected,
        },
        // No number: none, or one of i386, which is not kept; `Tally` tells by the thread's other rows.
        _ => return,
    };
    if expected != state {
        breaches.add(Rule::StateSyscall, at, || {
            let nr = syscall_nr.unwrap_or(-1);
            (format!("{expected} (system call {nr})"), state.to_string())
        });
    }
}
