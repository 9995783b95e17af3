//! `hostprof check`: whether a recording is true.

use std::{path::PathBuf, process::ExitCode};

use super::report::{print_json, print_text};
use crate::{
    check::{Verdict, check},
    recording::Recording,
};

/// Compares a recording with the kernel's own counters, thread by thread.
///
/// Exit status: 0 pass, 3 fail, 4 undecided (records were lost, or there is nothing to compare).
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Run folder.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let findings = check(&Recording::open(&args.run)?)?;
    if args.json { print_json(&findings) } else { print_text(&findings.to_string()) }?;
    Ok(match findings.verdict {
        Verdict::Pass => ExitCode::SUCCESS,
        Verdict::Fail => ExitCode::from(3),
        Verdict::Undecided => ExitCode::from(4),
    })
}
