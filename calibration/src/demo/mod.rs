//! The demo: each pattern is run under `hostprof record`, checked, reported and judged.
//!
//! hostprof is used through its command line only, as a user would.

pub(crate) mod recording;
pub(crate) mod style;
mod view;

use std::{
    io::{IsTerminal, stderr, stdout},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context, Result};

use self::{recording::Recording, style::Style};
use crate::{
    Pattern,
    signature::{Observed, judge, judge_all},
};

/// How long each pattern runs, seconds.
const SECONDS: u32 = 3;

/// Where the programs are and where the runs go.
#[derive(Clone, Debug)]
pub struct Demo {
    /// The `hostprof` binary.
    pub hostprof: PathBuf,
    /// The `calibration` binary.
    pub calibration: PathBuf,
    /// The folder that run folders are made in.
    pub runs: PathBuf,
    /// Whether the recorder is run through sudo.
    pub sudo: bool,
}

/// Records, checks, reports and judges the four patterns and prints each as it is done. Returns whether
/// all four match their signature and no recording passes under another label.
pub fn run(demo: &Demo) -> Result<bool> {
    let style = Style::for_stdout();
    let start = Instant::now();
    let mut recordings = Vec::new();
    let mut matching = 0;
    println!("{}\n", style.bold("hostprof calibration: programs whose true answer is known"));
    for pattern in Pattern::ALL {
        progress(&format!("recording {pattern} for {SECONDS} s …"));
        let recording = Recording::make(demo, pattern, SECONDS);
        progress("");
        let recording = recording.with_context(|| format!("record {pattern}"))?;
        let observed = Observed::new(&recording.report, &recording.truth);
        let verdict = judge(pattern, &observed);
        matching += usize::from(verdict.accepted());
        print!("{}", view::pattern(style, pattern, &recording));
        println!("{}", view::signature(style, &verdict));
        recordings.push((pattern, observed));
    }
    let matrix = judge_all(&recordings);
    println!("{}", view::matrix(style, &matrix));
    let line = format!("{matching} of {} patterns match their signature", Pattern::ALL.len());
    let line = if matrix.is_diagonal() { style.green(&line) } else { style.red(&line) };
    println!("{}", style.dim(&format!("recorded and judged in {:.0} s", start.elapsed().as_secs_f64())));
    println!("{line}");
    Ok(matrix.is_diagonal())
}

/// The same in silence, and the verdicts as JSON.
pub fn run_for_json(demo: &Demo) -> Result<bool> {
    let mut recordings = Vec::new();
    let mut cases = Vec::new();
    for pattern in Pattern::ALL {
        let recording =
            Recording::make(demo, pattern, SECONDS).with_context(|| format!("record {pattern}"))?;
        let observed = Observed::new(&recording.report, &recording.truth);
        let verdict = judge(pattern, &observed);
        let findings: Vec<_> = verdict
            .findings
            .iter()
            .map(|finding| {
                serde_json::json!({
                    "measure": finding.condition.metric.text(),
                    "intended": finding.condition.to_string(),
                    "observed": finding.observed,
                    "ok": finding.ok(),
                })
            })
            .collect();
        cases.push(serde_json::json!({
            "name": pattern, "run": recording.run, "truth": recording.truth, "findings": findings,
            "passed": verdict.accepted(),
        }));
        recordings.push((pattern, observed));
    }
    let passed = judge_all(&recordings).is_diagonal();
    let printed = serde_json::json!({"backend": "cpu", "passed": passed, "cases": cases});
    println!("{}", serde_json::to_string_pretty(&printed).context("write the result as JSON")?);
    Ok(passed)
}

/// Replaces the progress line on a terminal; says nothing in a pipe, where the tables follow anyway.
pub(crate) fn progress(text: &str) {
    if stderr().is_terminal() && stdout().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}
