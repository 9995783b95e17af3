//! What a run of the benchmark yields, and its JSON: lines of one quantity each, and what was left out.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::bench::{machine::Machine, stats::Summary};

/// Of the JSON's form. Another one is not compared with.
const VERSION: u32 = 1;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub version: u32,
    /// Whether the workloads were cut short: the figures then show that the benchmark works, and no more.
    pub quick: bool,
    pub machine: Machine,
    pub lines: Vec<Line>,
    pub left_out: Vec<LeftOut>,
}

/// One quantity of one workload under one tracer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub suite: String,
    pub workload: String,
    pub tracer: String,
    /// With its unit at the end: `time_ratio`, `first_record_ms`.
    pub quantity: String,
    pub better: Better,
    /// Null when every measurement was rejected.
    pub summary: Option<Summary>,
    /// Measurements that do not count, each with its reason.
    pub rejected: Vec<String>,
    pub note: String,
}

/// Which way a quantity gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Lower,
    Higher,
}

/// What could not be measured here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub what: String,
    /// With the remedy.
    pub reason: String,
}

impl Line {
    /// What tells a line from the others, in every run.
    pub fn key(&self) -> [&str; 4] {
        [&self.suite, &self.workload, &self.tracer, &self.quantity]
    }
}

impl Results {
    pub fn new(machine: Machine, quick: bool) -> Self {
        Self { version: VERSION, quick, machine, lines: Vec::new(), left_out: Vec::new() }
    }

    /// Takes a line in, where a lower value is better.
    pub fn add(&mut self, of: [&str; 4], values: &[f64], rejected: &[String], note: &str) {
        self.add_line(of, Better::Lower, values, rejected, note);
    }

    /// Takes a line in. Without a value or a rejected one there is none.
    pub fn add_line(
        &mut self,
        [suite, workload, tracer, quantity]: [&str; 4],
        better: Better,
        values: &[f64],
        rejected: &[String],
        note: &str,
    ) {
        let summary = Summary::of(values);
        if summary.is_none() && rejected.is_empty() {
            return;
        }
        self.lines.push(Line {
            suite: suite.to_owned(),
            workload: workload.to_owned(),
            tracer: tracer.to_owned(),
            quantity: quantity.to_owned(),
            better,
            summary,
            rejected: rejected.to_vec(),
            note: note.to_owned(),
        });
    }

    /// Says once that something is not measured.
    pub fn leave_out(&mut self, what: &str, reason: &str) {
        let left_out = LeftOut { what: what.to_owned(), reason: reason.to_owned() };
        if !self.left_out.contains(&left_out) {
            eprintln!("left out {what}: {reason}");
            self.left_out.push(left_out);
        }
    }

    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let results = Self::parse(&text).with_context(|| format!("read {}", path.display()))?;
        if results.version != VERSION {
            bail!("read {}: version {}, not {VERSION} (measure it anew)", path.display(), results.version);
        }
        Ok(results)
    }

    fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self).context("write results as JSON")? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_survive_json() {
        let mut results = Results::new(Machine::default(), true);
        let rejected = ["pair 2: lost 3 records".to_owned()];
        results.add(["slowdown", "pipe", "record", "time_ratio"], &[1.1, 1.0 / 3.0], &rejected, "noisy");
        results.add_line(["collector", "storm", "record", "records_per_s"], Better::Higher, &[1e6], &[], "");
        results.leave_out("perf", "not installed (apt install linux-perf)");
        results.leave_out("perf", "not installed (apt install linux-perf)");
        assert_eq!(results.left_out.len(), 1);
        assert_eq!(Results::parse(&results.to_json().unwrap()).unwrap(), results);
    }

    #[test]
    fn a_line_needs_a_value_or_a_reason_for_having_none() {
        let mut results = Results::new(Machine::default(), true);
        results.add(["a", "b", "c", "d"], &[], &[], "");
        assert!(results.lines.is_empty());
        results.add(["a", "b", "c", "d"], &[], &["pair 1: lost 3 records".to_owned()], "");
        assert_eq!(results.lines[0].summary, None);
    }
}
