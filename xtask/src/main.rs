//! `cargo xtask`: what a newcomer and CI run.
//!
//! Reads the command line and runs one subcommand. Data goes to stdout, progress to stderr; 1 is the exit
//! status of whatever failed, with one line that says what and how to mend it.

mod bench;
mod demo;
mod dist;
mod docs;
mod lint;
mod messages;
mod process;
mod setup;
mod test;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    setup::UserHalf,
    workspace::{Members, Workspace},
};

/// Builds, shows, checks and tests hostprof.
///
/// Run it as yourself: it asks for sudo at the steps that need it.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Finds or installs what the eBPF half needs, then builds both halves.
    Build,
    /// Measures what hostprof costs, beside its peers: docs/benchmarks.md.
    Bench(Box<bench::Options>),
    /// Builds, records the four CPU calibration patterns and judges what was recorded.
    Demo,
    /// Builds what is shipped: a tar.gz with one program in it, and a .deb of the same, both checked.
    Dist,
    /// Checks format, clippy, layers, generated docs and stray local paths.
    Lint,
    /// Writes the generated pages of docs/.
    Docs {
        /// Write nothing; fail when a page is stale.
        #[arg(long)]
        check: bool,
    },
    /// Builds, lints, and runs every test, those on the real kernel as root.
    Test {
        /// Run only the tests with this in their name, and no lint.
        #[arg(long, value_name = "TEXT")]
        filter: Option<String>,
        /// Build, lint and test hostprof-query too, whose query engine takes longer than all else to build; then execute
        /// the notebooks.
        #[arg(long)]
        query: bool,
    },
}

fn run(cli: Cli) -> Result<ExitCode> {
    let find = Workspace::find;
    match cli.command {
        Command::Build => drop(setup::build(&find()?, UserHalf::Programs)?),
        // As root it measures what its user has built: it finds the workspace itself, or needs none.
        Command::Bench(options) => return bench::run(&options),
        Command::Demo => demo::run(&find()?)?,
        Command::Dist => dist::run(&find()?)?,
        Command::Lint => lint::run(&find()?)?,
        Command::Docs { check } => {
            let workspace = find()?;
            setup::build(&workspace, UserHalf::Programs)?;
            if check { docs::check(&workspace)? } else { docs::write(&workspace)? }
        }
        Command::Test { filter, query } => {
            let members: &[_] = if query { &[Members::Default, Members::Query] } else { &[Members::Default] };
            if !test::run(&find()?, members, filter.as_deref()) {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(err) => {
            eprintln!("error: {err:#}");
            ExitCode::FAILURE
        }
    }
}
