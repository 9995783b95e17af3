//! Where the running kernel keeps what the programs read: byte offsets from its BTF, given to the
//! kernel half as a read-only global before it is loaded. Rust has no CO-RE relocations; an offset
//! baked in would corrupt silently.

/// An offset that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// Byte offsets into the kernel's structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct KernelLayout {
    pub task_pid: u32,
    pub task_tgid: u32,
    pub task_flags: u32,
    /// `__state`, or `state` before 5.14.
    pub task_state: u32,
    pub task_start_time: u32,
    pub task_nvcsw: u32,
    pub task_nivcsw: u32,
    pub task_min_flt: u32,
    pub task_maj_flt: u32,
    pub task_comm: u32,
    /// `se.sum_exec_runtime`.
    pub task_sum_exec: u32,
    /// `sched_info.run_delay`.
    pub task_run_delay: u32,
    /// `sched_info.last_queued`.
    pub task_last_queued: u32,
    /// `sched_info.last_arrival`.
    pub task_last_arrival: u32,
    /// `se.cfs_rq`; [`ABSENT`] without fair group scheduling.
    pub task_cfs_rq: u32,
    /// `throttled` (6.18 and later); [`ABSENT`] before.
    pub task_throttled: u32,
    /// `thread_info.status`, x86.
    pub task_ti_status: u32,
    pub task_thread_pid: u32,
    /// `cfs_rq.throttle_count`: the approximation where `task_throttled` is absent.
    pub cfs_rq_throttle_count: u32,
    pub cfs_rq_rq: u32,
    pub rq_clock: u32,
    pub rq_clock_task: u32,
    pub pid_level: u32,
    /// `pid.numbers[0].nr`.
    pub pid_numbers_nr: u32,
    /// `sizeof(struct upid)`.
    pub upid_bytes: u32,
    pub regs_orig_ax: u32,
    pub regs_di: u32,
    pub regs_si: u32,
    pub regs_dx: u32,
    pub regs_r10: u32,
    pub regs_ax: u32,
    /// i386 system calls carry their arguments in `bx` and `cx`.
    pub regs_bx: u32,
    pub regs_cx: u32,
    pub bprm_filename: u32,
    pub task_files: u32,
    pub files_fdt: u32,
    pub fdt_fd: u32,
    pub fdt_max_fds: u32,
    pub file_inode: u32,
    pub inode_rdev: u32,
    pub inode_mode: u32,
    /// `jobctl`, which tells a thread in a frozen cgroup v2.
    pub task_jobctl: u32,
    /// 1 where a frozen task is told by `PF_FROZEN` (before 6.1), not by a state bit.
    pub freezer_by_flag: u32,
    /// 1 where `sched_switch` hands over `prev_state` (5.18 and later).
    pub switch_has_prev_state: u32,
    /// How far `__preempt_count` lies from `runqueues` in per-CPU memory, as a wrapping difference.
    /// The run queue's address is reachable from a task, so this gives the preempt count's.
    pub preempt_count_from_rq: u64,
    /// 0 where `preempt_count_from_rq` could not be found: wakers in interrupts are then not told apart.
    pub has_preempt_count: u32,
    /// Entries of the tid table: one more than the highest tid.
    pub tids: u32,
    /// Bytes of the ring of thread records and of that of long ones, to tell a full ring from a busy one.
    pub thread_ring_bytes: u64,
    pub long_ring_bytes: u64,
    /// A CPU has `1 << ring_shift` cells.
    pub ring_shift: u32,
    /// 1 where the machine's run-queue latency is to be counted.
    pub host_runqueue: u32,
    /// Slots there are.
    pub slots: u32,
    /// `se.nr_migrations`, its low half.
    pub task_migrations: u32,
    /// `sock.__sk_common.skc_family`; [`ABSENT`] where the kernel's types lack it.
    pub sock_family: u32,
    /// `sock.__sk_common.skc_num`, the local port; [`ABSENT`] as above.
    pub sock_port: u32,
    /// `sock.__sk_common.skc_state`; [`ABSENT`] as above.
    pub sock_state: u32,
    /// 1 where a ceiling is set on hostprof's cost: see [`crate::shed`].
    pub ceiling: u32,
}

impl KernelLayout {
    /// What the kernel half is compiled with; user space overrides it.
    // SAFETY: integers only, for which zero bytes are a value.
    pub const ZERO: Self = unsafe { core::mem::zeroed() };
}

const _: () = assert!(size_of::<KernelLayout>().is_multiple_of(8));

#[cfg(feature = "user")]
// SAFETY: `repr(C)`, integers only, no padding: words in pairs, and aligned double words.
unsafe impl aya::Pod for KernelLayout {}
