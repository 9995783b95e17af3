//! The signatures: one table. All bounds are on ratios that the load of the machine does not move:
//! counts against the program's own counts, or against the CPU time that the threads really had.
//!
//! How far the patterns lie from the bounds and from each other, per second of CPU time, on a virtual
//! machine with 2 CPUs that compilers kept busy; lowest and highest of five runs each at nice -20 (80 %
//! of a CPU a thread) and at nice 15 (down to 8 %):
//!
//! | | futex sleeps | minor faults | operations |
//! |---|---|---|---|
//! | compute | 19 to 23 | 2 to 7 | 510 to 600 |
//! | launch | 0, seldom one in all | 2 to 8 | 8 to 34 million |
//! | sync | 45 000 to 70 000 | 3 to 6 | 37 000 to 49 000 |
//! | alloc | 0, seldom one in all | 270 000 to 390 000 | 4 200 to 6 000 |

use std::fmt;

use super::Metric;
use crate::Pattern;

/// A metric between two bounds, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    pub metric: Metric,
    pub at_least: f64,
    pub at_most: f64,
}

impl Condition {
    pub fn holds(&self, value: f64) -> bool {
        (self.at_least..=self.at_most).contains(&value)
    }
}

/// The intended range: `≥ 0.9`, `≤ 500`, `0.9 to 1.05`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use super::metric::number;
        if self.at_least >= self.at_most {
            f.pad(&number(self.at_least))
        } else if self.at_most == f64::INFINITY {
            f.pad(&format!("≥ {}", number(self.at_least)))
        } else if self.at_least <= 0.0 {
            f.pad(&format!("≤ {}", number(self.at_most)))
        } else {
            f.pad(&format!("{} to {}", number(self.at_least), number(self.at_most)))
        }
    }
}

const fn within(metric: Metric, at_least: f64, at_most: f64) -> Condition {
    Condition { metric, at_least, at_most }
}

const fn at_least(metric: Metric, bound: f64) -> Condition {
    within(metric, bound, f64::INFINITY)
}

const fn at_most(metric: Metric, bound: f64) -> Condition {
    within(metric, 0.0, bound)
}

/// What holds for a sound recording of any pattern.
const SOUND: &[Condition] = &[
    within(Metric::ThreadsSeen, 1.0, 1.0),
    at_most(Metric::RecordsLost, 0.0),
    at_most(Metric::LedgerGap, 0.001),
];

/// Futex sleeps per second of CPU time that are not the pattern's: a thread may meet a lock of the
/// allocator as it starts or ends. In a run of 2 s with a twelfth of a CPU a thread, one is 3.
const STRAY_SLEEPS: f64 = 4.0;

const COMPUTE: &[Condition] = &[
    // At any time the one that the others wait for wants a CPU.
    at_least(Metric::ThreadsWantingCpu, 0.9),
    // All but the last to arrive sleep, once.
    within(Metric::FutexPerBarrier, 0.5, 1.05),
    within(Metric::FutexPerCountedWait, 0.9, 1.05),
    within(Metric::FutexPerCpuSecond, 10.0, 500.0),
    at_most(Metric::FaultsPerCpuSecond, 2000.0),
];

const LAUNCH: &[Condition] = &[
    at_least(Metric::LeastWantingCpu, 0.97),
    at_most(Metric::FutexPerCpuSecond, STRAY_SLEEPS),
    at_most(Metric::BlockedPerMillionOperations, 20.0),
    at_least(Metric::OperationsPerCpuSecond, 400_000.0),
    at_most(Metric::FaultsPerCpuSecond, 2000.0),
];

const SYNC: &[Condition] = &[
    // Two threads on one CPU pass the token while the other is still on its way to sleep: then only
    // every second wait sleeps.
    within(Metric::FutexPerOperation, 0.3, 1.05),
    within(Metric::FutexPerCountedWait, 0.9, 1.05),
    at_least(Metric::FutexPerCpuSecond, 2000.0),
    at_least(Metric::FutexShareOfSwitches, 0.9),
    at_most(Metric::FaultsPerCpuSecond, 2000.0),
];

const ALLOC: &[Condition] = &[
    within(Metric::FaultsPerPage, 0.95, 1.1),
    at_least(Metric::FaultsPerCpuSecond, 20_000.0),
    at_most(Metric::FutexPerCpuSecond, STRAY_SLEEPS),
    at_least(Metric::LeastWantingCpu, 0.8),
];

/// The signature of a pattern: what is particular to it, then what makes the recording sound.
pub fn conditions(pattern: Pattern) -> impl Iterator<Item = Condition> {
    let own = match pattern {
        Pattern::ComputeHeavy => COMPUTE,
        Pattern::LaunchHeavy => LAUNCH,
        Pattern::SyncHeavy => SYNC,
        Pattern::AllocHeavy => ALLOC,
    };
    own.iter().chain(SOUND).copied()
}
