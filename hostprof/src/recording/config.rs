//! `config.json`: what was recorded, where, how, and how it ended. Written at the start and at the end;
//! one without an end was killed, or goes on.

use std::{fmt, str::FromStr};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::{
    CONFIG_FILE,
    folder::{FolderError, RunFolder},
    host::Host,
};
use crate::units::{MonoNs, WallNs};

/// An instant on both clocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// RFC 3339, UTC: `wall_ns` for people.
    pub wall: String,
    /// CLOCK_REALTIME.
    pub wall_ns: WallNs,
    /// CLOCK_MONOTONIC.
    pub mono_ns: MonoNs,
}

impl Moment {
    /// The instant at which both clocks read this.
    pub fn new(wall_ns: WallNs, mono_ns: MonoNs) -> Self {
        let wall = DateTime::<Utc>::from_timestamp_nanos(wall_ns.0 as i64);
        Self { wall: wall.to_rfc3339_opts(SecondsFormat::Nanos, true), wall_ns, mono_ns }
    }
}

/// Why a recording ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum EndReason {
    /// `--duration` was over.
    Duration,
    /// The last thread of the target was gone.
    TargetExit,
    /// Ctrl-C, or SIGTERM.
    Signal,
    /// `--max-size` was reached.
    MaxSize,
    /// Less than `--min-free` was left of the file system.
    MinFree,
    /// A write found no space.
    DiskFull,
    /// It failed, with this message.
    Error(String),
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration => f.write_str("duration"),
            Self::TargetExit => f.write_str("target_exit"),
            Self::Signal => f.write_str("signal"),
            Self::MaxSize => f.write_str("max_size"),
            Self::MinFree => f.write_str("min_free"),
            Self::DiskFull => f.write_str("disk_full"),
            Self::Error(message) => write!(f, "error: {message}"),
        }
    }
}

impl From<EndReason> for String {
    fn from(reason: EndReason) -> Self {
        reason.to_string()
    }
}

impl FromStr for EndReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "duration" => Self::Duration,
            "target_exit" => Self::TargetExit,
            "signal" => Self::Signal,
            "max_size" => Self::MaxSize,
            "min_free" => Self::MinFree,
            "disk_full" => Self::DiskFull,
            other => match other.strip_prefix("error: ") {
                Some(message) => Self::Error(message.to_owned()),
                None => return Err(format!("unknown end {other:?}")),
            },
        })
    }
}

impl TryFrom<String> for EndReason {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The end of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    #[serde(flatten)]
    pub at: Moment,
    /// Why.
    pub reason: EndReason,
}

/// A process the target was given or found as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    /// Process id, in the initial pid namespace.
    pub tgid: u32,
    /// Name.
    pub comm: String,
    /// Program; null where it could not be read.
    pub exe: Option<String>,
    /// Command line, secrets masked.
    pub cmdline: Vec<String>,
    /// Why it is in the target: `--pid`, `parent of 4211: engine vllm`.
    pub reason: String,
}

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// `pid`, `container`, `cgroup`, `comm` or `command`.
    pub kind: String,
    /// What that was given: the pid, the container's name.
    pub value: String,
    /// `engine`, `down` or `exact`.
    pub tree: String,
    /// The engine it was taken for; null if none.
    pub engine: Option<String>,
    /// The processes everything below which was recorded.
    pub roots: Vec<Process>,
    /// Processes pulled in beside what was asked for.
    pub pulled_in: Vec<Process>,
}

/// A probe and whether it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// As `--probe` takes it.
    pub name: String,
    /// Whether it was attached.
    pub on: bool,
    /// Why not; empty where it was.
    pub reason: String,
    /// What it could not do, or does in another way on this kernel.
    pub notes: Vec<String>,
    /// What it costs programs that are not recorded; empty where nothing.
    pub bystander_cost: String,
}

/// The buffers between the kernel and the recorder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rings {
    /// How many.
    pub count: u32,
    /// Size of each.
    pub bytes: u64,
}

/// What is polled, and how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Samples {
    /// Time between two samples; null where none are taken.
    pub interval_ns: Option<u64>,
    /// What could not be read, and why.
    pub notes: Vec<String>,
    /// Columns of GPUs that are null in every row or in some, and why; known at the end.
    pub absent: Vec<Absent>,
}

/// Columns that a GPU does not offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Absent {
    /// NVML's number of it.
    pub gpu: u32,
    /// The GPU instance, of one that is divided.
    pub gpu_instance: Option<u32>,
    /// Columns of `gpu_sample`; those of `gpu_process_sample` say so.
    pub columns: Vec<String>,
    /// Why.
    pub reason: String,
}

/// Another tool that `--also` named, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlsoTool {
    /// As `--also` takes it.
    pub name: String,
    /// Its version; null where it is not there.
    pub version: Option<String>,
    /// Its command line; empty where it did not begin.
    pub command: Vec<String>,
    /// The files it left in the folder, known at the end.
    pub files: Vec<String>,
    /// When it had begun, CLOCK_MONOTONIC; null where it did not.
    pub start_mono_ns: Option<u64>,
    /// When it had ended, CLOCK_MONOTONIC.
    pub end_mono_ns: Option<u64>,
    /// What it ended with, as a shell tells it: 130 where it was asked to end, 0 where the target was gone.
    pub exit_status: Option<i32>,
    /// Why it did not run; empty where it did.
    pub reason: String,
    /// What went wrong later, and what its files do not show.
    pub notes: Vec<String>,
}

