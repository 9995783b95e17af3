//! Table `process_sample`: what each process of the target has and has used.

use super::table;

table! {
    /// One row is a process of the target at an instant, one at each sample. Counters are cumulative: their
    /// rate is the difference of two rows. The kernel shows a process's files only while it lives: one that
    /// ended between two samples keeps its last row, and where its network bytes went on after that (or it
    /// had no row at all) a row of those alone follows. A process id can recur.
    ProcessSampleRow in "process_sample" as ProcessSampleColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns);

    /// Just before the process's files were read, CLOCK_MONOTONIC.
    ts_mono_ns: u64 ["ns" Delta],
    /// Process id in the initial pid namespace.
    tgid: u32 ["" Dictionary],
    /// Threads at the instant. Source: /proc/PID/stat.
    threads: Option<u32> ["" Dictionary],
    /// CPU time of all its threads, ended ones too, cumulative since its start, to the nanosecond. Source: the
    /// process's CPU-time clock (clock_getcpuclockid).
    cpu_ns: Option<u64> ["ns" Delta],
    /// The part of it in user mode, cumulative, in steps of a tick (10 ms). Source: /proc/PID/stat, utime.
    user_ns: Option<u64> ["ns" Delta],
    /// The part in the kernel, as `user_ns`. Source: stime.
    system_ns: Option<u64> ["ns" Delta],
    /// Minor page faults of all threads, cumulative since its start. Source: /proc/PID/stat, minflt.
    min_flt: Option<u64> ["" Delta],
    /// Major page faults, as `min_flt`. Source: majflt.
    maj_flt: Option<u64> ["" Delta],
    /// Voluntary context switches of its main thread alone, cumulative since that thread's start: the kernel
    /// shows no sum for a process. Those of every thread are in `thread`. Source: /proc/PID/status.
    main_nvcsw: Option<u64> ["" Delta],
    /// Involuntary ones, as `main_nvcsw`.
    main_nivcsw: Option<u64> ["" Delta],
    /// Resident set at the instant. Newer kernels tell it exactly here, while /proc/PID/stat, which ps and pidstat
    /// show, lags by some pages a CPU. Null for a process whose memory is gone already. Source: /proc/PID/status,
    /// VmRSS; the next five as well.
    rss_bytes: Option<u64> ["bytes" Delta],
    /// The part of it that no file backs.
    rss_anon_bytes: Option<u64> ["bytes" Delta],
    /// The part that files back.
    rss_file_bytes: Option<u64> ["bytes" Delta],
    /// The part that is shared memory.
    rss_shmem_bytes: Option<u64> ["bytes" Delta],
    /// The greatest resident set since its start.
    rss_peak_bytes: Option<u64> ["bytes" Delta],
    /// Swapped out at the instant.
    swap_bytes: Option<u64> ["bytes" Dictionary],
    /// Bytes that read calls returned, of any file, pipe or terminal, cumulative since its start. Null, as the
    /// next six, where the recorder may not look (config.json says so). Source: /proc/PID/io, rchar.
    read_call_bytes: Option<u64> ["bytes" Delta],
    /// Bytes that write calls took. Source: wchar.
    write_call_bytes: Option<u64> ["bytes" Delta],
    /// Read calls. Source: syscr.
    read_calls: Option<u64> ["" Delta],
    /// Write calls. Source: syscw.
    write_calls: Option<u64> ["" Delta],
    /// Bytes it made storage read. Source: read_bytes.
    disk_read_bytes: Option<u64> ["bytes" Delta],
    /// Bytes it will make storage write: counted when a page becomes dirty. Source: write_bytes.
    disk_write_bytes: Option<u64> ["bytes" Delta],
    /// Bytes of those that were never written, as of a file removed early. Source: cancelled_write_bytes.
    disk_cancelled_bytes: Option<u64> ["bytes" Delta],
    /// Payload bytes its threads handed to IPv4 and IPv6 sockets, TCP, UDP and others, loopback too, cumulative
    /// since recording of it began; splice, sendfile (Linux 6.5 and later) and io_uring too. Headers and
    /// retransmissions are not in it. Null where probe `network` is off. Source: tp_btf/sock_send_length.
    network_tx_bytes: Option<u64> ["bytes" Delta],
    /// Payload bytes such sockets handed to its threads, as `network_tx_bytes`. A look (MSG_PEEK) is not
    /// counted; nor are the ways past the call that is traced: splice out of a TCP socket, TCP_ZEROCOPY_RECEIVE
    /// and RDMA. Source: tp_btf/sock_recv_length.
    network_rx_bytes: Option<u64> ["bytes" Delta],
}
