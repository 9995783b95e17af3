//! The tables of a recording as they lie in its files, for what passes rows on without knowing them.

use std::{
    fs::File,
    path::{Path, PathBuf},
    vec,
};

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::{Recording, RecordingError, open::entries};

/// Rows read at a time.
const BATCH_ROWS: usize = 8192;

impl Recording {
    /// The names of the tables that have rows on disk, or had some to come: those with a closed part.
    pub fn tables(&self) -> Result<Vec<String>, RecordingError> {
        let mut tables = Vec::new();
        for folder in entries(self.path())?.into_iter().filter(|path| path.is_dir()) {
            if let Some(name) = folder.file_name().and_then(|name| name.to_str())
                && !self.part_paths(name)?.is_empty()
            {
                tables.push(name.to_owned());
            }
        }
        tables.sort();
        Ok(tables)
    }

    /// All rows of a table, a batch at a time, every column as it is stored. A table without a row yields
    /// batches of none, which have its columns.
    pub fn batches(&self, table: &str) -> Result<Batches, RecordingError> {
        Ok(Batches { parts: self.part_paths(table)?.into_iter(), open: None })
    }
}

/// The rows of a table, a batch at a time. After an error there is no more.
pub struct Batches {
    parts: vec::IntoIter<PathBuf>,
    open: Option<Open>,
}

/// A part being read.
struct Open {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    /// What to yield of a part without rows.
    empty: Option<RecordBatch>,
}

impl Open {
    fn part(path: PathBuf) -> Result<Self, RecordingError> {
        let file = File::open(&path).map_err(|error| RecordingError::io(&path, error))?;
        let failed = |cause| RecordingError::part(&path, cause);
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
        let empty = (builder.metadata().file_metadata().num_rows() == 0)
            .then(|| RecordBatch::new_empty(builder.schema().clone()));
        let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(failed)?;
        Ok(Self { path, reader, empty })
    }

    fn next(&mut self) -> Option<Result<RecordBatch, RecordingError>> {
        if let Some(batch) = self.empty.take() {
            return Some(Ok(batch));
        }
        let failed = |path: &Path, cause: arrow::error::ArrowError| RecordingError::part(path, cause.into());
        self.reader.next().map(|batch| batch.map_err(|cause| failed(&self.path, cause)))
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let batch = match &mut self.open {
                Some(open) => open.next(),
                None => match Open::part(self.parts.next()?) {
                    Ok(open) => {
                        self.open = Some(open);
                        continue;
                    }
                    Err(error) => Some(Err(error)),
                },
            };
            match batch {
                None => self.open = None,
                Some(Ok(batch)) => return Some(Ok(batch)),
                Some(Err(error)) => {
                    self.open = None;
                    self.parts = Vec::new().into_iter();
                    return Some(Err(error));
                }
            }
        }
    }
}
