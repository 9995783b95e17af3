//! Off-CPU episodes: one record for each, written when the thread is switched in again.
//!
//! A thread that is switched out while runnable (preempted, yielding, throttled) has no wakeup and its
//! registers say nothing about a wait, so its record is the shorter one.

/// What every episode record starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Head {
    /// A [`crate::RecordKind`]: `Runnable` or `Blocked`.
    pub kind: u16,
    /// The CPU the thread was switched in on.
    pub cpu_in: u16,
    /// The thread, by its number in this recording ([`crate::thread::Begin::utid`]).
    pub utid: u32,
    /// When it was switched in.
    pub in_ns: u64,
    /// When it was switched out; 0 when that was before hostprof met the thread.
    pub out_ns: u64,
    /// The thread's context switches so far, voluntary and not (low 32 bits of the kernel's
    /// `nvcsw + nivcsw`), this one included, less those that were counted and not recorded
    /// ([`crate::shed::Tallies::switches`]): a gap tells of a lost record.
    pub seq: u32,
    /// The thread's minor faults so far (low 32 bits of `min_flt`), at the switch-out.
    pub min_flt: u32,
    /// The thread's major faults so far (low 32 bits of `maj_flt`), at the switch-out.
    pub maj_flt: u32,
    /// The kernel's `prev_state` at the switch-out, its bits as the running kernel defines them.
    pub task_state: u32,
    /// The system call at the switch-out (`orig_ax`); -1 where there was none.
    pub syscall: i32,
    /// The CPU the thread was switched out on.
    pub cpu_out: u16,
    /// Bits of [`flag`].
    pub flags: u16,
}

/// A thread that was switched out while runnable came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Runnable {
    pub head: Head,
}

/// A thread that had blocked came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Blocked {
    pub head: Head,
    /// When it was made runnable (`sched_wakeup`, or where that was not traced the kernel's account of the
    /// wait for a CPU); 0 when neither tells.
    pub wake_ns: u64,
    /// The first argument of the system call.
    pub arg0: u64,
    /// The second argument of the system call.
    pub arg1: u64,
    /// The thread that woke it (`sched_waking`); 0 where none did.
    pub waker_tid: u32,
    /// The device behind an ioctl's fd, in the kernel's encoding (`major << 20 | minor`); else 0.
    pub rdev: u32,
}

/// Bits of [`Head::flags`].
pub mod flag {
    /// The kernel counted the switch as voluntary (`nvcsw` moved).
    pub const VOLUNTARY: u16 = 1 << 0;
    /// The kernel's preempt argument was set.
    pub const PREEMPT: u16 = 1 << 1;
    /// The thread was held by its cgroup's CPU quota.
    pub const THROTTLED: u16 = 1 << 2;
    /// The system call came through the 32-bit entry: its number is i386's.
    pub const COMPAT: u16 = 1 << 3;
    /// A kernel worker of the process (`PF_IO_WORKER`, `PF_USER_WORKER`): its registers are its creator's.
    pub const IO_WORKER: u16 = 1 << 4;
    /// The thread was on its way out (`PF_EXITING`).
    pub const EXITING: u16 = 1 << 5;
    /// Frozen, on kernels that tell it by a task flag and not by a state bit.
    pub const FROZEN: u16 = 1 << 6;
    /// The episode was open when hostprof met the thread.
    pub const OPEN_START: u16 = 1 << 7;
    /// The wakeup came from an interrupt.
    pub const WAKE_IRQ: u16 = 1 << 8;
    /// The wakeup is a new thread's first.
    pub const WAKE_NEW: u16 = 1 << 9;
    /// A task woke it, and `waker_tid` names it.
    pub const WAKE_TASK: u16 = 1 << 10;
    /// The switch-in was not traced: its time is the kernel's `sched_info.last_arrival`.
    pub const UNTOLD: u16 = 1 << 12;
    /// Written long after its end: it might have been counted instead (see [`crate::shed::Tallies::last`]).
    pub const LATE: u16 = 1 << 13;
    /// The thread was blocked, not merely off the CPU.
    pub const BLOCKED: u16 = 1 << 11;
}

const _: () = {
    assert!(size_of::<Head>() == 48 && align_of::<Head>() == 8);
    assert!(size_of::<Runnable>() == 48);
    assert!(size_of::<Blocked>() == 80);
};
