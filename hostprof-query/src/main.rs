//! `hostprof-query RUN SQL`: SQL on a recording, each table of the run folder by its name.
//!
//! Reads the folder's Parquet parts and nothing else of hostprof's; writes rows to stdout. It can only read:
//! statements that would change anything are refused.

mod print;
mod session;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::{print::Format, session::Session};

/// SQL on a recording of hostprof's, each table by its name.
#[derive(Debug, Parser)]
#[command(name = "hostprof-query", version)]
struct Cli {
    /// Run folder
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// A SELECT, SHOW TABLES or DESCRIBE
    #[arg(value_name = "SQL", allow_hyphen_values = true)]
    sql: String,

    /// What to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

async fn answer(cli: &Cli) -> Result<()> {
    let session = Session::open(&cli.run).await?;
    print::rows(session.query(&cli.sql).await?, cli.format).await
}

fn run(cli: &Cli) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().context("start threads")?;
    runtime.block_on(answer(cli))
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hostprof: {error:#}");
            ExitCode::FAILURE
        }
    }
}
