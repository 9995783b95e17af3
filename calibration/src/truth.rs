//! What a calibration program says about itself: one JSON object, printed when it ends.

use serde::{Deserialize, Serialize};

use crate::{Pattern, cuda::CudaTruth, sys::usage::Usage};

/// A calibration program's own account of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    pub pattern: Pattern,
    /// Where the pattern ran: `cpu` or `cuda`.
    pub backend: String,
    pub parameters: Parameters,
    pub pid: u32,
    /// When the threads were started, `CLOCK_MONOTONIC` nanoseconds.
    pub start_mono_ns: u64,
    /// From the start of the threads to the end of the last one, nanoseconds.
    pub run_ns: u64,
    /// Operations done by the pattern: blocks of arithmetic, items, hand-overs, mappings.
    pub operations: u64,
    /// Barriers that all threads passed; 0 for patterns without one.
    pub barriers: u64,
    /// The threads that do the work; the main thread only waits for them and is left out.
    pub threads: Vec<ThreadTruth>,
    /// What was done on the GPU; null for the CPU's patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<CudaTruth>,
}

/// The parameters of a run, as they were used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    pub threads: usize,
    /// The size of an operation, in the pattern's own unit.
    pub size: u64,
    /// Operations asked for; `None` when the run was bounded by time.
    pub ops: Option<u64>,
    /// Seconds asked for; `None` when the run was bounded by operations.
    pub seconds: Option<f64>,
}

/// What one working thread did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadTruth {
    /// The thread's name as the kernel has it (`comm`).
    pub name: String,
    /// Operations it took part in.
    pub operations: u64,
    /// `FUTEX_WAIT` calls that were woken, so that (but for a race of nanoseconds) slept.
    pub futex_waits: u64,
    /// `FUTEX_WAIT` calls that returned at once because the word had already changed.
    pub futex_misses: u64,
    /// Pages it touched for the first time.
    pub pages: u64,
    /// Mappings it made, each unmapped again.
    pub mmaps: u64,
    /// The kernel's own counters, read by the thread when its work was done: since its beginning, on a GPU since
    /// the pattern's.
    pub usage: Usage,
}
