//! What is printed: a table a case, then the fingerprints of all.

use std::fmt::Write as _;

use super::{Bounds, Fingerprint, Outcome};
use crate::{demo::style::Style, signature::metric::number};

/// Calls with a column of their own in the table of fingerprints.
const CALLS: [&str; 8] = ["futex", "poll", "read", "write", "mmap", "munmap", "sched_yield", "ioctl"];
/// States with one; the rest is `other`.
const STATES: [&str; 8] =
    ["on_cpu", "gpu_sync", "runqueue", "preempted", "futex", "poll", "gpu_ioctl", "memory"];

/// One case: what it did, and a line a number.
pub(super) fn outcome(style: Style, outcome: &Outcome) -> String {
    let mut text = String::new();
    let truth = &outcome.truth;
    let each_us = truth.run_ns as f64 / 1e3 / truth.operations.max(1) as f64;
    let name = format!("{:<22}", outcome.name);
    let did = format!("{} operations, {} µs each", number(truth.operations as f64), number(each_us));
    let _ = writeln!(text, "{} {did}   {}", style.bold(&name), style.dim(&outcome.run));
    if let Some(cuda) = &truth.cuda {
        let counts = &cuda.counts;
        let share = counts.sync_ns as f64 / truth.run_ns.max(1) as f64 * 100.0;
        let _ = writeln!(
            text,
            "  the program counted {} kernel launches, {} graph launches, {} waits ({} % of its time), {} allocations",
            number(counts.launches as f64),
            number(counts.graph_launches as f64),
            number(counts.syncs as f64),
            number(share),
            number(counts.allocations as f64),
        );
    }
    let _ = writeln!(text, "{}", style.dim(&format!("  {:<42}{:>18}{:>14}", "", "intended", "observed")));
    for finding in &outcome.findings {
        let observed = finding.observed.map_or_else(|| "not told".to_owned(), number);
        let word = match (finding.intended, finding.ok) {
            (None, _) => style.dim("told"),
            (_, true) => style.green("ok"),
            (_, false) => style.red("miss"),
        };
        let intended = bounds(finding.intended);
        let _ = writeln!(text, "  {:<42}{intended:>18}{observed:>14}  {word}", finding.measure.text());
    }
    if outcome.lost > 0 {
        let _ = writeln!(text, "  {}", style.red(&format!("{} records lost", number(outcome.lost as f64))));
    }
    text
}

fn bounds(bounds: Bounds) -> String {
    match bounds {
        None => "-".to_owned(),
        Some((least, most)) if least < 0.0 => format!("0 (± {})", number(most)),
        Some((least, most)) if least >= most => number(most),
        Some((least, most)) => format!("{} to {}", number(least), number(most)),
    }
}

/// Syscall mix and CPU time distribution, a line a case; the first is CUDA's start alone.
pub(super) fn fingerprints(style: Style, start: &Fingerprint, outcomes: &[Outcome]) -> String {
    let mut text = style.bold("syscall mix: calls of each name, CUDA's start included") + "\n";
    let mut head = format!("  {:<22}{:>12}", "", "GPU ioctls");
    for name in CALLS {
        let _ = write!(head, "{name:>12}");
    }
    let _ = writeln!(text, "{}", style.dim(&format!("{head}{:>12}{:>12}", "other", "switches")));
    let start = ("CUDA's start", start);
    let all =
        || [start].into_iter().chain(outcomes.iter().map(|outcome| (outcome.name, &outcome.fingerprint)));
    for (name, seen) in all() {
        let named: u64 = CALLS.iter().map(|name| seen.calls(name)).sum();
        let _ = write!(text, "  {name:<22}{:>12}", number(seen.ioctls as f64));
        for name in CALLS {
            let _ = write!(text, "{:>12}", number(seen.calls(name) as f64));
        }
        let other = seen.calls.values().sum::<u64>() - named;
        let switches = seen.voluntary_switches + seen.involuntary_switches;
        let _ = writeln!(text, "{:>12}{:>12}", number(other as f64), number(switches as f64));
    }
    let _ = writeln!(text, "\n{}", style.bold("time of all threads by state, percent"));
    let mut head = format!("  {:<22}", "");
    for state in STATES {
        let _ = write!(head, "{state:>12}");
    }
    let _ = writeln!(text, "{}", style.dim(&format!("{head}{:>12}", "other")));
    for (name, seen) in all() {
        let whole = seen.states_ns.values().sum::<u64>().max(1) as f64;
        let percent = |ns: u64| format!("{:.1}", ns as f64 * 100.0 / whole);
        let named: u64 = STATES.iter().map(|state| seen.state_ns(state)).sum();
        let _ = write!(text, "  {name:<22}");
        for state in STATES {
            let _ = write!(text, "{:>12}", percent(seen.state_ns(state)));
        }
        let _ = writeln!(text, "{:>12}", percent(seen.states_ns.values().sum::<u64>() - named));
    }
    text
}

/// The last line.
pub(super) fn conclusion(style: Style, outcomes: &[Outcome]) -> String {
    let passed = outcomes.iter().filter(|outcome| outcome.passed()).count();
    let line = format!("{passed} of {} cases are as intended", outcomes.len());
    if passed == outcomes.len() { style.green(&line) } else { style.red(&line) }
}
