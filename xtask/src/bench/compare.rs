//! A run beside an earlier one, line by line: better, worse, or no difference that either could have seen.

use std::fmt::{self, Write as _};

use crate::bench::{
    results::{Better, Line, Results},
    stats::Summary,
    table::{aligned, figure},
};

/// What became of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Better,
    Worse,
    /// The medians differ by no more than two runs of their spreads can tell.
    NoDifference,
    /// Too few values in one of them.
    TooFew,
    /// Nothing of the line counts in this run.
    Rejected,
    /// Or in the earlier one, if it was measured there at all.
    New,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::NoDifference => "no difference",
            Self::TooFew => "too few values",
            Self::Rejected => "all rejected",
            Self::New => "new",
        })
    }
}

/// The verdict, and the smallest difference that the two could have shown.
fn verdict(better: Better, before: Option<&Summary>, now: Option<&Summary>) -> (Verdict, Option<f64>) {
    let (before, now) = match (before, now) {
        (Some(before), Some(now)) => (before, now),
        (_, None) => return (Verdict::Rejected, None),
        (None, Some(_)) => return (Verdict::New, None),
    };
    let (Some(effect_before), Some(effect_now)) = (before.detectable, now.detectable) else {
        return (Verdict::TooFew, None);
    };
    // Each is a multiple of its median's error; errors of independent medians add by their squares.
    let detectable = effect_before.hypot(effect_now);
    let change = now.median - before.median;
    // The spread of seven values may be small by chance; their interval is not fooled so easily.
    let within = before.covers(now.median) || now.covers(before.median);
    let verdict = if change.abs() <= detectable || within {
        Verdict::NoDifference
    } else if (change < 0.0) == (better == Better::Lower) {
        Verdict::Better
    } else {
        Verdict::Worse
    };
    (verdict, Some(detectable))
}

/// All lines of both runs, and what makes them hard to compare.
pub fn of(before: &Results, now: &Results) -> String {
    let find = |results: &Results, line: &Line| {
        results.lines.iter().find(|other| other.key() == line.key()).and_then(|line| line.summary.clone())
    };
    let rows: Vec<_> =
        now.lines.iter().map(|line| row(line, find(before, line).as_ref(), line.summary.as_ref())).collect();
    let not_now =
        before.lines.iter().filter(|line| now.lines.iter().all(|other| other.key() != line.key())).count();
    let head = ["workload", "tracer", "quantity", "before", "now", "change", "detectable", "verdict"];
    let mut text = "\nCOMPARED\n".to_owned();
    for difference in differences(before, now) {
        let _ = writeln!(text, "beware: {difference}");
    }
    text += &aligned(&head.map(str::to_owned), &rows);
    if not_now > 0 {
        let _ = writeln!(text, "{not_now} lines of the earlier run were not measured now");
    }
    text
}

fn row(line: &Line, before: Option<&Summary>, now: Option<&Summary>) -> [String; 8] {
    let (verdict, detectable) = verdict(line.better, before, now);
    let median = |summary: Option<&Summary>| summary.map_or_else(|| "-".to_owned(), |of| figure(of.median));
    let change = match (before, now) {
        (Some(before), Some(now)) if before.median != 0.0 => {
            format!("{:+.1} %", (now.median / before.median - 1.0) * 100.0)
        }
        _ => "-".to_owned(),
    };
    [
        line.workload.clone(),
        line.tracer.clone(),
        line.quantity.clone(),
        median(before),
        median(now),
        change,
        detectable.map_or_else(|| "-".to_owned(), |effect| format!("±{}", figure(effect))),
        verdict.to_string(),
    ]
}

/// What of the two runs' circumstances differs.
fn differences(before: &Results, now: &Results) -> Vec<String> {
    let cpus = |results: &Results| results.machine.cpus.to_string();
    let both = [
        ("kernel", before.machine.kernel.clone(), now.machine.kernel.clone()),
        ("CPU", before.machine.cpu.clone(), now.machine.cpu.clone()),
        ("CPUs", cpus(before), cpus(now)),
    ];
    let mut differences: Vec<_> = both
        .into_iter()
        .filter(|(_, before, now)| before != now)
        .map(|(what, before, now)| format!("another {what}: {before}, now {now}"))
        .collect();
    if before.quick || now.quick {
        differences.push("one is a quick run, whose figures tell nothing".to_owned());
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::machine::Machine;

    fn summary(values: &[f64]) -> Summary {
        Summary::of(values).unwrap()
    }

    fn verdict_of(better: Better, before: &[f64], now: &[f64]) -> Verdict {
        verdict(better, Some(&summary(before)), Some(&summary(now))).0
    }

    /// Median 1.0; the smallest detectable effect of seven such values is 0.0197.
    const AROUND_ONE: [f64; 7] = [0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03];

    #[test]
    fn a_change_counts_by_its_size_and_direction() {
        let moved = |by: f64| AROUND_ONE.map(|value| value + by);
        // √2 · 2.80158 · 1.25331 · 1.4826 · 0.02 / √7 = 0.0557
        assert_eq!(verdict_of(Better::Lower, &AROUND_ONE, &moved(0.05)), Verdict::NoDifference);
        assert_eq!(verdict_of(Better::Lower, &AROUND_ONE, &moved(0.06)), Verdict::Worse);
        assert_eq!(verdict_of(Better::Lower, &AROUND_ONE, &moved(-0.06)), Verdict::Better);
        assert_eq!(verdict_of(Better::Higher, &AROUND_ONE, &moved(0.06)), Verdict::Better);
        assert_eq!(verdict_of(Better::Higher, &AROUND_ONE, &moved(-0.06)), Verdict::Worse);
    }

    #[test]
    fn a_median_within_the_others_interval_is_no_difference() {
        // No deviation but in one value: the detectable effect alone would call anything a difference.
        let spread = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.5];
        assert_eq!(verdict_of(Better::Lower, &spread, &[1.2; 7]), Verdict::NoDifference);
        assert_eq!(verdict_of(Better::Lower, &spread, &[1.6; 7]), Verdict::Worse);
    }

    #[test]
    fn single_values_give_no_verdict() {
        assert_eq!(verdict_of(Better::Lower, &[1.0], &[2.0]), Verdict::TooFew);
        assert_eq!(verdict(Better::Lower, None, Some(&summary(&[1.0]))).0, Verdict::New);
        assert_eq!(verdict(Better::Lower, Some(&summary(&[1.0])), None).0, Verdict::Rejected);
    }

    #[test]
    fn lines_are_matched_by_name_and_circumstances_told() {
        let mut before = Results::new(Machine { kernel: "6.1".to_owned(), ..Machine::default() }, false);
        let mut now = Results::new(Machine { kernel: "6.18".to_owned(), ..Machine::default() }, false);
        before.add(["slowdown", "pipe", "record", "time_ratio"], &AROUND_ONE, &[], "");
        before.add(["slowdown", "gone", "record", "time_ratio"], &AROUND_ONE, &[], "");
        now.add(["slowdown", "pipe", "record", "time_ratio"], &AROUND_ONE.map(|value| value * 1.2), &[], "");
        let text = of(&before, &now);
        assert!(text.contains("beware: another kernel: 6.1, now 6.18"), "{text}");
        let find = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(find("pipe").contains("+20.0 %") && find("pipe").ends_with("WORSE"), "{text}");
        assert!(text.ends_with("1 lines of the earlier run were not measured now\n"), "{text}");
    }
}
