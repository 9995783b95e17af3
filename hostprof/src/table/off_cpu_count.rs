//! Table `off_cpu_count`: episodes that were counted and not recorded, since hostprof's cost neared its ceiling.

use super::{State, table};

table! {
    /// One row is off-CPU episodes of a thread that are alike, summed over a second or less: those that are in no row
    /// of `off_cpu`, since a ceiling was set on hostprof's cost (`shed` tells from when on, and up to which length).
    /// Add them to the sums over `off_cpu`: `blocked_ns` to the state; `runqueue_ns` to the state where that is
    /// `preempted`, `yield` or `throttled`, else to `runqueue`.
    OffCpuCountRow in "off_cpu_count" as OffCpuCountColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);

    /// When the first of them began, CLOCK_MONOTONIC.
    ts_mono_ns: u64 ["ns" Delta],
    /// From then to the end of the last of them. Rows of `off_cpu` may lie within.
    dur_ns: u64 ["ns" Plain],
    /// Thread, in the initial pid namespace.
    tid: u32 ["" Dictionary],
    /// Process, in the initial pid namespace.
    tgid: u32 ["" Dictionary],
    /// Why it was off the CPU.
    state: State ["" Dictionary],
    /// The system call it was in; null where there was none, or one of i386.
    syscall_nr: Option<i32> ["" Dictionary],
    /// Whether they were voluntary switches, as the kernel counts them.
    voluntary: bool ["" Dictionary],
    /// How many episodes the row sums.
    episodes: u64 ["" Plain],
    /// From switch-out to wakeup, all together.
    blocked_ns: u64 ["ns" Plain],
    /// From wakeup to switch-in, all together; from switch-out where the thread stayed runnable.
    runqueue_ns: u64 ["ns" Plain],
}
