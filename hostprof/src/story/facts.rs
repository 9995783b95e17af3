//! What is known of one window: what its critical path and each thread were made of, and the machine beside it.

use std::collections::BTreeMap;

use super::{
    beside::Beside,
    path::{On, Path},
    served::InFlight,
};
use crate::{
    ledger::{Part, Window},
    table::State,
};

/// A window, accounted for.
#[derive(Clone, Debug)]
pub struct Facts {
    pub window: Window,
    /// `None` where nothing tells which thread answered.
    pub path: Option<Path>,
    /// Each thread's states, by the thread's place.
    pub threads: Vec<(usize, Vec<(Part, u64)>)>,
    pub in_flight: InFlight,
    /// Requests that waited for their first token.
    pub prefills: InFlight,
    pub beside: Beside,
}

impl Facts {
    /// Its length.
    pub fn len_ns(&self) -> u64 {
        self.window.end_ns.saturating_sub(self.window.start_ns)
    }

    /// Time on the critical path, of the steps that hold.
    pub fn on_path(&self, holds: impl Fn(Part, On) -> bool) -> u64 {
        let steps = self.path.iter().flat_map(|path| &path.steps);
        steps.filter(|step| holds(step.part, step.on)).map(super::path::Step::len_ns).sum()
    }

    /// The critical path, by thread and state.
    pub fn path_sums(&self) -> BTreeMap<(usize, Part), u64> {
        self.path.as_ref().map(Path::sums).unwrap_or_default()
    }

    /// The thread that spent most time in some states, and how much: of those that ran or wanted to for at least that
    /// share of the window. Threads that compute together wait for the slowest, which no wakeup tells where they spin.
    pub fn most(&self, busy_share: f64, states: &[State]) -> Option<(usize, u64)> {
        let wants = |part: Part| match part {
            Part::OnCpu | Part::GpuSync => true,
            Part::Off(state) => state.is_runnable() || state == State::Runqueue,
            Part::Unattributed => false,
        };
        let sum = |parts: &[(Part, u64)], of: &dyn Fn(Part) -> bool| {
            parts.iter().filter(|(part, _)| of(*part)).map(|(_, ns)| ns).sum::<u64>()
        };
        self.threads
            .iter()
            .filter(|(_, parts)| sum(parts, &wants) as f64 >= busy_share * self.len_ns() as f64)
            .map(|(thread, parts)| {
                (*thread, sum(parts, &|part| matches!(part, Part::Off(state) if states.contains(&state))))
            })
            .filter(|(_, ns)| *ns > 0)
            .max_by_key(|(_, ns)| *ns)
    }
}

/// The mean of a measure over some windows; 0 of none.
pub fn mean(facts: &[Facts], measure: impl Fn(&Facts) -> u64) -> u64 {
    let sum: u128 = facts.iter().map(|of| u128::from(measure(of))).sum();
    (sum / facts.len().max(1) as u128) as u64
}

/// Slow windows and typical ones, accounted for.
#[derive(Clone, Debug, Default)]
pub struct Contrast {
    pub slow: Vec<Facts>,
    pub typical: Vec<Facts>,
    /// How many windows there are of the kind.
    pub all: usize,
}
