//! Rows to stdout, as they come.

use std::io::{self, BufWriter, Write};

use anyhow::{Context as _, Result};
use datafusion::{
    arrow::{
        array::RecordBatch,
        csv,
        error::ArrowError,
        json::{self, writer::LineDelimited},
        util::pretty::pretty_format_batches,
    },
    execution::SendableRecordBatchStream,
};
use futures::StreamExt as _;

use crate::session::one_line;

/// A table's columns are as wide as their widest row, so all rows shown are held.
const TABLE_ROWS: usize = 10_000;

/// What rows are printed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns set for reading, the first 10 000 rows
    #[default]
    Table,
    /// A line of column names, then a line a row; null is empty
    Csv,
    /// A JSON object a line, one a row
    Json,
}

/// Prints all rows of an answer. A reader that has read enough ends it.
pub async fn rows(stream: SendableRecordBatchStream, format: Format) -> Result<()> {
    let mut out = Pipe { inner: BufWriter::new(io::stdout().lock()), closed: false };
    let result = write(stream, format, &mut out).await;
    if out.closed { Ok(()) } else { result }
}

async fn write(mut stream: SendableRecordBatchStream, format: Format, out: &mut impl Write) -> Result<()> {
    let mut writer = Writer::new(format, &mut *out);
    // For the names of the columns, should no row come.
    writer.write(&RecordBatch::new_empty(stream.schema())).context("print rows")?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(one_line).context("run query")?;
        if !writer.write(&batch).context("print rows")? {
            eprintln!("hostprof: the first {TABLE_ROWS} rows (--format csv or json prints all)");
            break;
        }
    }
    writer.finish()?;
    out.flush().context("print rows")
}

enum Writer<W: Write> {
    Table { rows: Vec<RecordBatch>, out: W },
    Csv(Box<csv::Writer<W>>),
    Json(json::Writer<W, LineDelimited>),
}

impl<W: Write> Writer<W> {
    fn new(format: Format, out: W) -> Self {
        match format {
            Format::Table => Self::Table { rows: Vec::new(), out },
            Format::Csv => Self::Csv(Box::new(csv::Writer::new(out))),
            Format::Json => Self::Json(json::WriterBuilder::new().with_explicit_nulls(true).build(out)),
        }
    }

    /// Whether all of it had room.
    fn write(&mut self, batch: &RecordBatch) -> Result<bool, ArrowError> {
        match self {
            Self::Table { rows, .. } => {
                let room = TABLE_ROWS - rows.iter().map(RecordBatch::num_rows).sum::<usize>();
                rows.push(batch.slice(0, batch.num_rows().min(room)));
                return Ok(batch.num_rows() <= room);
            }
            Self::Csv(writer) => writer.write(batch)?,
            Self::Json(writer) => writer.write(batch)?,
        }
        Ok(true)
    }

    fn finish(self) -> Result<()> {
        if let Self::Table { rows, mut out } = self {
            writeln!(out, "{}", pretty_format_batches(&rows).context("set table")?).context("print rows")?;
        }
        Ok(())
    }
}

/// Remembers that its reader is gone: the writers of formats tell failures as text.
struct Pipe<W> {
    inner: W,
    closed: bool,
}

impl<W> Pipe<W> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.closed |= result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        result
    }
}

impl<W: Write> Write for Pipe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.inner.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        self.note(result)
    }
}
