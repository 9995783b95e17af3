//! What is recorded, from all to nothing.

use crate::table::ShedStep;

/// The lengths below which episodes are counted, one after the other.
const THRESHOLDS_NS: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];

/// What is recorded, from all to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// All that was asked for.
    Everything,
    /// No spans.
    SpansOff,
    /// Shorter episodes are counted, not recorded.
    ShortCounted(u64),
    /// All episodes are counted.
    AllCounted,
    /// Only samples.
    Ended,
}

impl Rung {
    /// All of them, from the first to the last. `spans` says whether there are any to leave out.
    pub fn ladder(spans: bool) -> Vec<Self> {
        let mut ladder = vec![Self::Everything];
        if spans {
            ladder.push(Self::SpansOff);
        }
        ladder.extend(THRESHOLDS_NS.map(Self::ShortCounted));
        ladder.extend([Self::AllCounted, Self::Ended]);
        ladder
    }

    /// Below which length the programs count an episode.
    pub fn threshold_ns(self) -> u64 {
        match self {
            Self::Everything | Self::SpansOff => 0,
            Self::ShortCounted(ns) => ns,
            Self::AllCounted | Self::Ended => u64::MAX,
        }
    }

    /// As table `shed` tells it: the step, its threshold, and in words.
    pub fn told(self) -> (ShedStep, Option<u64>, String) {
        match self {
            Self::Everything => (ShedStep::Everything, None, "all that was asked for is recorded".to_owned()),
            Self::SpansOff => (ShedStep::SpansOff, None, "no system calls one by one".to_owned()),
            Self::ShortCounted(ns) => {
                let what = format!("off-CPU episodes below {} are counted, not recorded", length(ns));
                (ShedStep::ShortCounted, Some(ns), what)
            }
            Self::AllCounted => {
                (ShedStep::AllCounted, None, "all off-CPU episodes are counted, none recorded".to_owned())
            }
            Self::Ended => (ShedStep::Ended, None, "threads are recorded no more, only samples".to_owned()),
        }
    }
}

fn length(ns: u64) -> String {
    if ns < 1_000_000 { format!("{} µs", ns / 1_000) } else { format!("{} ms", ns / 1_000_000) }
}
