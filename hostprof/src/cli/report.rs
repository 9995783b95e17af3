//! `hostprof report`: the story of a recording.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use serde::Serialize;

use crate::{
    recording::Recording,
    report::{Detail, render, report},
};

/// Tells where each thread's time went, in what waits, and who ended them.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportArgs {
    /// Run folder.
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Threads to show, busiest first; JSON has all.
    #[arg(long, value_name = "N", default_value_t = Detail::default().threads)]
    pub threads: usize,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let report = report(&Recording::open(&args.run)?)?;
    if args.json {
        print_json(&report)?;
    } else {
        print_text(&render(&report, Detail { threads: args.threads, ..Detail::default() }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints text on stdout.
pub(super) fn print_text(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read it has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("write to stdout"),
    }
}

/// Prints a value as JSON on stdout.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value).context("write JSON")?;
    text.push('\n');
    print_text(&text)
}
