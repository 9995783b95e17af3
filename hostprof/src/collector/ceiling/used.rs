//! What was used, up to an instant and in a stretch of time, and what the cost of a stretch is held against.

use crate::units::MonoNs;

/// What the ceiling holds over.
pub const WINDOW_NS: u64 = 1_000_000_000;
/// What a record costs user space, from ring to file, some of it after the next look.
pub const RECORD_NS: u64 = 2_000;

/// What was used up to an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// When.
    pub at: MonoNs,
    /// Run time of the programs.
    pub bpf_ns: u64,
    /// Runs of them.
    pub runs: u64,
    /// Records read.
    pub records: u64,
    /// CPU time of this process.
    pub own_ns: u64,
    /// CPU time of the target.
    pub target_ns: u64,
}

/// What was used in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// How long it is.
    pub length_ns: u64,
    /// As in [`Used`], each of what follows.
    pub bpf_ns: u64,
    /// Runs.
    pub runs: u64,
    /// Records.
    pub records: u64,
    /// Of this process.
    pub own_ns: u64,
    /// Of the target.
    pub target_ns: u64,
}

impl Stretch {
    /// From one instant to a later one.
    pub fn between(from: &Used, to: &Used) -> Self {
        Self {
            length_ns: to.at.0.saturating_sub(from.at.0),
            bpf_ns: to.bpf_ns.saturating_sub(from.bpf_ns),
            runs: to.runs.saturating_sub(from.runs),
            records: to.records.saturating_sub(from.records),
            own_ns: to.own_ns.saturating_sub(from.own_ns),
            target_ns: to.target_ns.saturating_sub(from.target_ns),
        }
    }

    /// A second at the same rate.
    pub fn as_second(&self) -> Self {
        let scaled = |value: u64| {
            (u128::from(value) * u128::from(WINDOW_NS) / u128::from(self.length_ns.max(1))) as u64
        };
        Self {
            length_ns: WINDOW_NS,
            bpf_ns: scaled(self.bpf_ns),
            runs: scaled(self.runs),
            records: scaled(self.records),
            own_ns: scaled(self.own_ns),
            target_ns: scaled(self.target_ns),
        }
    }

    /// All that hostprof cost.
    pub fn cost_ns(&self) -> u64 {
        self.bpf_ns + self.own_ns
    }

    /// The part of it that recording less would lower.
    pub fn lowered_ns(&self) -> u64 {
        self.bpf_ns + self.records * RECORD_NS
    }

    /// What the target used without the programs.
    pub fn target_alone_ns(&self) -> u64 {
        self.target_ns.saturating_sub(self.bpf_ns)
    }

    /// What the cost is held against. What the target may yet use in the same second is not counted on.
    pub fn base_ns(&self) -> u64 {
        self.target_alone_ns().max(WINDOW_NS)
    }

    /// The cost over that.
    pub fn ratio(&self) -> f64 {
        self.cost_ns() as f64 / self.base_ns() as f64
    }

    /// What is left of a second that begins with it.
    pub fn rest_of_second(&self) -> f64 {
        1.0 - self.length_ns.min(WINDOW_NS) as f64 / WINDOW_NS as f64
    }
}
