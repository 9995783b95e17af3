//! The quantities that signatures speak of, each a pure function of what was observed.

use super::observed::{Observed, ThreadObserved};

/// One number of a recording. Sums are over the pattern's working threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    ThreadsWantingCpu,
    LeastWantingCpu,
    FutexPerBarrier,
    FutexPerCountedWait,
    FutexPerOperation,
    FutexPerCpuSecond,
    FutexShareOfSwitches,
    BlockedPerMillionOperations,
    OperationsPerCpuSecond,
    FaultsPerPage,
    FaultsPerCpuSecond,
    ThreadsSeen,
    RecordsLost,
    LedgerGap,
}

impl Metric {
    /// What it is, for people; at most 46 characters.
    pub const fn text(self) -> &'static str {
        match self {
            Self::ThreadsWantingCpu => "threads running or runnable, on average",
            Self::LeastWantingCpu => "running or runnable, share of wall (least)",
            Self::FutexPerBarrier => "futex sleeps per barrier and waiting thread",
            Self::FutexPerCountedWait => "futex sleeps per wait the program counted",
            Self::FutexPerOperation => "futex sleeps per hand-over and thread",
            Self::FutexPerCpuSecond => "futex sleeps per second of CPU time",
            Self::FutexShareOfSwitches => "futex sleeps per voluntary switch",
            Self::BlockedPerMillionOperations => "voluntary switches per million operations",
            Self::OperationsPerCpuSecond => "operations per second of CPU time",
            Self::FaultsPerPage => "minor faults per page touched",
            Self::FaultsPerCpuSecond => "minor faults per second of CPU time",
            Self::ThreadsSeen => "working threads in the recording, share",
            Self::RecordsLost => "records lost",
            Self::LedgerGap => "states against wall clock, largest gap",
        }
    }

    /// The number, or `None` where there is nothing to divide by: no barrier, no wait, no CPU time.
    pub fn value(self, o: &Observed) -> Option<f64> {
        let futex = o.sum(ThreadObserved::futex_episodes);
        match self {
            Self::ThreadsWantingCpu => {
                ratio(o.sum(ThreadObserved::wanting_cpu_ns), o.threads.iter().map(|t| t.wall_ns).max()?)
            }
            Self::LeastWantingCpu => o
                .threads
                .iter()
                .map(|t| ratio(t.wanting_cpu_ns(), t.wall_ns))
                .min_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))?,
            Self::FutexPerBarrier => ratio(futex, o.barriers * (o.working_threads as u64).saturating_sub(1)),
            Self::FutexPerCountedWait => ratio(futex, o.sum(|t| t.truth.futex_waits)),
            Self::FutexPerOperation => ratio(futex, o.sum(|t| t.truth.operations)),
            Self::FutexPerCpuSecond => per_second(futex, o.cpu_ns()),
            Self::FutexShareOfSwitches => ratio(futex, o.sum(|t| t.nvcsw)),
            Self::BlockedPerMillionOperations => {
                ratio(o.sum(|t| t.nvcsw), o.operations).map(|r| r * 1_000_000.0)
            }
            Self::OperationsPerCpuSecond => per_second(o.operations, o.cpu_ns()),
            Self::FaultsPerPage => ratio(o.sum(|t| t.min_flt), o.sum(|t| t.truth.pages)),
            Self::FaultsPerCpuSecond => per_second(o.sum(|t| t.min_flt), o.cpu_ns()),
            Self::ThreadsSeen => ratio(o.threads.len() as u64, o.working_threads as u64),
            Self::RecordsLost => Some(o.dropped as f64),
            Self::LedgerGap => o
                .threads
                .iter()
                .map(|t| ratio(t.states_ns().abs_diff(t.wall_ns), t.wall_ns))
                .max_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))?,
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn per_second(count: u64, time_ns: u64) -> Option<f64> {
    ratio(count, time_ns).map(|r| r * 1e9)
}

/// A number with as many digits as it deserves: `12 345`, `17.5`, `0.98`, `0.00012`, `0`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 {
        let digits = format!("{value:.0}");
        let mut grouped = String::new();
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i) % 3 == 0 && !grouped.ends_with('-') {
                grouped.push(' ');
            }
            grouped.push(digit);
        }
        return grouped;
    }
    let text = match size {
        s if s >= 100.0 => format!("{value:.0}"),
        s if s >= 10.0 => format!("{value:.1}"),
        s if s >= 0.01 => format!("{value:.3}"),
        0.0 => return "0".to_owned(),
        s if s < 0.000_001 => return "< 1e-6".to_owned(),
        _ => format!("{value:.6}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_the_digits_they_deserve() {
        let cases = [
            (0.0, "0"),
            (1.0, "1"),
            (0.9, "0.9"),
            (1.05, "1.05"),
            (0.9876, "0.988"),
            (17.54, "17.5"),
            (500.0, "500"),
            (2000.0, "2 000"),
            (1_234_567.8, "1 234 568"),
            (0.001, "0.001"),
            (0.000_12, "0.00012"),
            (1e-9, "< 1e-6"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
