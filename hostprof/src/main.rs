//! Parses, runs, and turns the result into an exit status.

use std::process::ExitCode;

use clap::Parser as _;
use hostprof::cli::{self, Cli};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runs_command = cli.runs_command();
    cli::run(cli).unwrap_or_else(|error| {
        eprintln!("hostprof: {}", cli::message(&error));
        cli::failure(&error, runs_command)
    })
}
