//! Spans: system calls from enter to exit, with the part of each spent off the CPU.
//!
//! A call that was open when its thread was met has an exit and no enter; one that is open when the thread
//! ends, or recording does, an enter and no exit. Both are counted, neither is guessed at.

use crate::stats::HISTOGRAM_BUCKETS;

/// How many arguments of a call are kept.
pub const ARGS: usize = 4;

/// In [`Span::off_cpu_ns`]: the call begins or ends amid a stay on a CPU whose switch-in was not traced, and
/// that stay began or ended within it, so the time is not known.
pub const OFF_CPU_UNKNOWN: u64 = u64::MAX;

/// A system call of a recorded thread returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Span {
    /// [`crate::RecordKind::Span`].
    pub kind: u16,
    /// One of [`probe`].
    pub probe: u16,
    /// The thread, by its number in this recording ([`crate::thread::Begin::utid`]).
    pub utid: u32,
    /// When it returned.
    pub exit_ns: u64,
    /// When it was entered.
    pub enter_ns: u64,
    /// Of the time between, what the thread spent off the CPU: the sum of its episodes, by the same
    /// readings of the clock; [`OFF_CPU_UNKNOWN`] where that is not known.
    pub off_cpu_ns: u64,
    /// What it returned: a negative errno for an error.
    pub ret: i64,
    /// Its x86-64 number.
    pub nr: i32,
    /// The selected device an ioctl is for (`major << 20 | minor`); else 0.
    pub rdev: u32,
    /// Its first arguments, as passed.
    pub args: [u64; ARGS],
}

/// A call that has not returned, one for each slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Open {
    /// As in [`Span`].
    pub enter_ns: u64,
    /// The thread's time off the CPU so far, at the enter.
    pub off_ns: u64,
    /// The switch-out after which the thread came back untold and still ran at the enter: its episode is not
    /// in `off_ns` yet. 0 where it was told.
    pub untold_out_ns: u64,
    /// When the thread was first seen to run after the switch-out at `seen_out_ns`, whose switch-in was untold.
    pub seen_ns: u64,
    pub seen_out_ns: u64,
    pub args: [u64; ARGS],
    /// Whose call it is: a slot is used again.
    pub utid: u32,
    pub nr: i32,
    pub rdev: u32,
    pub probe: u16,
    /// One of [`state`].
    pub state: u16,
    /// What its device speaks: one of [`crate::nvidia::device`].
    pub device: u32,
    pub _pad: u32,
}

/// What becomes of an open call: [`Open::state`].
pub mod state {
    /// There is none.
    pub const NONE: u16 = 0;
    /// It becomes a record, or is filtered by its length.
    pub const RECORD: u16 = 1;
    /// It becomes no record: filtered at its enter, or only counted.
    pub const COUNT: u16 = 2;
}

/// Whose call it is: [`Span::probe`], and the index of its counters.
pub mod probe {
    pub const IOCTL: u16 = 0;
    pub const MEMORY: u16 = 1;
    pub const FUTEX: u16 = 2;
    pub const SYSCALL: u16 = 3;
    pub const SYSCALL_COUNT: u16 = 4;
    /// No call: the records of [`crate::http`].
    pub const HTTP: u16 = 5;
    /// No system call: those of [`crate::function`], by [`crate::function::probe_of`].
    pub const CUDA: u16 = 6;
    pub const ENGINE: u16 = 7;
    /// Not asked for.
    pub const NONE: u16 = u16::MAX;
    /// How many there is room for: a power of two.
    pub const ROOM: usize = 8;
}

/// Ranges of devices there is room for.
pub const DEVICE_RANGES: usize = 16;

/// Which calls become spans: set by user space before load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Filter {
    /// A futex call shorter than this becomes no record.
    pub futex_threshold_ns: u64,
    /// 1 where ioctls on the selected devices become records.
    pub ioctl: u32,
    /// 1 where calls that change the address space do.
    pub memory: u32,
    /// 1 where futex calls do.
    pub futex: u32,
    /// 1 where every call does, whatever its device and length.
    pub rows: u32,
    /// 1 where every call is counted by process and number.
    pub counts: u32,
    /// 1 where any of these is, or [`Filter::functions`].
    pub any: u32,
    /// Of [`Filter::devices`], how many are set.
    pub ranges: u32,
    /// 1 where calls of libraries' functions become records.
    pub functions: u32,
    /// Selected character devices: the first and last number of each range, `major << 20 | minor`.
    pub devices: [[u32; 2]; DEVICE_RANGES],
}

impl Filter {
    /// No call becomes a span.
    pub const NONE: Self = Self {
        futex_threshold_ns: 0,
        ioctl: 0,
        memory: 0,
        futex: 0,
        rows: 0,
        counts: 0,
        any: 0,
        ranges: 0,
        functions: 0,
        devices: [[0; 2]; DEVICE_RANGES],
    };
}

/// What one CPU has counted of one probe's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProbeStats {
    /// Records handed to user space.
    pub records: u64,
    /// Records lost because the ring was full; of `SYSCALL_COUNT`, calls that found no room in the counts.
    pub full: u64,
    /// Records lost because the ring was busy.
    pub busy: u64,
    /// Calls left out: another device, shorter than the threshold, or through the 32-bit entry.
    pub filtered: u64,
    /// Enters without an exit.
    pub unfinished: u64,
    /// Exits without an enter.
    pub unbegun: u64,
}

/// What one CPU has counted of calls, by [`probe`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SpanStats {
    pub probes: [ProbeStats; probe::ROOM],
}

/// Whose calls are counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct CountKey {
    pub tgid: u32,
    pub nr: i32,
}

/// The calls of one process and number on one CPU, by length in [`HISTOGRAM_BUCKETS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CallCounts {
    /// How many.
    pub count: [u64; HISTOGRAM_BUCKETS],
    /// Their lengths together.
    pub total_ns: [u64; HISTOGRAM_BUCKETS],
}

impl CallCounts {
    /// No call.
    pub const ZERO: Self = Self { count: [0; HISTOGRAM_BUCKETS], total_ns: [0; HISTOGRAM_BUCKETS] };
}

const _: () = {
    assert!(size_of::<Span>() == 80);
    assert!(size_of::<Open>() == 96);
    assert!(size_of::<Filter>() == 40 + 8 * DEVICE_RANGES && size_of::<Filter>().is_multiple_of(8));
    assert!(size_of::<SpanStats>() == 48 * probe::ROOM);
};

#[cfg(feature = "user")]
mod user {
    use super::{CallCounts, CountKey, Filter, Open, SpanStats};

    // SAFETY: each is `repr(C)`, integers only, without padding (the assertions above).
    unsafe impl aya::Pod for Open {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Filter {}
    // SAFETY: as above.
    unsafe impl aya::Pod for SpanStats {}
    // SAFETY: as above.
    unsafe impl aya::Pod for CountKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for CallCounts {}
}
