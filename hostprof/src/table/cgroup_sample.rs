//! Table `cgroup_sample`: what the target's cgroups have, have used, and were refused.

use super::table;

table! {
    /// One row is a cgroup at an instant, one at each sample: those that processes of the target are in, and
    /// all above them but the root, since a limit of any level holds. With cgroup v1, where each controller may
    /// have a hierarchy of its own, a path has one row with what its controllers tell; a machine with both
    /// versions has rows of both. Null is what the cgroup's version, controllers or kernel do not tell. Counters
    /// are cumulative since the cgroup was made, and hold the cgroups below it.
    CgroupSampleRow in "cgroup_sample" as CgroupSampleColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns);

    /// Just before the cgroup's files were read, CLOCK_MONOTONIC.
    ts_mono_ns: u64 ["ns" Delta],
    /// The cgroup, as /proc/PID/cgroup names it.
    path: String ["" Dictionary],
    /// 1 or 2: the version of cgroups.
    version: u16 ["" Dictionary],
    /// CPU time, cumulative. Source: v2 cpu.stat usage_usec; v1 cpuacct.usage.
    cpu_ns: Option<u64> ["ns" Delta],
    /// The part in user mode, cumulative. Source: v2 cpu.stat user_usec; v1 cpuacct.stat, in ticks of 10 ms.
    user_ns: Option<u64> ["ns" Delta],
    /// The part in the kernel, as `user_ns`.
    system_ns: Option<u64> ["ns" Delta],
    /// CPU time allowed in each period, at the instant; null where there is no quota. Source: v2 cpu.max; v1
    /// cpu.cfs_quota_us.
    quota_ns: Option<u64> ["ns" Dictionary],
    /// That period, at the instant. Source: v2 cpu.max; v1 cpu.cfs_period_us.
    period_ns: Option<u64> ["ns" Dictionary],
    /// Periods in which the cgroup could run, cumulative. Source: cpu.stat; of this level alone.
    periods: Option<u64> ["" Delta],
    /// Periods in which it used up its quota, cumulative. Source: cpu.stat nr_throttled; of this level alone.
    throttled_periods: Option<u64> ["" Delta],
    /// Time its run queues were held, a sum over CPUs, cumulative; less than what its threads waited, where
    /// several wait on one CPU. Source: v2 cpu.stat throttled_usec; v1 throttled_time; of this level alone.
    throttled_ns: Option<u64> ["ns" Delta],
    /// Memory charged to it, page cache included, at the instant. Source: v2 memory.current; v1
    /// memory.usage_in_bytes.
    memory_bytes: Option<u64> ["bytes" Delta],
    /// The most it may have, at the instant; null where there is no limit. Source: v2 memory.max; v1
    /// memory.limit_in_bytes.
    memory_max_bytes: Option<u64> ["bytes" Dictionary],
    /// From where on it is made to reclaim, at the instant; null where there is no limit. Source: v2
    /// memory.high.
    memory_high_bytes: Option<u64> ["bytes" Dictionary],
    /// Swapped out, at the instant. Source: v2 memory.swap.current; v1 memory.stat total_swap.
    swap_bytes: Option<u64> ["bytes" Dictionary],
    /// Memory no file backs, at the instant. Source: memory.stat, v2 anon; v1 total_rss.
    anon_bytes: Option<u64> ["bytes" Delta],
    /// Page cache, shared memory included, at the instant. Source: memory.stat, v2 file; v1 total_cache.
    file_bytes: Option<u64> ["bytes" Delta],
    /// Page faults, cumulative. Source: memory.stat pgfault.
    faults: Option<u64> ["" Delta],
    /// Major page faults, cumulative. Source: memory.stat pgmajfault.
    major_faults: Option<u64> ["" Delta],
    /// Pages of files that had been evicted shortly before, cumulative: too little memory. Source: memory.stat
    /// workingset_refault_file, of which older kernels tell the sum with the next alone, here.
    refaults_file: Option<u64> ["" Delta],
    /// The same of pages no file backs. Source: memory.stat workingset_refault_anon.
    refaults_anon: Option<u64> ["" Delta],
    /// Pages looked at to reclaim some, cumulative. Source: v2 memory.stat pgscan.
    scanned_pages: Option<u64> ["" Delta],
    /// Pages reclaimed, cumulative. Source: v2 memory.stat pgsteal.
    reclaimed_pages: Option<u64> ["" Delta],
    /// Times its protection was not enough, cumulative. Source: v2 memory.events low.
    events_low: Option<u64> ["" Delta],
    /// Times it was held back at `memory_high_bytes`, cumulative. Source: v2 memory.events high.
    events_high: Option<u64> ["" Delta],
    /// Times it was about to pass `memory_max_bytes`, cumulative. Source: v2 memory.events max; v1
    /// memory.failcnt.
    events_max: Option<u64> ["" Delta],
    /// Times that reclaim did not help, cumulative. Source: v2 memory.events oom.
    events_oom: Option<u64> ["" Delta],
    /// Processes killed for want of memory, cumulative. Source: v2 memory.events; v1 memory.oom_control.
    oom_kills: Option<u64> ["" Delta],
    /// Read from storage, all devices, cumulative. Source: v2 io.stat rbytes; v1
    /// blkio.throttle.io_service_bytes_recursive.
    disk_read_bytes: Option<u64> ["bytes" Delta],
    /// Written to storage, cumulative. Source: v2 io.stat wbytes; v1 as above.
    disk_write_bytes: Option<u64> ["bytes" Delta],
    /// Reads from storage, cumulative. Source: v2 io.stat rios; v1 blkio.throttle.io_serviced_recursive.
    disk_reads: Option<u64> ["" Delta],
    /// Writes to storage, cumulative. Source: v2 io.stat wios; v1 as above.
    disk_writes: Option<u64> ["" Delta],
    /// Time in which some task of it waited for a CPU, cumulative. Source: v2 cpu.pressure, total.
    cpu_some_ns: Option<u64> ["ns" Delta],
    /// Time in which all of its tasks that could run waited for a CPU. Source: v2 cpu.pressure.
    cpu_full_ns: Option<u64> ["ns" Delta],
    /// Time in which some task waited for memory. Source: v2 memory.pressure.
    memory_some_ns: Option<u64> ["ns" Delta],
    /// Time in which all did. Source: v2 memory.pressure.
    memory_full_ns: Option<u64> ["ns" Delta],
    /// Time in which some task waited for storage. Source: v2 io.pressure.
    io_some_ns: Option<u64> ["ns" Delta],
    /// Time in which all did. Source: v2 io.pressure.
    io_full_ns: Option<u64> ["ns" Delta],
}