/// Three clocks read at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockAnchor {
    /// CLOCK_MONOTONIC.
    pub mono_ns: u64,
    /// CLOCK_REALTIME.
    pub wall_ns: u64,
    /// `CLOCK_BOOTTIME`.
    pub boot_ns: u64,
    /// How far the clocks' instants may lie apart; null where the recorder did not tell.
    pub error_ns: Option<u64>,
}

/// A file of requests that was added to the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Import {
    /// The file, as it was named.
    pub file: String,
    /// A hash of its content and its length, by which it is known again.
    pub content: String,
    /// What wrote it: `request.source`.
    pub source: String,
    /// When it was added.
    pub at: Moment,
    /// Requests that became rows.
    pub requests: u64,
    /// Of these, those that probe `http` has seen too.
    pub paired: u64,
    /// Requests that lie outside the recording.
    pub outside: u64,
    /// Requests that have no time, and that probe `http` has not seen.
    pub unplaced: u64,
    /// Requests that were in the tables already.
    pub known: u64,
    /// Lines, or entries, that could not be read.
    pub bad: u64,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// Records lost by a probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dropped {
    /// The probe.
    pub probe: String,
    /// How many of its records.
    pub records: u64,
}

/// What came of it; known at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Records received from the kernel.
    pub records: u64,
    /// Size of all tables on disk.
    pub bytes: u64,
    /// Records lost, by probe; probes that lost none may be left out.
    pub dropped: Vec<Dropped>,
    /// CPU time of the recorder itself.
    pub own_cpu_ns: u64,
    /// Its greatest resident set.
    pub own_max_rss_bytes: u64,
    /// Threads seen.
    pub threads: u64,
    /// When the first record of a wait was read from the kernel, nanoseconds on CLOCK_MONOTONIC; null where there was
    /// none.
    #[serde(default)]
    pub first_record_mono_ns: Option<u64>,
}

/// A ceiling on the recorder's cost, and what it cost while it held: from the first record to the last. What left out
/// what, and when, is in table `shed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CeilingConfig {
    /// The ceiling.
    pub max_overhead_ratio: f64,
    /// The most that any second cost, over the target's CPU time in it (or a second, where that was less).
    pub greatest_overhead_ratio: f64,
    /// Run time of the programs in the kernel.
    pub bpf_ns: u64,
    /// How often they ran.
    pub bpf_runs: u64,
    /// CPU time of the recorder.
    pub own_ns: u64,
    /// CPU time of the target's processes.
    pub target_ns: u64,
}

/// The invoking user, whose the folder is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Name; null where it has none.
    pub name: Option<String>,
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// [`crate::table::SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The writer.
    pub hostprof_version: String,
    /// When recording began.
    pub started: Moment,
    /// When and why it ended; null while it goes on, and for ever in one that was killed.
    pub ended: Option<Ended>,
    /// The recorder's command line, secrets masked.
    #[serde(default)]
    pub command: Vec<String>,
    /// What was recorded.
    #[serde(default)]
    pub target: Target,
    /// Where.
    #[serde(default)]
    pub host: Host,
    /// By whom.
    #[serde(default)]
    pub user: User,
    /// Capabilities kept after attaching.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Every probe, attached or not.
    #[serde(default)]
    pub probes: Vec<Probe>,
    /// The buffers.
    #[serde(default)]
    pub rings: Rings,
    /// Priority of the threads that drain them: `SCHED_FIFO 1`, `nice -20`.
    #[serde(default)]
    pub drain_priority: String,
    /// The samples.
    #[serde(default)]
    pub samples: Samples,
    /// Other tools that ran beside.
    #[serde(default)]
    pub also: Vec<AlsoTool>,
    /// Files of requests that were added, in that order.
    #[serde(default)]
    pub imports: Vec<Import>,
    /// From the start, at most one a minute, to the end.
    #[serde(default)]
    pub clock_anchors: Vec<ClockAnchor>,
    /// What came of it; null until the end.
    #[serde(default)]
    pub totals: Option<Totals>,
    /// The ceiling on the recorder's cost, and what it cost; null where none was set, and until the end.
    #[serde(default)]
    pub ceiling: Option<CeilingConfig>,
    /// What the command ended with, as a shell tells it (128 + n for a signal); null without a command.
    #[serde(default)]
    pub exit_status: Option<i32>,
}

impl Config {
    /// Writes it into a run folder, whole or not at all.
    pub fn write(&self, folder: &RunFolder) -> Result<(), FolderError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| FolderError::Io {
            verb: "write",
            path: folder.path().join(CONFIG_FILE),
            source: error.into(),
        })?;
        text.push(b'\n');
        folder.write_file(CONFIG_FILE, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_says_the_wall_clock_in_utc() {
        let moment = Moment::new(WallNs(1_767_225_600_000_000_001), MonoNs(5));
        assert_eq!(moment.wall, "2026-01-01T00:00:00.000000001Z");
    }

    #[test]
    fn every_end_reads_back_as_written() {
        let reasons = [
            EndReason::Duration,
            EndReason::TargetExit,
            EndReason::Signal,
            EndReason::MaxSize,
            EndReason::MinFree,
            EndReason::DiskFull,
            EndReason::Error("attach: no".into()),
        ];
        for reason in reasons {
            assert_eq!(reason.to_string().parse(), Ok(reason));
        }
        assert!("later".parse::<EndReason>().is_err());
    }

    #[test]
    fn fields_of_a_later_minor_version_are_ignored_and_missing_ones_are_empty() {
        let text = r#"{"schema_version":1,"hostprof_version":"0.1.9","new":1,"ended":null,
            "started":{"wall":"","wall_ns":1,"mono_ns":2,"tai_ns":3}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.started.mono_ns, MonoNs(2));
        assert_eq!(config.ended, None);
        assert_eq!(config.probes, []);
    }
}
