//! `hostprof share`: a recording as one page without names.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};

use super::report::{print_text, write_private};
use crate::{
    humane::bytes,
    recording::Recording,
    report::{html, redacted_report},
};

/// What is mailed and attached to issues.
const MOST_BYTES: u64 = 20 << 20;

/// Of what, to where.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Replaced: names of the host, threads, programs, cgroups and requests, and why probes were off. Kept: roles, process
and thread ids, times, sizes, the engine, the kernel's and driver's versions. Look at the page before you give it away.")]
pub struct Args {
    /// Run folder
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// The page
    #[arg(short, long, value_name = "FILE", default_value = "share.html")]
    out: PathBuf,
}

/// Writes the page.
///
/// # Errors
///
/// The recording cannot be read, the page not be written, or is too large.
pub fn run(args: &Args) -> Result<ExitCode> {
    let page = html(&redacted_report(&Recording::open(&args.run)?)?);
    if page.len() as u64 > MOST_BYTES {
        bail!("share {}: the page has {}, over 20 MiB", args.run.display(), bytes(page.len() as u64));
    }
    write_private(&args.out, page.as_bytes())?;
    print_text(&format!("{}\n", args.out.display()))?;
    Ok(ExitCode::SUCCESS)
}
