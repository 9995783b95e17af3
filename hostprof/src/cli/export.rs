//! `hostprof export`: a recording's tables for what does not read Parquet.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufWriter},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    export::{ExportError, Format, export},
    humane::count,
    recording::Recording,
};

/// Of what, as what, to where.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hostprof export runs/run_001 --to csv --table off_cpu | head
  hostprof export runs/run_001 --to json -o /tmp/run_001      every table, a file each

Parquet is smaller and keeps types: DuckDB, polars, pandas and Spark read runs/run_001/off_cpu/*.parquet.")]
pub struct Args {
    /// Run folder
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// What to write
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Format,

    /// Only this table, or these
    #[arg(long, value_delimiter = ',', value_name = "TABLE")]
    table: Vec<String>,

    /// Folder for a file a table, made where it is missing; without it, one table goes to stdout
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Writes the tables.
///
/// # Errors
///
/// A table is not there, cannot be read or not be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let recording = Recording::open(&args.run)?;
    let tables = if args.table.is_empty() { recording.tables()? } else { args.table.clone() };
    match (&args.out, tables.as_slice()) {
        (_, []) => bail!("export {}: no table has a part yet", args.run.display()),
        (Some(folder), tables) => to_folder(&recording, tables, args.to, folder)?,
        (None, [table]) => to_stdout(&recording, table, args.to)?,
        (None, tables) => bail!(
            "export to stdout: it takes one table (choose by --table from {}, or a folder with -o)",
            tables.join(", ")
        ),
    }
    Ok(ExitCode::SUCCESS)
}

fn to_stdout(recording: &Recording, table: &str, format: Format) -> Result<()> {
    match export(recording, table, format, BufWriter::new(io::stdout().lock())) {
        // Whoever read it has read enough.
        Err(ExportError::Write { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map(drop).map_err(Into::into),
    }
}

fn to_folder(recording: &Recording, tables: &[String], format: Format, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    for table in tables {
        let path = folder.join(format!("{table}.{}", format.extension()));
        // A recording is its user's alone, and so is what is made from it.
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).with_context(|| {
                format!("create {} (choose an empty folder with -o, if it exists)", path.display())
            })?;
        match export(recording, table, format, BufWriter::new(file)) {
            Ok(rows) => {
                eprintln!("hostprof: {table}: {} rows", count(rows));
                println!("{}", path.display());
            }
            Err(error) => {
                // Half a table looks like a whole one.
                let _ = fs::remove_file(&path);
                return Err(error.into());
            }
        }
    }
    Ok(())
}
