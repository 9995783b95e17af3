//! The command line: one file per subcommand, no work done there.

mod beside;
mod calibrate;
mod check;
mod completions;
mod config;
mod docs;
mod doctor;
mod export;
mod import;
mod list;
mod live;
mod load;
mod look;
mod man;
mod pick;
mod picture_text;
mod query;
mod record;
mod replay;
mod report;
mod settings;
mod share;

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, error::ErrorKind};

use self::settings::Configured;
pub use self::settings::SettingsError;

/// Where the threads of an LLM server (or any program) wait, and why, from the kernel, with nothing
/// changed in the program. Alone on a terminal: pick what to watch.
#[derive(Debug, Parser)]
#[command(name = "hostprof", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Record where the threads of a process wait, into a run folder
    Record(Box<record::RecordArgs>),
    /// Record programs whose true answer is known; set what was intended beside what was observed
    Calibrate(calibrate::Args),
    /// Watch a process live: what its threads wait for, in a view on the terminal
    Live(Box<live::Args>),
    /// Look at a recording through the same view, at any of its times
    Replay(Box<replay::Args>),
    /// Compare a recording with the kernel's own counters, thread by thread
    Check(check::CheckArgs),
    /// Tell what a recording shows: where the time went, by role, thread and wait
    Report(report::ReportArgs),
    /// Write a page of a recording without its names, to be given away
    Share(share::Args),
    /// Load an OpenAI-compatible server with requests, and measure its answers
    Load(Box<load::Args>),
    /// Add requests to a recording that a load generator, a server or a tracer wrote down
    Import(import::Args),
    /// Run SQL on a recording, each table by its name
    Query(query::Args),
    /// Write a recording's tables as CSV or JSON
    Export(export::Args),
    /// List recordings: when, what, how long, how large
    List(list::ListArgs),
    /// Tell what this machine can measure, what not and why, and the remedy
    Doctor(doctor::Args),
    /// Tell the settings: from variables, the configuration file, or defaults
    Config(config::Args),
    /// Print the completions of a shell
    Completions(completions::Args),
    /// Print the manual page of hostprof or of a command
    Man(man::Args),
    /// Write the documentation pages that are made from the code
    #[command(hide = true)]
    GenerateDocs(docs::Args),
}

/// Reads the command line, and where it leaves something open the variables and the configuration file.
/// Ends the program where it asks for help, or is wrong.
///
/// # Errors
///
/// A variable or the file has a mistake.
pub fn parse() -> Result<Cli, SettingsError> {
    parse_from(&std::env::args_os().collect::<Vec<_>>())
}

fn parse_from(words: &[OsString]) -> Result<Cli, SettingsError> {
    let mut command = Cli::command();
    // What needs no setting, help above all, works beside a file with a mistake.
    let needs_settings = match command.clone().try_get_matches_from(words) {
        Ok(matches) => settings::all(&command).iter().any(|setting| {
            setting.commands.iter().any(|name| Some(name.as_str()) == matches.subcommand_name())
        }),
        // Perhaps of a variable, which the error does not name.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) => true,
        Err(error) => error.exit(),
    };
    if needs_settings {
        command = Configured::load(&command)?.apply(command);
    }
    let matches = command.clone().try_get_matches_from(words).unwrap_or_else(|error| error.exit());
    Ok(Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit()))
}

/// Runs what the command line says.
///
/// # Errors
///
/// It could not be done; printed once, by `main`.
pub fn run(cli: Cli) -> Result<ExitCode> {
    let Some(command) = cli.command else { return pick::run() };
    match command {
        Command::Record(args) => record::run(*args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Live(args) => live::run(*args),
        Command::Replay(args) => replay::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Share(args) => share::run(&args),
        Command::Load(args) => load::run(*args),
        Command::Import(args) => import::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Export(args) => export::run(&args),
        Command::List(args) => list::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(args),
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
        None if error.is::<SettingsError>() => ExitCode::from(2),
        None if runs_command => ExitCode::from(125),
        None => ExitCode::FAILURE,
    }
}

impl Cli {
    /// Whether this runs a command, whose exit status is then hostprof's.
    pub fn runs_command(&self) -> bool {
        match &self.command {
            Some(Command::Record(args)) => args.args.runs_command(),
            Some(Command::Live(args)) => args.runs_command(),
            _ => false,
        }
    }
}
