//! `calibration`: runs one pattern whose true answer is known and prints what it did as one JSON object, or records all
//! of them and judges the recordings.

mod args;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use args::{Arguments, Backend, CalibrateArgs, Command, GapsArgs, PatternArgs};
use calibration::{
    Pattern, calibrate,
    cpu::{self, Limit},
    cuda,
    demo::Demo,
};
use clap::Parser as _;
use serde::Serialize;

/// Something was not as intended.
const MISSED: u8 = 3;

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(code) => code,
        Err(err) => {
            eprintln!("calibration: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::ComputeHeavy(args) => pattern(Pattern::ComputeHeavy, args),
        Command::LaunchHeavy(args) => pattern(Pattern::LaunchHeavy, args),
        Command::SyncHeavy(args) => pattern(Pattern::SyncHeavy, args),
        Command::AllocHeavy(args) => pattern(Pattern::AllocHeavy, args),
        Command::GpuGaps(args) => gaps(args),
        Command::Calibrate(args) => calibrate(args),
    }
}

fn pattern(pattern: Pattern, args: &PatternArgs) -> Result<ExitCode> {
    let limit = match args.ops {
        Some(operations) => Limit::Operations(operations),
        None => Limit::Time(Duration::try_from_secs_f64(args.seconds).context("read --seconds")?),
    };
    let truth = match args.backend {
        Backend::Cpu => cpu::run(pattern, &cpu::Plan::new(pattern, args.threads, args.size, limit)?)?,
        Backend::Cuda => {
            let plan = cuda::Plan {
                threads: args.threads.unwrap_or(1),
                streams: args.streams,
                size: 0,
                limit,
                sync: args.sync,
                alloc: args.alloc,
                graph: args.graph,
            };
            cuda::run(pattern, &cuda::Plan::new(pattern, args.size, plan)?)?
        }
    };
    print(&truth, args.json.as_deref())
}

fn gaps(args: &GapsArgs) -> Result<ExitCode> {
    let time = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).context("read a time in milliseconds");
    let plan = cuda::GapsPlan {
        busy: time(args.busy_ms)?,
        gaps: args.gap_ms.iter().map(|ms| time(*ms)).collect::<Result<_>>()?,
        repeat: args.repeat,
    };
    print(&cuda::run_gaps(&plan)?, args.json.as_deref())
}

fn print(truth: &impl Serialize, path: Option<&Path>) -> Result<ExitCode> {
    let json = serde_json::to_string(truth).context("write the result as JSON")?;
    match path {
        None => println!("{json}"),
        Some(path) => {
            std::fs::write(path, json + "\n").with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn calibrate(args: &CalibrateArgs) -> Result<ExitCode> {
    let calibration = std::env::current_exe().context("find calibration itself")?;
    let hostprof = match &args.hostprof {
        Some(path) => path.clone(),
        None => beside(&calibration)?,
    };
    // SAFETY: asks who runs this.
    let sudo = unsafe { libc::geteuid() } != 0;
    let demo = Demo { hostprof, calibration, runs: args.out.clone(), sudo };
    let passed = calibrate::run(&demo, args.backend, args.json)?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}

/// hostprof, where it is beside this program.
fn beside(calibration: &Path) -> Result<PathBuf> {
    let path = calibration.with_file_name("hostprof");
    if !path.is_file() {
        bail!("find {}: it is not there (--hostprof FILE)", path.display());
    }
    Ok(path)
}
