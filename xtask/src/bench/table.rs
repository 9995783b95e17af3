//! Results for people: one table a suite.

use std::fmt::Write as _;

use crate::bench::results::{Line, Results};

/// All lines, and what was left out.
pub fn of(results: &Results) -> String {
    let mut text = String::new();
    let mut suites: Vec<&str> = results.lines.iter().map(|line| line.suite.as_str()).collect();
    suites.dedup();
    for suite in suites {
        let lines: Vec<_> = results.lines.iter().filter(|line| line.suite == suite).collect();
        let rows: Vec<_> = lines.iter().map(|line| row(line)).collect();
        let head = ["workload", "tracer", "quantity", "median", "95 % interval", "detectable", "n", ""];
        let _ = writeln!(text, "\n{}", suite.to_uppercase());
        text += &aligned(&head.map(str::to_owned), &rows);
    }
    for line in &results.lines {
        for rejected in &line.rejected {
            let _ = writeln!(text, "rejected: {} · {} · {rejected}", line.workload, line.tracer);
        }
    }
    for left_out in &results.left_out {
        let _ = writeln!(text, "left out: {}: {}", left_out.what, left_out.reason);
    }
    text
}

fn row(line: &Line) -> [String; 8] {
    let mut remarks = Vec::new();
    if !line.rejected.is_empty() {
        remarks.push(format!("{} rejected", line.rejected.len()));
    }
    if !line.note.is_empty() {
        remarks.push(line.note.clone());
    }
    let none = || "-".to_owned();
    let summary = line.summary.as_ref();
    let interval = summary.and_then(|summary| summary.interval);
    [
        line.workload.clone(),
        line.tracer.clone(),
        line.quantity.clone(),
        summary.map_or_else(none, |summary| figure(summary.median)),
        interval
            .map_or_else(none, |interval| format!("{} to {}", figure(interval.low), figure(interval.high))),
        summary
            .and_then(|summary| summary.detectable)
            .map_or_else(none, |effect| format!("±{}", figure(effect))),
        summary.map_or(0, |summary| summary.values.len()).to_string(),
        remarks.join(" · "),
    ]
}

/// Four digits that matter.
pub fn figure(value: f64) -> String {
    let digits = match value.abs() {
        1000.0.. => 0,
        100.0.. => 1,
        10.0.. => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// Rows under their head, each column as wide as its widest cell.
pub fn aligned<const N: usize>(head: &[String; N], rows: &[[String; N]]) -> String {
    let rows = || std::iter::once(head).chain(rows);
    let widths: Vec<_> = (0..N)
        .map(|column| rows().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in rows() {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::machine::Machine;

    #[test]
    fn a_line_shows_its_figures_and_why_pairs_do_not_count() {
        let mut results = Results::new(Machine::default(), false);
        let rejected = ["pair 3: lost 5 records".to_owned()];
        let values = [1.1, 1.12, 1.09, 1.13, 1.1, 1.15, 1.11];
        results.add(["slowdown", "sched pipe", "record", "time_ratio"], &values, &rejected, "");
        results.add(["slowdown", "sched pipe", "perf", "time_ratio"], &[2.0], &[], "lost events in 1 pairs");
        results.leave_out("bpftrace", "bpftrace is not installed (apt install bpftrace)");
        let table = of(&results);
        assert_eq!(
            table.lines().collect::<Vec<_>>(),
            [
                "",
                "SLOWDOWN",
                "workload    tracer  quantity    median  95 % interval   detectable  n",
                "sched pipe  record  time_ratio  1.110   1.090 to 1.150  ±0.020      7  1 rejected",
                "sched pipe  perf    time_ratio  2.000   -               -           1  lost events in 1 pairs",
                "rejected: sched pipe · record · pair 3: lost 5 records",
                "left out: bpftrace: bpftrace is not installed (apt install bpftrace)",
            ]
        );
    }

    #[test]
    fn figures_have_the_digits_that_matter() {
        assert_eq!([1234.5, 123.45, 12.345, 0.012_34].map(figure), ["1234", "123.5", "12.35", "0.012"]);
    }
}
