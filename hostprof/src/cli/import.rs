//! `hostprof import`: requests that others wrote down, into a recording.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;

use crate::{
    humane::{count, duration, plural},
    import::{self, Added, FORMATS},
    privilege::{self, Invoker},
};

/// Into what, and which.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub struct Args {
    /// Run folder of a recording that is over
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Files of requests; what wrote them is told by their content
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

fn after_help() -> String {
    let mut help = "Known files, by what column request.source calls them:\n".to_owned();
    for format in FORMATS {
        let _ = writeln!(help, "  {:<13}{}", format.source, format.what);
    }
    help.push_str(
        "\nA file is added once. A request that probe http saw too keeps a row of each source, joined by column kernel_id.\n\
         Lines that cannot be read are counted, and the first few are shown. Text of prompts and answers is never stored.",
    );
    help
}

/// Adds the files.
///
/// # Errors
///
/// One holds no request that is known, or belongs to another time; those before it were added.
pub fn run(args: &Args) -> Result<ExitCode> {
    // What is added belongs to whom the recording does.
    privilege::give_up(&Invoker::find())?;
    for file in &args.files {
        add(&args.run, file)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds one, and says what came of it.
pub(super) fn add(run: &Path, file: &Path) -> Result<()> {
    let added = import::add(run, file)?;
    for (place, reason) in &added.bad {
        eprintln!("hostprof: read {}:{place}: {reason}", file.display());
    }
    let untold = added.import.bad.saturating_sub(added.bad.len() as u64);
    if untold > 0 {
        eprintln!("hostprof: read {}: {} more could not be read", file.display(), count(untold));
    }
    eprintln!("hostprof: {}: {}", file.display(), summary(&added));
    Ok(())
}

fn summary(added: &Added) -> String {
    let import = &added.import;
    let mut parts = vec![format!("{} of {}", plural(import.requests, "request"), added.what)];
    for (tier, requests, error) in &added.tiers {
        let error = error.map_or("unknown".to_owned(), duration);
        parts.push(format!("{} by {tier}, error {error} at most", count(*requests)));
    }
    let rest = [
        (import.paired, "seen by probe http too"),
        (import.outside, "outside the recording, left out"),
        (import.unplaced, "without a time, left out"),
        (import.known, "there already, left out"),
        (import.bad, "that could not be read"),
    ];
    parts.extend(rest.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(*n))));
    parts.join(" · ")
}
