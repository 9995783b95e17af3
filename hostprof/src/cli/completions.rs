//! `hostprof completions`: what a shell completes by.

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, report::print_text};

/// For which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where they go:
  bash  hostprof completions bash > ~/.local/share/bash-completion/completions/hostprof
  zsh   hostprof completions zsh  > DIR/_hostprof, with DIR in fpath
  fish  hostprof completions fish > ~/.config/fish/completions/hostprof.fish")]
pub struct Args {
    /// Shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

/// Prints them.
///
/// # Errors
///
/// Stdout takes no more.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "hostprof", &mut text);
    print_text(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}
