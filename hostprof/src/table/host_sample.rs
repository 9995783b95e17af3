//! Table `host_sample`: how busy and how short of what the machine is.

use super::table;

table! {
    /// One row is the machine at an instant, one at each sample. Times are cumulative since boot, those of CPUs
    /// summed over all of them, in ticks (10 ms); pressure (PSI) is to the microsecond, and null where the kernel
    /// does not tell it.
    HostSampleRow in "host_sample" as HostSampleColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns);

    /// Just before the files were read, CLOCK_MONOTONIC.
    ts_mono_ns: u64 ["ns" Delta],
    /// CPUs whose times are in the sums: those online.
    cpus: u32 ["" Dictionary],
    /// CPU time in user mode, of guests too, cumulative. Source: /proc/stat; those up to `guest_ns` as well.
    user_ns: u64 ["ns" Delta],
    /// CPU time in user mode of niced tasks, cumulative; not in `user_ns`.
    nice_ns: u64 ["ns" Delta],
    /// CPU time in the kernel, interrupts not included, cumulative.
    system_ns: u64 ["ns" Delta],
    /// CPU time idle, cumulative.
    idle_ns: u64 ["ns" Delta],
    /// CPU time idle while a task waited for storage, cumulative; may fall.
    iowait_ns: u64 ["ns" Delta],
    /// CPU time in interrupts, cumulative; 0 in kernels that do not tell it apart.
    irq_ns: u64 ["ns" Delta],
    /// CPU time in softirqs, cumulative.
    softirq_ns: u64 ["ns" Delta],
    /// CPU time that the hypervisor gave to others while this machine wanted it, cumulative.
    steal_ns: u64 ["ns" Delta],
    /// The part of `user_ns` and `nice_ns` in which guests of this machine ran, cumulative.
    guest_ns: u64 ["ns" Delta],
    /// Context switches, cumulative since boot. Source: /proc/stat ctxt.
    switches: u64 ["" Delta],
    /// Tasks made, cumulative since boot. Source: /proc/stat processes.
    forks: u64 ["" Delta],
    /// Tasks that run or are runnable at the instant, the recorder's own among them: the run queue. Source:
    /// /proc/stat procs_running.
    runnable: u64 ["" Dictionary],
    /// Tasks that wait for storage at the instant. Source: /proc/stat procs_blocked.
    blocked: u64 ["" Dictionary],
    /// Load average of 1 minute. Source: /proc/loadavg.
    load1: Option<f64> ["" Plain],
    /// Memory to be had without swapping, at the instant. Source: /proc/meminfo MemAvailable; the next four from
    /// there too.
    memory_available_bytes: Option<u64> ["bytes" Delta],
    /// Memory free, at the instant.
    memory_free_bytes: Option<u64> ["bytes" Delta],
    /// Page cache, at the instant.
    cached_bytes: Option<u64> ["bytes" Delta],
    /// Pages to be written to storage, at the instant.
    dirty_bytes: Option<u64> ["bytes" Delta],
    /// Swap in use, at the instant.
    swap_used_bytes: Option<u64> ["bytes" Dictionary],
    /// Time in which some task waited for a CPU, cumulative. Source: /proc/pressure/cpu, total.
    cpu_some_ns: Option<u64> ["ns" Delta],
    /// Time in which some task waited for memory. Source: /proc/pressure/memory.
    memory_some_ns: Option<u64> ["ns" Delta],
    /// Time in which all tasks that were not idle did. Source: /proc/pressure/memory.
    memory_full_ns: Option<u64> ["ns" Delta],
    /// Time in which some task waited for storage. Source: /proc/pressure/io.
    io_some_ns: Option<u64> ["ns" Delta],
    /// Time in which all tasks that were not idle did. Source: /proc/pressure/io.
    io_full_ns: Option<u64> ["ns" Delta],
    /// Time in which interrupts kept all tasks of a CPU from running; null also where the kernel does not count
    /// it (CONFIG_IRQ_TIME_ACCOUNTING). Source: /proc/pressure/irq.
    irq_full_ns: Option<u64> ["ns" Delta],
}
