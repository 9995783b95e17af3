//! `calibration`: runs one pattern whose true answer is known and prints what it did as one JSON object.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result};
use calibration::{
    Pattern,
    cpu::{self, Limit, Plan},
};
use clap::{Parser, ValueEnum};

/// Run a pattern of work whose true answer is known
///
/// At the end one JSON object tells what was done: operations, run time, and for each working thread
/// its name, operations, futex waits, pages touched, mappings and the kernel's own counters.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    pattern: Pattern,
    /// Where the pattern runs
    #[arg(long, value_enum, default_value = "cpu")]
    backend: Backend,
    /// Working threads: compute-heavy 2 or more (default 2), alloc-heavy 1 or more (default 1), else 2
    #[arg(long)]
    threads: Option<usize>,
    /// End after this many operations (compute-heavy: blocks of a full round; alloc-heavy: of each thread)
    #[arg(long, conflicts_with = "seconds")]
    ops: Option<u64>,
    /// End after this time
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// compute-heavy: blocks of 2^20 steps in a round (16); launch-heavy: steps of an item (16);
    /// sync-heavy: steps done with the token (4096); alloc-heavy: pages of a mapping (64)
    #[arg(long)]
    size: Option<u64>,
    /// Write the JSON object to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Backend {
    Cpu,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("calibration: {err:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let limit = match arguments.ops {
        Some(operations) => Limit::Operations(operations),
        None => Limit::Time(Duration::try_from_secs_f64(arguments.seconds).context("read --seconds")?),
    };
    let plan = Plan::new(arguments.pattern, arguments.threads, arguments.size, limit)?;
    let truth = match arguments.backend {
        Backend::Cpu => cpu::run(arguments.pattern, &plan)?,
    };
    let json = serde_json::to_string(&truth).context("write the result as JSON")?;
    let Some(path) = &arguments.json else {
        println!("{json}");
        return Ok(());
    };
    std::fs::write(path, json + "\n").with_context(|| format!("write {}", path.display()))
}
