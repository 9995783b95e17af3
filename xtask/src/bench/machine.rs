//! Where and with what a run was made, and the CPU time that the whole machine has used.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::{bench::programs::Programs, process};

/// `/proc/stat` counts in these on every machine, whatever the kernel's own tick.
const USER_TICKS_PER_S: f64 = 100.0;
/// What is asked for its version, and how.
const VERSIONS: [(&str, &str); 4] =
    [("perf", "--version"), ("strace", "--version"), ("bpftrace", "--version"), ("bpftool", "version")];

/// What a figure depends on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// As it was typed.
    pub command: String,
    /// Of the checkout that the measured programs lie in, `+` where it has changes; null outside of one.
    pub commit: Option<String>,
    pub kernel: String,
    pub cpu: String,
    pub cpus: usize,
    pub memory_bytes: u64,
    /// Over the last minute, before anything was measured: another program's work shows here.
    pub load_average: f64,
    /// RFC 3339, UTC.
    pub started: String,
    pub versions: BTreeMap<String, String>,
}

impl Machine {
    pub fn here(command: String, programs: &Programs) -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
        let mut versions = BTreeMap::new();
        let hostprof = programs.hostprof.to_string_lossy();
        for (name, argument) in [(&*hostprof, "--version")].into_iter().chain(VERSIONS) {
            let said = process::output(Command::new(name).arg(argument)).unwrap_or_default();
            if let Some(line) = said.lines().next() {
                let name = if name == hostprof { "hostprof" } else { name };
                versions.insert(name.to_owned(), line.trim().to_owned());
            }
        }
        Ok(Self {
            command,
            commit: commit(&programs.dir),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            cpu: field(&read("/proc/cpuinfo")?, "model name").unwrap_or_default().to_owned(),
            cpus: cpus(),
            memory_bytes: field(&read("/proc/meminfo")?, "MemTotal")
                .and_then(|kib| kib.trim_end_matches(" kB").parse::<u64>().ok())
                .unwrap_or_default()
                * 1024,
            load_average: read("/proc/loadavg")?
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok())
                .unwrap_or_default(),
            started: process::output(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]))?
                .trim()
                .to_owned(),
            versions,
        })
    }
}

pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The commit of the checkout that holds this folder.
fn commit(dir: &Path) -> Option<String> {
    let git = |args: &[&str]| {
        // A container often runs as another user than the clone's owner, which git refuses by default.
        process::output(Command::new("git").arg("-C").arg(dir).args(["-c", "safe.directory=*"]).args(args))
    };
    let commit = git(&["rev-parse", "HEAD"]).ok()?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).ok()?;
    Some(format!("{}{}", commit.trim(), if changed.trim().is_empty() { "" } else { "+" }))
}

/// The value of the first `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

/// CPU-seconds that all tasks and interrupts of the machine have used since boot.
pub fn cpu_s() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    busy_s(&stat).context("read /proc/stat: no line of all CPUs")
}

/// user, nice, system, irq and softirq; guests are in user already, stolen time is another machine's.
fn busy_s(stat: &str) -> Option<f64> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = all.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks[..] else { return None };
    Some((user + nice + system + irq + softirq) as f64 / USER_TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_idle_waiting_or_stolen_is_not_busy() {
        let stat = "cpu  100 20 300 5000 600 7 80 90 10 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_s(stat), Some(5.07));
        assert_eq!(busy_s("intr 1"), None);
        assert!(cpu_s().unwrap() > 0.0);
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: other\n";
        assert_eq!(field(text, "model name"), Some("AMD EPYC"));
        assert_eq!(field(text, "flags"), None);
    }
}
