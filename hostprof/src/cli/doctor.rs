//! `hostprof doctor`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use crate::doctor;

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
    let diagnosis = doctor::examine();
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &diagnosis).context("print the findings")?;
        writeln!(out)
    } else {
        out.write_all(doctor::text(&diagnosis).as_bytes())
    }
    .context("print the findings")?;
    Ok(if diagnosis.can_record { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
