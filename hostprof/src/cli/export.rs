//! `hostprof export`: a recording's tables for what does not read Parquet.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    export::{ExportError, Format, export, perfetto},
    humane::count,
    recording::Recording,
};

/// Of what, as what, to where.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hostprof export runs/run_001 --to csv --table off_cpu | head
  hostprof export runs/run_001 --to json -o /tmp/run_001      every table, a file each
  hostprof export runs/run_001 --to perfetto > trace.json     for ui.perfetto.dev: threads, requests, GPUs

Parquet is smaller and keeps types: DuckDB, polars, pandas and Spark read runs/run_001/off_cpu/*.parquet.")]
pub struct Args {
    /// Run folder
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// What to write
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: To,

    /// Only this table, or these
    #[arg(long, value_delimiter = ',', value_name = "TABLE")]
    table: Vec<String>,

    /// Folder for a file a table, made where it is missing; without it, one table goes to stdout
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum To {
    /// A line of column names, then a line a row; absent is empty
    Csv,
    /// A JSON object a line, one a row; absent is null
    Json,
    /// A trace of threads' states, requests and GPU counters, in the JSON trace-event format
    Perfetto,
}

/// Writes the tables.
///
/// # Errors
///
/// A table is not there, cannot be read or not be written.
pub fn run(args: &Args) -> Result<ExitCode> {
    let recording = Recording::open(&args.run)?;
    let format = match args.to {
        To::Csv => Format::Csv,
        To::Json => Format::Json,
        To::Perfetto => return trace(&recording, args),
    };
    let tables = if args.table.is_empty() { recording.tables()? } else { args.table.clone() };
    match (&args.out, tables.as_slice()) {
        (_, []) => bail!("export {}: no table has a part yet", args.run.display()),
        (Some(folder), tables) => to_folder(&recording, tables, format, folder)?,
        (None, [table]) => to_stdout(&recording, table, format)?,
        (None, tables) => bail!(
            "export to stdout: it takes one table (choose by --table from {}, or a folder with -o)",
            tables.join(", ")
        ),
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a trace, to stdout or into the folder.
fn trace(recording: &Recording, args: &Args) -> Result<ExitCode> {
    if !args.table.is_empty() {
        bail!("export --to perfetto: it takes no --table (a trace has threads, requests and GPUs)");
    }
    match &args.out {
        None => match perfetto(recording, BufWriter::new(io::stdout().lock())) {
            Err(ExportError::Write { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {}
            result => drop(result?),
        },
        Some(folder) => {
            fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
            let path = folder.join("perfetto.json");
            let result = perfetto(recording, BufWriter::new(create(&path)?));
            let events = result.inspect_err(|_| drop(fs::remove_file(&path)))?;
            eprintln!("hostprof: {} events", count(events));
            println!("{}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A recording is its user's alone, and so is what is made from it.
fn create(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("create {} (choose an empty folder with -o, if it exists)", path.display()))
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
        let file = create(&path)?;
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
