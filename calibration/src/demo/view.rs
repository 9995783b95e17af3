//! What the demo prints, at most 100 columns: a ledger a thread, the signature, the 4 × 4 matrix.

use std::fmt::Write as _;

use super::{recording::Recording, style::Style};
use crate::{
    Pattern,
    signature::{Matrix, Verdict, metric::number, observed::ThreadReport},
};

/// The states with a column of their own, and their headings; the rest is `other`.
const STATES: [(&str, &str, usize); 6] = [
    ("on_cpu", "on CPU", 9),
    ("runqueue", "run queue", 11),
    ("preempted", "preempted", 11),
    ("futex", "futex", 8),
    ("page_fault", "fault", 8),
    ("memory", "memory", 8),
];

/// Threads shown at most: the working ones come first.
const MOST_THREADS: usize = 12;

/// A pattern's heading and its ledger.
pub(super) fn pattern(style: Style, pattern: Pattern, recording: &Recording) -> String {
    let mut text = String::new();
    let title = format!("{pattern:<14}");
    let right = format!("{}", recording.run.display());
    let summary = format!("{:<54}", pattern.summary());
    let _ = writeln!(text, "{} {summary} {}", style.bold(&title), style.dim(&format!("{right:>29}")));
    text.push_str(&ledger(style, &recording.report.threads, |comm| {
        recording.truth.threads.iter().any(|t| t.name == comm)
    }));
    text
}

/// One line a thread: shares of its wall clock by state, then rates.
fn ledger(style: Style, threads: &[ThreadReport], works: impl Fn(&str) -> bool) -> String {
    let mut heading = format!("  {:<15}", "thread");
    for (_, name, width) in STATES {
        let _ = write!(heading, "{name:>width$}");
    }
    let _ = write!(heading, "{:>8}{:>11}{:>9}", "other", "switches/s", "faults/s");
    let mut text = style.dim(&heading) + "\n";

    let mut sorted: Vec<&ThreadReport> = threads.iter().collect();
    sorted.sort_by_key(|t| (!works(&t.comm), t.comm.clone(), t.tid));
    for thread in sorted.iter().take(MOST_THREADS) {
        let _ = write!(text, "  {:<15.15}", printable(&thread.comm));
        let mut named_ns = 0;
        for (state, _, width) in STATES {
            named_ns += thread.state_ns(state);
            text.push_str(&share(style, thread.state_ns(state), thread.wall_ns, width));
        }
        let other_ns = thread.wall_ns.saturating_sub(named_ns);
        text.push_str(&share(style, other_ns, thread.wall_ns, 8));
        let rate = |count: u64| {
            let seconds = thread.wall_ns as f64 / 1e9;
            if thread.wall_ns == 0 { "-".to_owned() } else { number((count as f64 / seconds).round()) }
        };
        let _ = writeln!(text, "{:>11}{:>9}", rate(thread.nvcsw + thread.nivcsw), rate(thread.min_flt));
    }
    if let Some(more @ 1..) = sorted.len().checked_sub(MOST_THREADS) {
        let _ = writeln!(text, "  {}", style.dim(&format!("and {more} more")));
    }
    text
}

fn share(style: Style, part_ns: u64, wall_ns: u64, width: usize) -> String {
    if wall_ns == 0 {
        return format!("{:>width$}", "-");
    }
    let percent = part_ns as f64 * 100.0 / wall_ns as f64;
    let text = format!("{:>width$}", format!("{percent:.1}%"));
    if percent < 0.05 { style.dim(&text) } else { text }
}

/// A thread name without what a terminal would act on.
fn printable(comm: &str) -> String {
    comm.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// One line a condition: what it is, intended, observed, ok or miss.
pub(super) fn signature(style: Style, verdict: &Verdict) -> String {
    let heading = format!("  {:<48}{:>16}{:>18}", "signature", "intended", "observed");
    let mut text = style.dim(&heading) + "\n";
    for finding in &verdict.findings {
        let condition = finding.condition;
        let intended = style.dim(&format!("{:>16}", condition.to_string()));
        let word = if finding.ok() { style.green("ok") } else { style.red("miss") };
        let _ = writeln!(
            text,
            "  {:<48}{intended}{:>18}  {word}",
            condition.metric.text(),
            finding.observed_text()
        );
    }
    text
}

/// Each recording under each label: the diagonal and nothing else is to be accepted.
pub(super) fn matrix(style: Style, matrix: &Matrix) -> String {
    let mut text = style.bold("each recording under each label") + "\n";
    let mut heading = format!("  {:<18}", "recorded");
    for label in Pattern::ALL {
        let _ = write!(heading, "{:>18}", format!("as {label}"));
    }
    text.push_str(&style.dim(&heading));
    text.push('\n');
    for (recorded, verdicts) in &matrix.rows {
        let _ = write!(text, "  {recorded:<18}");
        for verdict in verdicts {
            let cell = match verdict.missed().count() {
                0 => format!("{:>18}", "accepted"),
                missed => format!("{:>18}", format!("{missed} of {} miss", verdict.findings.len())),
            };
            let right = verdict.accepted() == (verdict.pattern == *recorded);
            text.push_str(&match (right, verdict.accepted()) {
                (true, true) => style.green(&cell),
                (true, false) => style.dim(&cell),
                (false, _) => style.red(&cell),
            });
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(comm: &str) -> ThreadReport {
        serde_json::from_value(serde_json::json!({
            "tid": 5, "comm": comm, "wall_ns": 3_000_000_000_u64,
            "states_ns": {"on_cpu": 2_610_000_000_u64, "futex": 381_000_000, "sleep": 9_000_000},
            "nvcsw": 4_500_000, "nivcsw": 9, "min_flt": 1_234_567
        }))
        .unwrap()
    }

    #[test]
    fn a_ledger_fits_100_columns_and_shows_the_working_threads_first() {
        let text = ledger(Style::PLAIN, &[thread("calibration"), thread("worker")], |c| c == "worker");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 100), "{text}");
        assert!(lines[1].starts_with("  worker") && lines[2].starts_with("  calibration"), "{text}");
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(&words[1..8], ["87.0%", "0.0%", "0.0%", "12.7%", "0.0%", "0.0%", "0.3%"]);
        assert!(lines[1].ends_with("  1 500 003  411 522"), "{text}");
    }

    #[test]
    fn a_name_with_control_characters_cannot_reach_the_terminal() {
        let text = ledger(Style::PLAIN, &[thread("\u{1b}[31m\u{fffd}")], |_| true);
        assert!(text.contains("?[31m") && !text.contains('\u{1b}'), "{text}");
    }
}
