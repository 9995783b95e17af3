//! Table `histogram`: what the kernel half counted without a record for each event.

use super::table;

table! {
    /// One row is a bucket of an in-kernel histogram over an interval; rows of several intervals add up.
    HistogramRow in "histogram" as HistogramColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);

    /// Start of the interval, CLOCK_MONOTONIC.
    ts_mono_ns: u64 ["ns" Delta],
    /// Length of the interval.
    dur_ns: u64 ["ns" Delta],
    /// What is counted: `host_runqueue` is the run-queue latency of every task of the machine, `syscall` the
    /// length of system calls, `cuda` that of calls of CUDA's driver library, `engine` that of an engine's functions.
    name: String ["" Dictionary],
    /// The part it is counted for: the CPU, as `cpu0`; the process and the call, as `4711:202 futex`,
    /// `4711 cuLaunchKernel`, `4711 llama_decode`.
    key: String ["" Dictionary],
    /// Least value of the bucket.
    bucket_low_ns: u64 ["ns" Dictionary],
    /// First value beyond the bucket. 2^64 - 1 where calls are counted and not timed, as launches are.
    bucket_high_ns: u64 ["ns" Dictionary],
    /// How many waits, or calls, were in the bucket.
    count: u64 ["" Delta],
    /// Their lengths together. Null for `host_runqueue`, where the kernel half keeps none, and where calls are not timed.
    total_ns: Option<u64> ["ns" Plain],
}
