//! `hostprof report`: the story of a recording.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use serde::Serialize;

use super::load::goodput;
use crate::{
    recording::Recording,
    report::{Detail, html, render, report},
    request::Goodput,
    story::Options,
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
    /// Tell this request in full, beside a typical one and the slowest.
    #[arg(long, value_name = "ID")]
    pub request: Option<String>,
    /// Targets: requests that meet all of them are the goodput. Of ttft, tpot, e2e
    #[arg(long, value_parser = goodput, value_name = "ttft:500ms,tpot:50ms,e2e:5s")]
    pub goodput: Option<Goodput>,
    /// The thread that gives the GPU its work, where the one found is wrong
    #[arg(long, value_name = "TID")]
    pub launcher: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Write a page that needs nothing else, with drawings, to this file
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    pub html: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let options = Options {
        request: args.request.clone(),
        goodput: args.goodput.unwrap_or_default(),
        launcher: args.launcher,
    };
    let report = report(&Recording::open(&args.run)?, &options)?;
    if let Some(id) = &args.request
        && !report.story.iter().flat_map(|story| &story.told).any(|told| told.which == "chosen")
    {
        bail!("tell request {id}: not in this recording (query its table request for ids)");
    }
    if let Some(tid) = args.launcher
        && report.bubbles.is_empty()
    {
        bail!("take {tid} as launching thread: no such thread, or no samples of probe gpu_pm");
    }
    if let Some(path) = &args.html {
        write_private(path, html(&report).as_bytes())?;
        print_text(&format!("{}\n", path.display()))?;
    } else if args.json {
        print_json(&report)?;
    } else {
        print_text(&render(&report, Detail { threads: args.threads, ..Detail::default() }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that is its user's alone, as the recording is.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("write {}", path.display()))
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
