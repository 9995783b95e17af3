//! What is asked of a recording, and what comes of it.

use std::{ffi::OsString, path::PathBuf, process::ExitStatus, time::Duration};

use super::Metrics;
use crate::{
    also::Tool,
    bpf::DrainPriority,
    cupti::PmSettings,
    probe::Selection,
    recording::{EndReason, Totals},
    target::{Selector, TreeMode},
};

/// What to record.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Something that runs.
    Running(Selector),
    /// A command, as root or as the invoking user.
    Command {
        /// The command and its arguments.
        command: Vec<OsString>,
        /// Run it as the invoking user, not as root.
        as_user: bool,
    },
}

/// How to record it.
#[derive(Clone, Debug)]
pub struct Options {
    /// What.
    pub wanted: Wanted,
    /// How far around it.
    pub tree: TreeMode,
    /// The folder of runs.
    pub out: PathBuf,
    /// End after that long.
    pub duration: Option<Duration>,
    /// End when the tables have that many bytes.
    pub max_bytes: Option<u64>,
    /// End when less than that share of the file system is free, 0 to 1.
    pub min_free: f64,
    /// Which probes.
    pub probes: Selection,
    /// The devices whose ioctls are told apart.
    pub ioctl_devices: Vec<String>,
    /// Devices that stand in for the NVIDIA driver's.
    pub stand_ins: Vec<String>,
    /// Keep the bytes that were read of the NVIDIA driver's structures.
    pub keep_ioctl_bytes: bool,
    /// Futex calls shorter than this are no rows.
    pub futex_threshold: Duration,
    /// The most threads recorded at a time.
    pub max_threads: u32,
    /// The most bytes of each CPU's ring. `None`: by the number of CPUs.
    pub ring_bytes: Option<u32>,
    /// Threads that fold. `None`: by the number of CPUs.
    pub folds: Option<usize>,
    /// The drains' priority.
    pub drain_priority: DrainPriority,
    /// Time between two samples; `None` for no samples.
    pub sample_interval: Option<Duration>,
    /// Which engines' metrics are sampled with it.
    pub metrics: Metrics,
    /// How PM sampling is done.
    pub gpu_pm: PmSettings,
    /// The most that recording may cost, as a share of the target's CPU time; `None` for no ceiling.
    pub max_overhead: Option<f64>,
    /// Other tools to run beside.
    pub also: Vec<Tool>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The run folder.
    pub run: PathBuf,
    /// How it ended.
    pub reason: EndReason,
    /// How long it was.
    pub length: Duration,
    /// Numbers.
    pub totals: Totals,
    /// What the user should know.
    pub notes: Vec<String>,
    /// How the command ended.
    pub status: Option<ExitStatus>,
}
