//! Shedding: what the kernel half keeps when its cost nears the ceiling, and how it is told to.
//!
//! Episodes below a threshold become no record each: a thread's slot sums them by why it was off the CPU, and a sum is
//! handed over as one record. All of this is there only where a ceiling is set.

use crate::episode::{Blocked, flag};

/// Sums there is room for in a thread at a time; one more why pushes the oldest out.
pub const TALLIES: usize = 6;

/// A sum is handed over when its first episode is older than this.
pub const TALLY_NS: u64 = 1_000_000_000;

/// What the CPUs take from the budget at a time: a CPU's spending is known to user space up to this.
pub const CREDIT_NS: u64 = 16_000;

/// What user space lets the kernel half do until it looks again: one for all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Budget {
    /// An episode shorter than this is counted; `u64::MAX` for all of them. Where it is not 0, no call becomes a span.
    /// Set by user space, and to `u64::MAX` by the kernel half.
    pub threshold_ns: u64,
    /// What was spent since user space looked, in estimated nanoseconds, in steps of [`CREDIT_NS`].
    pub spent_ns: u64,
    /// Spending above this makes the kernel half count all episodes.
    pub count_above_ns: u64,
    /// Spending above this makes it stop.
    pub end_above_ns: u64,
    /// When it took to counting by itself; 0 where it did not since user space looked.
    pub counting_ns: u64,
    /// What a context switch costs, its wakeup included; one of bystanders a quarter of it.
    pub switch_ns: u64,
    /// What a system call costs that is traced.
    pub call_ns: u64,
    /// What a record costs user space.
    pub record_ns: u64,
}

/// Episodes of a thread that are alike, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tally {
    /// When the first of them began.
    pub first_ns: u64,
    /// When the thread was switched in after the last of them.
    pub last_ns: u64,
    /// From switch-out to wakeup, of all.
    pub blocked_ns: u64,
    /// From wakeup, or switch-out where it stayed runnable, to switch-in.
    pub runqueue_ns: u64,
    /// How many; 0 for none.
    pub episodes: u32,
    /// As in [`crate::episode::Head`], of each of them.
    pub syscall: i32,
    /// The same.
    pub task_state: u32,
    /// As in [`Blocked`].
    pub rdev: u32,
    /// As in [`crate::episode::Head`]: those bits that tell why.
    pub flags: u16,
    pub _pad: [u16; 3],
}

impl Tally {
    /// The flags that two episodes must share to be summed.
    pub const WHY: u16 = flag::VOLUNTARY
        | flag::PREEMPT
        | flag::THROTTLED
        | flag::COMPAT
        | flag::IO_WORKER
        | flag::EXITING
        | flag::FROZEN
        | flag::BLOCKED;
}

/// What is counted of the thread in a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tallies {
    /// Whose they are: a slot is used again.
    pub utid: u32,
    /// Switches counted since the thread's first: what its records' `seq` leaves out.
    pub switches: u32,
    /// The next sum to be pushed out.
    pub oldest: u32,
    pub _pad: u32,
    /// When the kernel's counters were first read: the episode that began then is a record in any case.
    pub first_ns: u64,
    /// The last episode, which is summed when the next begins and becomes a record where none does; its kind is 0
    /// where there is none.
    pub last: Blocked,
    pub tallies: [Tally; TALLIES],
}

/// A sum is handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counted {
    /// [`crate::RecordKind::Counted`].
    pub kind: u16,
    pub _pad: u16,
    /// The thread, by its number in this recording.
    pub utid: u32,
    /// When it was handed over: at a switch-out of the thread, or its exec.
    pub at_ns: u64,
    pub tally: Tally,
}

const _: () = {
    assert!(size_of::<Budget>() == 64);
    assert!(size_of::<Tally>() == 56);
    assert!(size_of::<Tallies>() == 24 + 80 + 56 * TALLIES);
    assert!(size_of::<Counted>() == 72);
};

#[cfg(feature = "user")]
mod user {
    // SAFETY: `repr(C)`, integers only, without padding (the assertions above).
    unsafe impl aya::Pod for super::Budget {}
    // SAFETY: as above.
    unsafe impl aya::Pod for super::Tallies {}
}
