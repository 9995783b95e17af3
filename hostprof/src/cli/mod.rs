//! The command line: one file per subcommand, no work done there.

mod check;
mod docs;
mod doctor;
mod list;
mod record;
mod report;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Where the threads of an LLM server (or any program) wait, and why, from the kernel, with nothing
/// changed in the program.
#[derive(Debug, Parser)]
#[command(name = "hostprof", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record where the threads of a process wait, into a run folder
    Record(record::Args),
    /// Compare a recording with the kernel's own counters, thread by thread
    Check(check::CheckArgs),
    /// Tell what a recording shows: where the time went, by role, thread and wait
    Report(report::ReportArgs),
    /// List recordings: when, what, how long, how large
    List(list::ListArgs),
    /// Tell what this machine can measure, what not and why, and the remedy
    Doctor(doctor::Args),
    /// Write the documentation pages that are made from the code
    #[command(hide = true)]
    GenerateDocs(docs::Args),
}

/// Runs what the command line says.
///
/// # Errors
///
/// It could not be done; printed once, by `main`.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Record(args) => record::run(args),
        Command::Check(args) => check::run(&args),
        Command::Report(args) => report::run(&args),
        Command::List(args) => list::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::GenerateDocs(args) => docs::run(&args),
    }
}

/// A failure in one line. An error that tells its cause in its own words is not followed by it again.
pub fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The exit status of a failure: a command that could not be run has its own, as in a shell.
pub fn failure(error: &anyhow::Error, runs_command: bool) -> ExitCode {
    use crate::target::CommandError;
    match error.downcast_ref::<CommandError>() {
        Some(error) => ExitCode::from(error.status()),
        None if runs_command => ExitCode::from(125),
        None => ExitCode::FAILURE,
    }
}

impl Cli {
    /// Whether this runs a command, whose exit status is then hostprof's.
    pub fn runs_command(&self) -> bool {
        matches!(&self.command, Command::Record(args) if args.runs_command())
    }
}
