//! A recording that hostprof has made: whether it counts, and what it tells of the recorder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// What the recorder says of itself in a recording that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    pub records: u64,
    /// Of all part files.
    pub file_bytes: u64,
    /// CPU time of the recorder's process, start and end included.
    pub own_cpu_s: f64,
    pub peak_bytes: u64,
    /// When it read its first record of a wait, on CLOCK_MONOTONIC.
    pub first_record_ns: Option<u64>,
}

/// `config.json`, the parts that are read here.
#[derive(Deserialize)]
struct Config {
    totals: Option<Totals>,
}

#[derive(Deserialize)]
struct Totals {
    records: u64,
    own_cpu_ns: u64,
    own_max_rss_bytes: u64,
    first_record_mono_ns: Option<u64>,
}

/// What `hostprof check --json` prints, the parts that are read here.
#[derive(Debug, Deserialize)]
struct Check {
    verdict: String,
    #[serde(default)]
    reason: String,
    loss: Loss,
}

#[derive(Debug, Deserialize)]
struct Loss {
    dropped: u64,
    switches: u64,
    unplaced: u64,
}

impl Check {
    fn parse(json: &str) -> serde_json::Result<Self> {
        serde_json::from_str(json)
    }

    /// Why a recording of so many records with this result does not count.
    fn objection(&self, records: u64) -> Option<String> {
        let Loss { dropped, switches, unplaced } = self.loss;
        if dropped + switches + unplaced > 0 {
            let lost = format!("lost {dropped} records, {switches} switches, {unplaced} unplaced");
            return Some(format!("{lost}; has {records}"));
        }
        let reason = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        (self.verdict != "pass").then(|| format!("check says {}{reason}", self.verdict))
    }
}

/// The first recording in a folder of runs.
pub fn find(runs: &Path) -> Option<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(runs)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("config.json").exists())
        .collect();
    found.sort();
    found.into_iter().next()
}

/// Judges a recording: what it tells, or why it does not count.
pub fn judge(hostprof: &Path, run: &Path) -> Result<Result<Facts, String>> {
    let config = run.join("config.json");
    let text = fs::read_to_string(&config).with_context(|| format!("read {}", config.display()))?;
    let config: Config = serde_json::from_str(&text).with_context(|| format!("read {}", config.display()))?;
    let Some(totals) = config.totals else { return Ok(Err("the recording has no end".to_owned())) };
    let mut command = Command::new(hostprof);
    command.arg("check").arg("--json").arg(run);
    let line = process::line_of(&command);
    // A recording that fails the check is told by its status too; what it prints says why.
    let output = command.output().with_context(|| format!("run {line}"))?;
    let check = Check::parse(&String::from_utf8_lossy(&output.stdout)).with_context(|| {
        format!("read output of {line}: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    if let Some(objection) = check.objection(totals.records) {
        return Ok(Err(objection));
    }
    Ok(Ok(Facts {
        records: totals.records,
        file_bytes: part_bytes(run)?,
        own_cpu_s: totals.own_cpu_ns as f64 / 1e9,
        peak_bytes: totals.own_max_rss_bytes,
        first_record_ns: totals.first_record_mono_ns,
    }))
}

/// The bytes of every file of every table.
fn part_bytes(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry.with_context(|| format!("read {}", dir.display()))?;
        let of_entry = entry.metadata().with_context(|| format!("read {}", entry.path().display()))?;
        if of_entry.is_dir() {
            bytes += part_bytes(&entry.path())?;
        } else if entry.path().extension().is_some_and(|extension| extension == "parquet") {
            bytes += of_entry.len();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(json: &str) -> Option<String> {
        Check::parse(json).unwrap().objection(7)
    }

    #[test]
    fn only_a_recording_without_loss_that_passes_counts() {
        let of = |verdict, dropped, switches| {
            format!(
                r#"{{"verdict":"{verdict}","reason":"","threads_seen":2,"loss":{{"dropped":{dropped},"by_probe":[],"switches":{switches},"unplaced":0}}}}"#
            )
        };
        assert_eq!(objection(&of("pass", 0, 0)), None);
        assert_eq!(objection(&of("pass", 3, 0)).unwrap(), "lost 3 records, 0 switches, 0 unplaced; has 7");
        assert_eq!(objection(&of("pass", 0, 1)).unwrap(), "lost 0 records, 1 switches, 0 unplaced; has 7");
        assert_eq!(objection(&of("fail", 0, 0)).unwrap(), "check says fail");
    }

    #[test]
    fn the_reason_of_a_check_is_passed_on() {
        let json = r#"{"verdict":"undecided","reason":"no thread to compare","loss":{"dropped":0,"switches":0,"unplaced":0}}"#;
        assert_eq!(objection(json).unwrap(), "check says undecided: no thread to compare");
    }
}
