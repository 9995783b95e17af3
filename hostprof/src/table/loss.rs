//! Table `loss`: what was lost, where and when. Emitted and dropped add up to what was observed.

use super::table;

table! {
    /// One row is records lost by a probe on a CPU in an interval. No row means no loss.
    LossRow in "loss" as LossColumns, span |row| (row.start_mono_ns, row.end_mono_ns);

    /// Start of the interval in which they were lost, CLOCK_MONOTONIC.
    start_mono_ns: u64 ["ns" Plain],
    /// End of that interval.
    end_mono_ns: u64 ["ns" Plain],
    /// The probe whose records they were.
    probe: String ["" Dictionary],
    /// The CPU; null where it is not told.
    cpu: Option<u16> ["" Dictionary],
    /// How many records.
    dropped: u64 ["" Plain],
    /// Why: `full` (the ring), `busy` (others of the CPU were quicker, or held the ring's lock), `slots` (a thread that found no slot), `recursion`
    /// (the kernel skipped the program), `sequence` (a gap in a thread's switch count).
    reason: String ["" Dictionary],
}
