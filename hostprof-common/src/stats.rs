//! Counters of the kernel half, one block a CPU, so that loss is known exactly.

/// Power-of-two buckets of a histogram: bucket 0 holds the value 0, bucket `i` holds `[2^(i-1), 2^i)`.
pub const HISTOGRAM_BUCKETS: usize = 64;

/// What one CPU has counted. `observed = emitted + dropped`, for each kind of ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CpuStats {
    /// Episode records handed to user space.
    pub episodes: u64,
    /// Episode records lost because the ring was full.
    pub episodes_full: u64,
    /// Episode records lost because the ring was busy: other programs of this CPU took each place first.
    pub episodes_busy: u64,
    /// Thread records (begin, end, exec, rename) handed to user space.
    pub threads: u64,
    /// Thread records lost because the ring was full.
    pub threads_full: u64,
    /// Thread records lost because the ring was busy.
    pub threads_busy: u64,
    /// New threads that are not recorded because no slot was free.
    pub slots_full: u64,
    /// Context switches of the CPU.
    pub switches: u64,
    /// Context switches in which neither thread is recorded: the filter's work.
    pub switches_filtered: u64,
    /// Wakeups of threads that are not recorded.
    pub wakeups_filtered: u64,
    /// Wakeups of a recorded thread that were not seen to be blocked: dropped, as the kernel does.
    pub wakeups_early: u64,
    /// Times a tid's slot belonged to another thread (exec by a non-leader) and was found anew.
    pub slots_moved: u64,
    /// Switch-ins that the tracepoint did not tell, known from the kernel's own account at the next
    /// switch-out (some kernels trace nothing in the context of some threads of their init).
    pub switch_ins_untold: u64,
    /// Sends and receives that are not counted because their process found no entry.
    pub sockets_untold: u64,
    /// What the CPU may spend before it takes more from the budget, in nanoseconds; two's complement.
    pub credit_ns: u64,
    pub _reserved: u64,
    /// Run-queue latency of every task of the machine but the idle tasks, by [`HISTOGRAM_BUCKETS`].
    pub runqueue_ns: [u64; HISTOGRAM_BUCKETS],
}

const _: () = assert!(size_of::<CpuStats>() == 640 && size_of::<CpuStats>().is_multiple_of(64));

#[cfg(feature = "user")]
// SAFETY: `repr(C)`, `u64` only, no padding.
unsafe impl aya::Pod for CpuStats {}
