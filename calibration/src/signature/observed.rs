//! What was observed: the ledger that `hostprof report --json` prints, joined by thread name with what
//! the program says it did. Unknown fields are passed over; a state or count that is absent is zero.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::truth::{ThreadTruth, Truth};

/// The states in which a thread runs or would run if it had a CPU.
const WANTING_CPU: [&str; 6] = ["on_cpu", "gpu_sync", "runqueue", "preempted", "throttled", "yield"];

/// The part of a report that the judge and the demo read.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    pub threads: Vec<ThreadReport>,
    #[serde(default)]
    pub loss: Loss,
    /// System calls by name.
    #[serde(default)]
    pub system_calls: Vec<SystemCall>,
    /// Calls of CUDA's driver library by name.
    #[serde(default)]
    pub cuda_calls: Vec<CudaCall>,
    /// GPUs, from their samples.
    #[serde(default)]
    pub gpus: Option<Gpus>,
}

/// Calls of one name.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SystemCall {
    pub name: String,
    /// For an ioctl on a selected device.
    #[serde(default)]
    pub device: Option<String>,
    /// Counted in the kernel; else traced one by one.
    #[serde(default)]
    pub counted: bool,
    pub count: u64,
}

/// Calls of one name of CUDA's driver library.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CudaCall {
    pub name: String,
    #[serde(default)]
    pub kind: String,
    pub calls: u64,
    /// Null for those that are counted and not timed.
    #[serde(default)]
    pub total_ns: Option<u64>,
    /// Of that, waiting for the GPU on a CPU.
    #[serde(default)]
    pub gpu_sync_ns: Option<u64>,
}

/// The GPUs of the machine.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Gpus {
    #[serde(default)]
    pub devices: Vec<Gpu>,
}

/// One of them.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Gpu {
    /// The graphics and compute engine's busy share.
    #[serde(default)]
    pub gr_util: Measured,
}

/// What was measured of a GPU; empty where it was not, or the recording is too short for it.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Measured {
    #[serde(default)]
    pub mean: Option<f64>,
    #[serde(default)]
    pub max: Option<f64>,
}

/// One thread's ledger.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ThreadReport {
    #[serde(default)]
    pub tid: u32,
    #[serde(default)]
    pub comm: String,
    /// The recorded part of the thread's life, nanoseconds.
    pub wall_ns: u64,
    /// Nanoseconds by state; they sum to `wall_ns`. A state that was not probed is null.
    pub states_ns: BTreeMap<String, Option<u64>>,
    /// Off-CPU episodes by state.
    #[serde(default)]
    pub episodes: BTreeMap<String, Option<u64>>,
    /// Voluntary context switches.
    #[serde(default)]
    pub nvcsw: u64,
    /// Involuntary context switches.
    #[serde(default)]
    pub nivcsw: u64,
    /// Minor faults.
    #[serde(default)]
    pub min_flt: u64,
}

impl ThreadReport {
    /// Nanoseconds in a state; 0 where it does not occur.
    pub fn state_ns(&self, state: &str) -> u64 {
        self.states_ns.get(state).copied().flatten().unwrap_or(0)
    }
}

/// What the recording lost.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Loss {
    /// Records that found no room.
    #[serde(default)]
    pub dropped: u64,
}

/// A recording of a calibration program beside its own account.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The working threads found in the recording.
    pub threads: Vec<ThreadObserved>,
    /// Working threads that the program says it had.
    pub working_threads: usize,
    /// The program's operations and barriers.
    pub operations: u64,
    pub barriers: u64,
    /// Records lost.
    pub dropped: u64,
}

/// A working thread: its ledger and its own account.
#[derive(Clone, Debug)]
pub struct ThreadObserved {
    pub ledger: ThreadReport,
    pub truth: ThreadTruth,
}

impl std::ops::Deref for ThreadObserved {
    type Target = ThreadReport;

    fn deref(&self) -> &ThreadReport {
        &self.ledger
    }
}

impl ThreadObserved {
    pub(super) fn futex_episodes(&self) -> u64 {
        self.episodes.get("futex").copied().flatten().unwrap_or(0)
    }

    pub(super) fn wanting_cpu_ns(&self) -> u64 {
        WANTING_CPU.iter().map(|state| self.state_ns(state)).sum()
    }

    pub(super) fn states_ns(&self) -> u64 {
        self.ledger.states_ns.values().flatten().sum()
    }
}

impl Observed {
    /// Joins a report with a program's account. Threads are joined by name, and by tid where a name
    /// occurs twice: in a pid namespace the recorder sees other tids than the program.
    pub fn new(report: &Report, truth: &Truth) -> Self {
        let threads = truth
            .threads
            .iter()
            .filter_map(|thread| {
                let mut named = report.threads.iter().filter(|t| t.comm == thread.name);
                let first = named.next()?;
                let ledger = named.find(|t| t.tid == thread.usage.tid).unwrap_or(first);
                Some(ThreadObserved { ledger: ledger.clone(), truth: thread.clone() })
            })
            .collect();
        Self {
            threads,
            working_threads: truth.threads.len(),
            operations: truth.operations,
            barriers: truth.barriers,
            dropped: report.loss.dropped,
        }
    }

    /// Reads both from their JSON texts.
    pub fn from_json(report: &str, truth: &str) -> Result<Self> {
        let report: Report = serde_json::from_str(report).context("read the report's JSON")?;
        let truth: Truth = serde_json::from_str(truth).context("read the program's JSON")?;
        Ok(Self::new(&report, &truth))
    }

    pub(super) fn sum(&self, of: impl Fn(&ThreadObserved) -> u64) -> u64 {
        self.threads.iter().map(of).sum()
    }

    /// CPU time of all working threads, nanoseconds.
    pub(super) fn cpu_ns(&self) -> u64 {
        self.sum(|t| t.state_ns("on_cpu") + t.state_ns("gpu_sync"))
    }
}
