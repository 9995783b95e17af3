//! `hostprof query`: SQL, by a program of its own.
//!
//! A query engine is several times hostprof's size, and hostprof runs as root beside what it measures; so it
//! lives in `hostprof-query`, which is found beside hostprof or on the path, and needs no privilege.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use super::beside;

const PROGRAM: &str = "hostprof-query";

/// Of what, and what to ask.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hostprof query runs/run_001 'SHOW TABLES'
  hostprof query runs/run_001 'SELECT state, sum(blocked_ns) / 1e6 AS ms FROM off_cpu GROUP BY 1 ORDER BY 2 DESC'
  hostprof query runs/run_001 'SELECT * FROM thread' --format csv > threads.csv

It is run by hostprof-query, a program of its own.")]
pub struct Args {
    /// Run folder
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// A SELECT; each table by its name
    #[arg(value_name = "SQL", allow_hyphen_values = true)]
    sql: OsString,

    /// What to print: table, csv, json
    #[arg(long, value_parser = ["table", "csv", "json"], default_value = "table", value_name = "FORMAT")]
    format: String,
}

/// Becomes the program that answers.
///
/// # Errors
///
/// It is not there, or cannot be run.
pub fn run(args: &Args) -> Result<ExitCode> {
    let program = beside::program(PROGRAM)?.context(
        "run hostprof-query: not beside hostprof, nor on the path (in hostprof's sources: cargo install --locked --path hostprof-query; \
         or ask DuckDB, which reads the Parquet files as they are)",
    )?;
    let error = Command::new(&program)
        .arg(format!("--format={}", args.format))
        .arg("--")
        .arg(&args.run)
        .arg(&args.sql)
        .exec();
    Err(error).with_context(|| format!("run {}", program.display()))
}
