//! `hostprof doctor`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::doctor::{self, Finding};

/// How to tell it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Tells what this machine can measure. Exit status 1 when nothing can be recorded.
///
/// # Errors
///
/// The output cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let findings = doctor::examine();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&findings).context("print the findings")?);
    } else {
        print!("{}", doctor::text(&findings));
    }
    let works = findings.iter().filter(|finding| finding.needed).all(Finding::is_good);
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
