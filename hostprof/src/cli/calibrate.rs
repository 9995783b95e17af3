//! `hostprof calibrate`: programs whose true answer is known, recorded and judged, by a program of its own.
//!
//! What judges a recorder must not be made of it: `calibration` knows hostprof's command line and its JSON, and
//! nothing else of it.

use std::{
    env,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use super::beside;

const PROGRAM: &str = "calibration";

/// Where, and how it is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
On a GPU: few long kernels; many tiny ones, also through a graph; a wait after each, in three ways; allocations, in
four. Each number is of one operation, without CUDA's start. Without a GPU: the same four ideas on the CPU.

It is run by calibration, a program of its own. Exit status: 0 all as intended, 3 something is not, 1 failed.")]
pub struct Args {
    /// Where the patterns run: auto (a GPU where there is one that can be used), cpu, cuda
    #[arg(long, value_parser = ["auto", "cpu", "cuda"], default_value = "auto", value_name = "BACKEND")]
    backend: String,

    /// Folder of runs
    #[arg(short, long, default_value = "runs", value_name = "DIR")]
    out: PathBuf,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Becomes the program that records and judges.
///
/// # Errors
///
/// It is not there, or cannot be run.
pub fn run(args: &Args) -> Result<ExitCode> {
    let program = beside::program(PROGRAM)?.context(
        "run calibration: not beside hostprof, nor on the path (in hostprof's sources: cargo install --locked --path calibration)",
    )?;
    let mut command = Command::new(&program);
    command.arg("calibrate").arg("--backend").arg(&args.backend).arg("--out").arg(&args.out);
    command.arg("--hostprof").arg(env::current_exe().context("find hostprof itself")?);
    if args.json {
        command.arg("--json");
    }
    let error = command.exec();
    Err(error).with_context(|| format!("run {}", program.display()))
}
