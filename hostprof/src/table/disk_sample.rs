//! Table `disk_sample`: what each disk has done, as `iostat -x` shows it.

use super::table;

table! {
    /// One row is a disk at an instant, one at each sample: whole disks, not their partitions, that were ever
    /// used. Counters are cumulative since boot; the last five columns are of the time since the disk's row
    /// before, and null in its first. Source: /proc/diskstats.
    DiskSampleRow in "disk_sample" as DiskSampleColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns);

    /// Just before the counters were read, CLOCK_MONOTONIC.
    ts_mono_ns: u64 ["ns" Delta],
    /// The disk, as the kernel names it.
    device: String ["" Dictionary],
    /// Reads completed, cumulative.
    reads: u64 ["" Delta],
    /// Reads that were merged into others, cumulative.
    reads_merged: u64 ["" Delta],
    /// Bytes read, cumulative.
    read_bytes: u64 ["bytes" Delta],
    /// Time that reads took, queueing included, a sum over them, cumulative, in steps of 1 ms.
    read_ns: u64 ["ns" Delta],
    /// Writes completed, cumulative.
    writes: u64 ["" Delta],
    /// Writes that were merged into others, cumulative.
    writes_merged: u64 ["" Delta],
    /// Bytes written, cumulative.
    write_bytes: u64 ["bytes" Delta],
    /// Time that writes took, as `read_ns`.
    write_ns: u64 ["ns" Delta],
    /// Requests under way at the instant.
    in_flight: u64 ["" Dictionary],
    /// Time in which any request was under way, cumulative, in steps of 1 ms.
    busy_ns: u64 ["ns" Delta],
    /// Time of all requests, a sum over them, cumulative, in steps of 1 ms.
    queued_ns: u64 ["ns" Delta],
    /// Discards completed, cumulative; null before Linux 4.18.
    discards: Option<u64> ["" Delta],
    /// Bytes discarded, cumulative; null as above.
    discard_bytes: Option<u64> ["bytes" Delta],
    /// Time that discards took, as `read_ns`; null as above.
    discard_ns: Option<u64> ["ns" Delta],
    /// Flushes completed, cumulative; null before Linux 5.5.
    flushes: Option<u64> ["" Delta],
    /// Time that flushes took, as `read_ns`; null as above.
    flush_ns: Option<u64> ["ns" Delta],
    /// Mean time of a read since the row before; null where there was none. iostat: r_await.
    read_await_ns: Option<u64> ["ns" Plain],
    /// Mean time of a write since the row before; null where there was none. iostat: w_await.
    write_await_ns: Option<u64> ["ns" Plain],
    /// Requests under way on average since the row before. iostat: aqu-sz.
    queue_mean: Option<f64> ["" Plain],
    /// Share of the time since the row before in which any request was under way, 0 to 1: of a disk that
    /// serves many at a time it does not tell how much more it could do. iostat: %util.
    util_ratio: Option<f64> ["ratio" Plain],
    /// Length of that time.
    interval_ns: Option<u64> ["ns" Plain],
}
