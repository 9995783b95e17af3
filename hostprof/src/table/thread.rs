//! Table `thread`: every thread seen, with the kernel's own account of it.

use super::table;

table! {
    /// One row is a thread seen, from when it was first recorded to when it ended or recording did. The
    /// `_first` and `_last` columns are the kernel's own counters at the thread's first and last recorded
    /// switch-out: the truth that `hostprof check` compares the other tables with. A thread that took its
    /// process's id by exec has two rows.
    ThreadRow in "thread" as ThreadColumns, span |row| (row.begin_mono_ns, row.end_mono_ns);

    /// Thread id in the initial pid namespace. Ids recur: with `begin_mono_ns` it is unique.
    tid: u32 ["" Plain],
    /// Process id in the initial pid namespace.
    tgid: u32 ["" Plain],
    /// Thread id in the thread's own pid namespace; null where it could not be read.
    ns_tid: Option<u32> ["" Plain],
    /// The thread that made it; null for one met while it lived.
    parent_tid: Option<u32> ["" Plain],
    /// Last name, control characters and invalid UTF-8 escaped as `\xNN`.
    comm: String ["" Dictionary],
    /// The process's program; null where it could not be read.
    exe: Option<String> ["" Dictionary],
    /// What the thread does in its engine; null where no rule applies.
    role: Option<String> ["" Dictionary],
    /// The rule that told the role.
    role_rule: Option<String> ["" Dictionary],
    /// How sure the rule is, 0 to 1.
    role_confidence: Option<f64> ["ratio" Dictionary],
    /// Id of the container the process was in when it was met, or after its last exec; null outside one.
    /// Source: /proc/PID/cgroup.
    container_id: Option<String> ["" Dictionary],
    /// UID of the pod, or id of the Podman pod; null outside one. Source: as `container_id`.
    pod: Option<String> ["" Dictionary],
    /// When the thread was made, CLOCK_MONOTONIC; to 10 ms for one met while it lived (/proc tells no
    /// more), null where that could not be read.
    start_mono_ns: Option<u64> ["ns" Plain],
    /// When it ended: its last switch; null for one that outlived the recording.
    exit_mono_ns: Option<u64> ["ns" Plain],
    /// When recording of it began, CLOCK_MONOTONIC.
    begin_mono_ns: u64 ["ns" Plain],
    /// When recording of it ended.
    end_mono_ns: u64 ["ns" Plain],
    /// When the `_first` counters were read: the first switch-out, or the making of a thread made during
    /// the recording; null where there was neither.
    first_mono_ns: Option<u64> ["ns" Plain],
    /// When the `_last` counters were read: the last switch-out.
    last_mono_ns: Option<u64> ["ns" Plain],
    /// Voluntary context switches. Source: task_struct.nvcsw; /proc/PID/status where no switch was seen.
    nvcsw_first: Option<u64> ["" Plain],
    /// As `nvcsw_first`, at the end.
    nvcsw_last: Option<u64> ["" Plain],
    /// Involuntary context switches. Source: task_struct.nivcsw, or /proc/PID/status.
    nivcsw_first: Option<u64> ["" Plain],
    /// As `nivcsw_first`, at the end.
    nivcsw_last: Option<u64> ["" Plain],
    /// Time on a CPU. Source: task_struct.se.sum_exec_runtime, or /proc/PID/schedstat.
    sum_exec_ns_first: Option<u64> ["ns" Plain],
    /// As `sum_exec_ns_first`, at the end.
    sum_exec_ns_last: Option<u64> ["ns" Plain],
    /// Time runnable and waiting. Source: task_struct.sched_info.run_delay, or /proc/PID/schedstat.
    run_delay_ns_first: Option<u64> ["ns" Plain],
    /// As `run_delay_ns_first`, at the end.
    run_delay_ns_last: Option<u64> ["ns" Plain],
    /// Minor page faults. Source: task_struct.min_flt, or /proc/PID/stat.
    min_flt_first: Option<u64> ["" Plain],
    /// As `min_flt_first`, at the end.
    min_flt_last: Option<u64> ["" Plain],
    /// Major page faults. Source: task_struct.maj_flt, or /proc/PID/stat.
    maj_flt_first: Option<u64> ["" Plain],
    /// As `maj_flt_first`, at the end.
    maj_flt_last: Option<u64> ["" Plain],
    /// Interrupt and hypervisor time while it was on a CPU, between the two readings: inside its on-CPU time
    /// here, outside the kernel's `sum_exec`. Source: rq.clock - rq.clock_task at its switches.
    stolen_ns: Option<u64> ["ns" Plain],
    /// By how much later, over the same time, the tracepoints ran than the kernel read its clock, at the ends
    /// of the thread's stays on a CPU against their beginnings: a hypervisor that stops the CPU in the middle
    /// of a switch makes milliseconds of it. Inside its on-CPU time here, outside the kernel's. Source:
    /// CLOCK_MONOTONIC - rq.clock at its switches.
    late_on_cpu_ns: Option<i64> ["ns" Plain],
    /// The same of its waits for a CPU; and what the kernel miscounted of waits in which it changed run
    /// queues. Source: CLOCK_MONOTONIC - rq.clock at its wakeups and switches, sched_info.
    late_runqueue_ns: Option<i64> ["ns" Plain],
    /// Context switches of the thread whose records were lost, told by gaps in the kernel's count.
    lost_switches: u64 ["" Plain],
}
