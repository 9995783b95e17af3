//! What the kernel half keeps of a thread between two of its switches: one array slot.

use crate::thread::Counters;

/// A recorded thread. Slot 0 is never used: it means "not recorded" in the tid table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Slot {
    /// The kernel's `start_time`, which with the tid names a thread beyond doubt; 0 until first met.
    pub start_ns: u64,
    /// When it was switched out; 0 while it runs.
    pub out_ns: u64,
    /// When it was last made runnable.
    pub wake_ns: u64,
    /// The system call's first two arguments, at the switch-out.
    pub arg0: u64,
    pub arg1: u64,
    /// By how much the run queue's `clock` was ahead of its `clock_task` at the switch-in.
    pub ahead_ns: u64,
    /// By how much the recording's clock was ahead of the run queue's, at the last of the thread's switches
    /// and wakeups.
    pub lag_ns: u64,
    /// By how much more it was at the end of the thread's last wait for a CPU than at its beginning.
    pub wait_late_ns: u64,
    /// Its time off the CPU since it was met, up to its last switch-in: the sum of its episodes but the one
    /// that was open when it was met.
    pub off_ns: u64,
    /// The thread's number in this recording; 0 in a free slot.
    pub utid: u32,
    /// Its tid, in the initial pid namespace.
    pub tid: u32,
    /// As in [`crate::episode::Head`], of the last switch-out.
    pub task_state: u32,
    pub syscall: i32,
    pub cpu_out: u16,
    pub flags: u16,
    /// Who made it runnable, of the last `sched_waking`: see [`crate::episode::Blocked::waker_tid`].
    pub waker_tid: u32,
    /// As in [`crate::episode::Blocked`].
    pub rdev: u32,
    /// `flag::WAKE_*` of the last wakeup.
    pub wake_flags: u16,
    /// [`presence`].
    pub presence: u16,
    /// How often the thread had been moved to another run queue, at the switch-out.
    pub migrations: u32,
    /// The slot's own index.
    pub index: u32,
    /// The kernel's counters at the last switch-out.
    pub last: Counters,
}

impl Slot {
    /// A free slot.
    pub const ZERO: Self = Self {
        start_ns: 0,
        out_ns: 0,
        wake_ns: 0,
        arg0: 0,
        arg1: 0,
        ahead_ns: 0,
        lag_ns: 0,
        wait_late_ns: 0,
        off_ns: 0,
        utid: 0,
        tid: 0,
        task_state: 0,
        syscall: 0,
        cpu_out: 0,
        flags: 0,
        waker_tid: 0,
        rdev: 0,
        wake_flags: 0,
        presence: 0,
        migrations: 0,
        index: 0,
        last: Counters::ZERO,
    };
}

/// Whether a slot's thread runs: [`Slot::presence`].
pub mod presence {
    /// Adopted at `out_ns`, no switch seen yet.
    pub const UNKNOWN: u16 = 0;
    /// On a CPU.
    pub const ON_CPU: u16 = 1;
    /// Off the CPU, `out_ns` and what follows it valid.
    pub const OFF_CPU: u16 = 2;
}

const _: () = assert!(size_of::<Slot>() == 192);

/// What is given out by counting: indices of the kernel half's two counters.
pub mod given_out {
    /// Thread numbers.
    pub const UTIDS: u32 = 0;
    /// Slots, from index 1 on.
    pub const SLOTS: u32 = 1;
}

/// What user space hands the `adopt` program, as the arguments of a raw tracepoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AdoptArgs {
    pub tid: u64,
    pub tgid: u64,
}

/// What the `adopt` program answers.
pub mod adopt {
    /// The thread is recorded from now on.
    pub const ADOPTED: u32 = 1;
    /// It already was.
    pub const KNOWN: u32 = 2;
    /// There is no free slot.
    pub const FULL: u32 = 3;
    /// The tid is out of range.
    pub const RANGE: u32 = 4;
    /// The record of its beginning found no room; the thread is not recorded. Try again.
    pub const BUSY: u32 = 5;
}

#[cfg(feature = "user")]
// SAFETY: `repr(C)`, integers only, no padding (the size assertion above).
unsafe impl aya::Pod for Slot {}
