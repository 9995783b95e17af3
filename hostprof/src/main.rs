//! Parses, runs, and turns the result into an exit status.

use std::process::ExitCode;

use hostprof::cli;

fn main() -> ExitCode {
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(error) => {
            eprintln!("hostprof: {error}");
            return ExitCode::from(2);
        }
    };
    let runs_command = cli.runs_command();
    cli::run(cli).unwrap_or_else(|error| {
        eprintln!("hostprof: {}", cli::message(&error));
        cli::failure(&error, runs_command)
    })
}
