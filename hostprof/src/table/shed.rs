//! Table `shed`: what was left out to keep hostprof's cost below its ceiling, and when.

use super::{table, word::words};

words! {
    /// What is recorded, from all to nothing.
    #[derive(Default)]
    ShedStep {
        /// All that was asked for.
        #[default]
        Everything = "everything",
        /// No system calls one by one; the programs for them are detached, for good.
        SpansOff = "spans_off",
        /// Episodes shorter than `threshold_ns` are counted, not recorded.
        ShortCounted = "short_counted",
        /// All episodes are counted.
        AllCounted = "all_counted",
        /// Nothing but samples: every program is detached, for good, and each thread's row ends here.
        Ended = "ended",
    }
}

table! {
    /// One row is a step from recording one thing to recording less or more, up to the next row; the first is where
    /// recording began. Empty where no ceiling was set. Cost is the run time of hostprof's programs in the kernel, as
    /// that counts it, and the CPU time of its own threads; what is allowed is the ceiling times the target's CPU time
    /// without those programs, or times a second where the target used less.
    ShedRow in "shed" as ShedColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns);

    /// When, CLOCK_MONOTONIC.
    ts_mono_ns: u64 ["ns" Plain],
    /// What is recorded from then on.
    step: ShedStep ["" Dictionary],
    /// For `short_counted`, from which length on an episode is recorded; else null.
    threshold_ns: Option<u64> ["ns" Plain],
    /// Whether the programs took the step by themselves, between two looks at their cost: what they may spend between
    /// those was used up.
    by_kernel: bool ["" Dictionary],
    /// Cost over the target's CPU time (or a second, where that was less), in the second up to then.
    overhead_ratio: f64 ["ratio" Plain],
    /// The ceiling.
    max_overhead_ratio: f64 ["ratio" Plain],
    /// Run time of the programs in that second. Source: run_time_ns of bpf_prog_info.
    bpf_ns: u64 ["ns" Plain],
    /// CPU time of hostprof's threads in that second.
    own_ns: u64 ["ns" Plain],
    /// CPU time of the target's processes in that second.
    target_ns: u64 ["ns" Plain],
    /// The same in words, for people.
    what: String ["" Dictionary],
}
