//! Why a thread was off the CPU: one decision, in the order of the design's list.

use hostprof_common::episode::{Head, flag};

use super::{
    devices::Devices,
    syscalls::{self, IOCTL, RESTART_SYSCALL, SCHED_YIELD},
};
use crate::table::State;

/// The kernel's task state bits that tell a wait, the same on all kernels from 5.15.
mod bit {
    pub const UNINTERRUPTIBLE: u32 = 0x2;
    pub const STOPPED: u32 = 0x4;
    pub const TRACED: u32 = 0x8;
    pub const DEAD: u32 = 0x80;
    /// From 6.1; before, `flag::FROZEN`.
    pub const FROZEN: u32 = 0x8000;
}

/// i386's `sched_yield`, `ioctl` and `restart_syscall`.
const I386: (i32, i32, i32) = (158, 54, 0);

/// The state of an episode.
///
/// `rdev` is the device behind an ioctl's fd; `before` is the thread's last wait, which a restarted call
/// goes on with (`restart_syscall` after a stop tells nothing of its own).
#[inline]
pub fn decide(head: &Head, rdev: u32, devices: &Devices, before: Option<State>) -> State {
    let set = |bit| head.flags & bit != 0;
    let compat = set(flag::COMPAT);
    let (yields, ioctl, restart) = if compat { I386 } else { (SCHED_YIELD, IOCTL, RESTART_SYSCALL) };
    let nr = syscalls::number(head.syscall);
    if head.task_state & bit::DEAD != 0 {
        return State::Exit;
    }
    if !set(flag::BLOCKED) {
        return if set(flag::WAKE_NEW) {
            State::Runqueue
        } else if set(flag::THROTTLED) {
            State::Throttled
        } else if nr == yields && !set(flag::PREEMPT) {
            State::Yield
        } else {
            State::Preempted
        };
    }
    // A new thread has not run yet: its wait is for a CPU.
    if set(flag::WAKE_NEW) {
        return State::Runqueue;
    }
    if head.task_state & bit::STOPPED != 0 {
        return State::Stopped;
    }
    if head.task_state & bit::TRACED != 0 {
        return State::Traced;
    }
    if head.task_state & bit::FROZEN != 0 || set(flag::FROZEN) {
        return State::Frozen;
    }
    if set(flag::IO_WORKER) {
        return State::IoWorker;
    }
    if nr >= 0 {
        if nr == restart {
            return before.unwrap_or(State::SyscallOther);
        }
        if nr == ioctl {
            return if devices.selected(rdev) { State::GpuIoctl } else { State::Ioctl };
        }
        return if compat { syscalls::state_of_i386(nr) } else { syscalls::state_of(nr) };
    }
    if head.task_state & bit::UNINTERRUPTIBLE != 0 && !set(flag::EXITING) {
        return State::PageFault;
    }
    State::Other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(task_state: u32, syscall: i32, flags: u16) -> Head {
        Head { task_state, syscall, flags, ..Head::default() }
    }

    fn state(task_state: u32, syscall: i32, flags: u16) -> State {
        decide(&head(task_state, syscall, flags), 0, &Devices::default(), None)
    }

    #[test]
    fn state_bits_come_before_the_system_call() {
        assert_eq!(state(0x104, 202, flag::BLOCKED), State::Stopped);
        assert_eq!(state(0x108, 202, flag::BLOCKED), State::Traced);
        assert_eq!(state(0x8000, 202, flag::BLOCKED), State::Frozen);
        assert_eq!(state(0x2001, 202, flag::BLOCKED | flag::FROZEN), State::Frozen);
        assert_eq!(state(0x80, 60, flag::BLOCKED), State::Exit);
    }

    #[test]
    fn a_runnable_thread_was_throttled_or_preempted_or_yielded() {
        assert_eq!(state(0, -1, flag::THROTTLED), State::Throttled);
        assert_eq!(state(0, SCHED_YIELD, 0), State::Yield);
        assert_eq!(state(0, SCHED_YIELD, flag::PREEMPT), State::Preempted);
        assert_eq!(state(0, 202, 0), State::Preempted);
        assert_eq!(state(0x2001, 202, flag::PREEMPT), State::Preempted, "about to block, and preempted");
    }

    #[test]
    fn without_a_system_call_an_uninterruptible_wait_is_a_page_fault() {
        assert_eq!(state(0x102, -1, flag::BLOCKED), State::PageFault);
        assert_eq!(state(0x1, -1, flag::BLOCKED), State::Other);
        assert_eq!(state(0x102, -1, flag::BLOCKED | flag::EXITING), State::Other);
        assert_eq!(state(0x102, -1, flag::BLOCKED | flag::IO_WORKER), State::IoWorker);
    }

    #[test]
    fn a_restarted_call_is_the_wait_it_goes_on_with() {
        let head = head(1, RESTART_SYSCALL, flag::BLOCKED);
        assert_eq!(decide(&head, 0, &Devices::default(), Some(State::Poll)), State::Poll);
        assert_eq!(decide(&head, 0, &Devices::default(), None), State::SyscallOther);
    }

    #[test]
    fn an_ioctl_is_told_by_its_device() {
        let devices = Devices::for_tests(&[(195 << 20 | 255, "nvidiactl")]);
        let head = head(1, IOCTL, flag::BLOCKED);
        assert_eq!(decide(&head, 195 << 20 | 255, &devices, None), State::GpuIoctl);
        assert_eq!(decide(&head, 5 << 20, &devices, None), State::Ioctl);
    }

    #[test]
    fn a_32_bit_program_has_its_own_numbers() {
        assert_eq!(state(1, 162, flag::BLOCKED | flag::COMPAT), State::Sleep);
        assert_eq!(state(0, 158, flag::COMPAT), State::Yield);
    }
}
