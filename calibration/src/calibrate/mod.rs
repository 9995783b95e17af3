//! `hostprof calibrate`: each pattern is recorded, and what an operation should cost is set beside what it did.
//!
//! On a GPU machine most of what a CUDA program asks of the kernel is CUDA's start. So each way of waiting is first
//! recorded with no operation at all, and what that showed is taken off. The numbers that are intended were measured on
//! an H100 with driver 580 (CUDA 13.0, Linux 6.18); a driver that does otherwise is told by a miss.

mod case;
mod outcome;
mod view;

use std::collections::{BTreeMap, btree_map::Entry};

use anyhow::{Context, Result};
use serde::Serialize;

pub use self::{
    case::{Bounds, Case, Measure, cases},
    outcome::{Finding, Fingerprint, Outcome},
};
use crate::{
    cuda::{self, Sync},
    demo::{self, Demo, recording::Recording, style::Style},
};

/// Where the patterns run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// On a GPU where there is one that can be used, else on the CPU
    #[default]
    Auto,
    /// On the CPU
    Cpu,
    /// On a GPU
    Cuda,
}

/// Every system call counted, each ioctl on the driver's devices a row, and calls of its library.
const OPTIONS: &[&str] = &["--probe", "auto,ioctl,syscall_count,cuda", "--sample-interval", "100ms"];

/// Records and judges; prints as it goes, or at the end as JSON. Returns whether everything was as intended.
///
/// # Errors
///
/// Something could not be recorded.
pub fn run(demo: &Demo, backend: Backend, json: bool) -> Result<bool> {
    let on_gpu = match backend {
        Backend::Cpu => false,
        Backend::Cuda => {
            cuda::can_run()?;
            true
        }
        Backend::Auto => match cuda::can_run() {
            Ok(()) => true,
            Err(reason) => {
                eprintln!("calibration: on the CPU, since: {reason:#}");
                false
            }
        },
    };
    match (on_gpu, json) {
        (true, json) => on_cuda(demo, json),
        (false, false) => demo::run(demo),
        (false, true) => demo::run_for_json(demo),
    }
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Printed<'a> {
    backend: Backend,
    passed: bool,
    cases: &'a [Outcome],
}

fn on_cuda(demo: &Demo, json: bool) -> Result<bool> {
    let style = Style::for_stdout();
    let mut starts: BTreeMap<Sync, Fingerprint> = BTreeMap::new();
    let mut outcomes = Vec::new();
    for case in cases() {
        if let Entry::Vacant(entry) = starts.entry(case.sync) {
            entry.insert(start_of(demo, case.sync)?);
        }
        demo::progress(&format!("recording {} …", case.name));
        let recording = Recording::of(demo, OPTIONS, &case.arguments());
        demo::progress("");
        let recording = recording.with_context(|| format!("record {}", case.name))?;
        let outcome = Outcome::of(&case, &recording, &starts[&case.sync]);
        if !json {
            println!("{}", view::outcome(style, &outcome));
        }
        outcomes.push(outcome);
    }
    let passed = outcomes.iter().all(Outcome::passed);
    if json {
        let printed = Printed { backend: Backend::Cuda, passed, cases: &outcomes };
        println!("{}", serde_json::to_string_pretty(&printed).context("write the result as JSON")?);
    } else {
        println!("{}", view::fingerprints(style, &starts[&Sync::Spin], &outcomes));
        println!("{}", view::conclusion(style, &outcomes));
    }
    Ok(passed)
}

/// A program that starts CUDA and ends. The first after boot does more, so the second counts.
fn start_of(demo: &Demo, sync: Sync) -> Result<Fingerprint> {
    demo::progress(&format!("recording CUDA's start ({sync}) …"));
    let arguments = case::start_arguments(sync);
    Recording::of(demo, OPTIONS, &arguments).context("record CUDA's start")?;
    let recording = Recording::of(demo, OPTIONS, &arguments).context("record CUDA's start")?;
    demo::progress("");
    Ok(Fingerprint::of(&recording.report))
}
