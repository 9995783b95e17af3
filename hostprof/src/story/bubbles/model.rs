//! The bubble ledger as data: part of what `report --json` prints.

use serde::Serialize;

use crate::{lengths::Latency, story::Who};

/// Where the time went in which a GPU was idle while at least one request was in flight.
#[derive(Clone, Debug, Serialize)]
pub struct GpuBubbles {
    pub gpu: u32,
    /// `requests`: times in which at least one was in flight; `recording`, all of it, where none were recorded.
    pub scope: &'static str,
    /// Those times together.
    pub scope_ns: u64,
    pub launcher: Launcher,
    pub account: IdleAccount,
    /// The blamed time by state and call of the launching thread, most first: sums to `account.blamed_ns`.
    pub blame: Vec<BlamedOn>,
    /// Lengths of gaps: stretches of samples that were idle for more than half, of each what was blamed.
    pub gaps: Latency,
    /// The longest gaps, at most 20.
    pub longest: Vec<Bubble>,
    pub overlap: Overlap,
    /// Whether waits of the launching thread that spin for the GPU are known (probe `cuda`), as state `gpu_sync`. Else they
    /// are in `on_cpu`.
    pub gpu_sync_known: bool,
    /// Processes outside the target that NVML listed on the GPU: what it did for them counts as busy.
    pub other_processes: u64,
}

/// The thread that gives the GPU its work, and how that is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Launcher {
    #[serde(flatten)]
    pub who: Who,
    pub tgid: u32,
    /// `named`, `launch_calls`, `cuda_calls`, `role` or `cpu_time`.
    pub rule: &'static str,
    /// The rule in words.
    pub why: String,
    /// 0 to 1: the rule's, times `led_ratio` where that is known.
    pub confidence: f64,
    /// Threads that were looked at.
    pub candidates: u64,
    /// Times that the GPU began to work after a sample that was idle for more than half.
    pub starts: u64,
    /// Of these, the share before which this thread was on a CPU, in that sample or the next: a thread that launches must
    /// have been. Null where there are too few.
    pub led_ratio: Option<f64>,
    /// The same of pairs of samples that were both idle: what chance gives.
    pub chance_ratio: Option<f64>,
}

/// The GPU's idle time, to the nanosecond: `outside`, `withheld`, `not_recorded`, `blamed` and `residue` sum to `idle`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IdleAccount {
    /// All samples together.
    pub sampled_ns: u64,
    /// Of the scope, what was sampled.
    pub scope_sampled_ns: u64,
    /// What of the sampled time the GPU was idle.
    pub idle_ns: u64,
    /// While no request was in flight.
    pub outside_ns: u64,
    /// While records of the launching thread are missing, or were only counted.
    pub withheld_ns: u64,
    /// While the launching thread was not recorded.
    pub not_recorded_ns: u64,
    pub blamed_ns: u64,
    /// What is in none of these: samples that contradict one another.
    pub residue_ns: i64,
}

/// Idle time of the GPU in one state and call of the launching thread.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BlamedOn {
    pub state: &'static str,
    /// The system call it was blocked in, the call of CUDA's library it was in, or the one within the other; null where in
    /// none that is known.
    pub call: Option<String>,
    pub idle_ns: u64,
    /// When in a sample the GPU was idle is not known: at least so much of it was in this state, and at most.
    pub least_ns: u64,
    pub most_ns: u64,
    /// Of `idle_ns`, what was in gaps; the rest was idle time within samples that were busy for half or more.
    pub in_gaps_ns: u64,
    /// Gaps of which this had most, by their lengths.
    pub gaps: Latency,
    /// What it waited for then, most first, where it was blocked.
    pub waited_for: Vec<WaitedOn>,
}

/// What the launching thread waited for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WaitedOn {
    /// `thread`, `interrupt` (a timer, a device, a packet), `not_recorded` (another thread), `unknown`.
    pub by: &'static str,
    /// The thread that the wakeup came from, or that which woke it in turn, as it was at the time.
    pub who: Option<Who>,
    /// What that thread did meanwhile.
    pub state: Option<&'static str>,
    pub idle_ns: u64,
}

/// A gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bubble {
    pub start_mono_ns: u64,
    pub end_mono_ns: u64,
    pub idle_ns: u64,
    /// What most of it is blamed on, and how much.
    pub most_ns: u64,
    pub state: &'static str,
    pub call: Option<String>,
}

/// GPU and launching thread beside each other, in the scope. Sums to the time of which both are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overlap {
    /// The GPU had work and the thread was on a CPU; not where it waited for the GPU there, as far as that is known.
    pub both_ns: u64,
    pub gpu_only_ns: u64,
    pub cpu_only_ns: u64,
    pub neither_ns: u64,
}

impl Overlap {
    pub(super) fn add(&mut self, on_cpu: bool, ns: u64, idle_ns: u64) {
        let (busy, idle) = if on_cpu {
            (&mut self.both_ns, &mut self.cpu_only_ns)
        } else {
            (&mut self.gpu_only_ns, &mut self.neither_ns)
        };
        *busy += ns - idle_ns;
        *idle += idle_ns;
    }

    /// All together.
    pub fn total_ns(&self) -> u64 {
        self.both_ns + self.gpu_only_ns + self.cpu_only_ns + self.neither_ns
    }
}
