//! Time by state: the ledger's unit of account.

use serde::{Serialize, Serializer};

use super::Part;
use crate::table::{State, Word};

/// How many states `off_cpu` knows.
pub const OFF_STATES: usize = State::ALL.len();

/// Nanoseconds by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateTimes {
    /// On a CPU, but for `gpu_sync_ns`.
    pub on_cpu_ns: u64,
    /// On a CPU, in a call of CUDA's driver library that waits for the GPU.
    pub gpu_sync_ns: u64,
    /// Where rows contradict one another or are known to be lost.
    pub unattributed_ns: u64,
    /// Off the CPU, by [`Word::index`] of the state.
    pub off_ns: [u64; OFF_STATES],
}

impl StateTimes {
    /// Time off the CPU in one state.
    pub fn off(&self, state: State) -> u64 {
        self.off_ns[state.index()]
    }

    /// All states together.
    pub fn total_ns(&self) -> u64 {
        self.on_cpu_ns + self.gpu_sync_ns + self.unattributed_ns + self.off_ns.iter().sum::<u64>()
    }

    /// Each state by its word, `unattributed` left out; zeros included.
    pub fn words(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let off = State::ALL.iter().map(|&state| (state.word(), self.off(state)));
        [("on_cpu", self.on_cpu_ns), ("gpu_sync", self.gpu_sync_ns)].into_iter().chain(off)
    }

    /// Adds times up.
    pub fn add(&mut self, other: &Self) {
        self.on_cpu_ns += other.on_cpu_ns;
        self.gpu_sync_ns += other.gpu_sync_ns;
        self.unattributed_ns += other.unattributed_ns;
        for (sum, ns) in self.off_ns.iter_mut().zip(other.off_ns) {
            *sum += ns;
        }
    }

    /// Takes counted time off the CPU out of that on it, of which it seemed a part; no more than there is.
    pub(super) fn count(&mut self, off_ns: &[u64; OFF_STATES]) {
        for (sum, ns) in self.off_ns.iter_mut().zip(off_ns) {
            let ns = (*ns).min(self.on_cpu_ns);
            self.on_cpu_ns -= ns;
            *sum += ns;
        }
    }

    /// Takes waits for the GPU out of the time on a CPU, of which they are a part; no more than there is.
    pub(crate) fn carve_gpu_sync(&mut self, ns: u64) {
        let ns = ns.min(self.on_cpu_ns);
        self.on_cpu_ns -= ns;
        self.gpu_sync_ns += ns;
    }

    pub(super) fn add_part(&mut self, part: Part, ns: u64) {
        match part {
            Part::OnCpu => self.on_cpu_ns += ns,
            Part::GpuSync => self.gpu_sync_ns += ns,
            Part::Unattributed => self.unattributed_ns += ns,
            Part::Off(state) => self.off_ns[state.index()] += ns,
        }
    }
}

/// A map from state to nanoseconds, without zeros but for `on_cpu` and `runqueue`, as reports have it.
impl Serialize for StateTimes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unattributed = std::iter::once(("unattributed", self.unattributed_ns));
        serializer.collect_map(
            self.words()
                .chain(unattributed)
                .filter(|(word, ns)| *ns > 0 || matches!(*word, "on_cpu" | "runqueue")),
        )
    }
}
