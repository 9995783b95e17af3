//! Table `page_fault`: how many page faults each thread had.

use super::table;

table! {
    /// One row is the page faults of a thread in an interval, or a major fault (with `major` > 0), between
    /// two of its switch-outs. Faults are known when the thread is next switched out: one that computes on
    /// tells late.
    PageFaultRow in "page_fault" as PageFaultColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);

    /// Start of the interval, CLOCK_MONOTONIC: the switch-out up to which the last row counted.
    ts_mono_ns: u64 ["ns" Delta],
    /// Length of the interval.
    dur_ns: u64 ["ns" Delta],
    /// Thread, in the initial pid namespace.
    tid: u32 ["" Dictionary],
    /// Process, in the initial pid namespace.
    tgid: u32 ["" Dictionary],
    /// Faults served without I/O. Source: task_struct.min_flt.
    minor: u64 ["" Dictionary],
    /// Faults that had to wait for I/O. Source: task_struct.maj_flt.
    major: u64 ["" Dictionary],
}
