//! A recording's tables as CSV or JSON, for what does not read Parquet.
//!
//! Read a batch at a time and written at once: memory does not grow with the recording. Columns, names and
//! units are the table's own; absent is an empty field in CSV, null in JSON.

mod perfetto;

use std::io::{self, Write};

use arrow::{
    array::RecordBatch,
    csv,
    error::ArrowError,
    json::{self, writer::LineDelimited},
};

pub use self::perfetto::perfetto;
use crate::recording::{Recording, RecordingError};

/// What a table is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of column names, then a line a row; absent is empty.
    Csv,
    /// A JSON object a line, one a row; absent is null.
    Json,
}

impl Format {
    /// What the names of its files end in.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "jsonl",
        }
    }
}

/// Why a table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The recording has no such table.
    #[error("export table {table}: not in this recording (it has {})", has.join(", "))]
    NoTable {
        /// What was asked for.
        table: String,
        /// What there is.
        has: Vec<String>,
    },
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] RecordingError),
    /// What it is written to took no more.
    #[error("write table {table}: {source}")]
    Write {
        /// The table.
        table: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Rows that the format cannot hold.
    #[error("write table {table}: {cause}")]
    Rows {
        /// The table.
        table: String,
        /// Which type.
        cause: ArrowError,
    },
}

/// Writes a table, and yields its number of rows.
///
/// # Errors
///
/// See [`ExportError`]; what was written until then stays written.
pub fn export(
    recording: &Recording,
    table: &str,
    format: Format,
    out: impl Write,
) -> Result<u64, ExportError> {
    let has = recording.tables()?;
    if !has.iter().any(|name| name == table) {
        return Err(ExportError::NoTable { table: table.to_owned(), has });
    }
    let mut out = Out { inner: out, failed: None };
    let written = rows(recording, table, format, &mut out);
    match out.failed {
        Some(source) => Err(ExportError::Write { table: table.to_owned(), source }),
        None => written,
    }
}

fn rows(
    recording: &Recording,
    table: &str,
    format: Format,
    out: &mut Out<impl Write>,
) -> Result<u64, ExportError> {
    let mut writer = Writer::new(format, &mut *out);
    let mut rows = 0;
    for batch in recording.batches(table)? {
        let batch = batch?;
        writer.write(&batch).map_err(|cause| ExportError::Rows { table: table.to_owned(), cause })?;
        rows += batch.num_rows() as u64;
    }
    drop(writer);
    // A failure is kept in `out`, for `export` to tell.
    let _ = out.flush();
    Ok(rows)
}

enum Writer<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Json(json::Writer<W, LineDelimited>),
}

impl<W: Write> Writer<W> {
    fn new(format: Format, out: W) -> Self {
        match format {
            Format::Csv => Self::Csv(Box::new(csv::Writer::new(out))),
            Format::Json => Self::Json(json::WriterBuilder::new().with_explicit_nulls(true).build(out)),
        }
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        match self {
            Self::Csv(writer) => writer.write(batch),
            Self::Json(writer) => writer.write(batch),
        }
    }
}

/// Keeps the failure of what is written to: the writers of formats tell it as text, and whether a pipe's
/// reader has merely read enough is to be told apart.
struct Out<W> {
    inner: W,
    failed: Option<io::Error>,
}

impl<W> Out<W> {
    fn keep<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            // Whoever writes tries again.
            if kind != io::ErrorKind::Interrupted {
                self.failed.get_or_insert(error);
            }
            kind.into()
        })
    }
}

impl<W: Write> Write for Out<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(bytes);
        self.keep(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.keep(result)
    }
}
