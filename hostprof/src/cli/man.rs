//! `hostprof man`: manual pages, made from the command line's own text.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::CommandFactory as _;
use clap_mangen::Man;

use super::{Cli, report::print_text};

/// Which page, or all to a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hostprof man record | man -l -
  hostprof man -o ~/.local/share/man/man1")]
pub struct Args {
    /// Command whose page to print; without it, hostprof's
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Option<String>,

    /// Folder to write every page to
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints a page, or writes all.
///
/// # Errors
///
/// There is no such command, or no writing.
pub fn run(args: Args) -> Result<ExitCode> {
    let mut cli = Cli::command();
    if let Some(folder) = args.out {
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        clap_mangen::generate_to(cli, &folder)
            .with_context(|| format!("write pages to {}", folder.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    // Gives each command its whole name, as `hostprof-record`.
    cli.build();
    let command = match &args.command {
        None => cli,
        Some(name) => match cli.find_subcommand(name) {
            Some(command) => command.clone(),
            None => bail!("show page of {name}: no such command (hostprof --help lists them)"),
        },
    };
    let mut page = Vec::new();
    Man::new(command).render(&mut page).context("make page")?;
    print_text(&String::from_utf8_lossy(&page))?;
    Ok(ExitCode::SUCCESS)
}
