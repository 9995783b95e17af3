//! `hostprof generate-docs`, hidden: for `cargo xtask docs`.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::docs;

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the pages
    dir: PathBuf,
}

/// Writes the pages that are made from the code.
///
/// # Errors
///
/// The folder cannot be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    for (name, page) in docs::pages() {
        let path = args.dir.join(name);
        fs::write(&path, page).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
