//! The four calibration patterns, recorded: each shows its own signature and none of the others'.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::duration_suboptimal_units,
    reason = "helpers of tests are tests"
)]

#[path = "kernel/support/mod.rs"]
mod support;

use std::ffi::OsString;

use calibration::{
    Pattern,
    signature::{Observed, judge_all},
};
use support::{Recorder, calibration_path};

/// Records a pattern, which the report is to name; its ledger beside the program's own account.
fn observed(pattern: Pattern) -> Observed {
    let command: [OsString; 5] =
        ["--".into(), calibration_path().into(), pattern.name().into(), "--seconds".into(), "2".into()];
    let recorded = Recorder::spawn(&command).finish().checked();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let truth = recorded.lines.first().expect("the program's account");
    let report = recorded.report();
    let resembles = &report["resembles"];
    assert_eq!(resembles["pattern"].as_str(), Some(pattern.name()), "{resembles}");
    Observed::from_json(&report.to_string(), &truth.to_string()).expect("read both accounts")
}

#[test]
fn each_pattern_is_recognised_and_taken_for_no_other() {
    let recordings = Pattern::ALL.map(|pattern| (pattern, observed(pattern)));
    let matrix = judge_all(&recordings);
    println!("{matrix}");
    assert!(matrix.is_diagonal(), "{matrix}");
}
