//! The rows of a table, in the order of their ends: as they lie in a part, and those of parts that overlap merged.

use std::{
    collections::VecDeque,
    fs::File,
    mem,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
    vec,
};

use arrow::datatypes::{DataType, Field, Schema};
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder,
        },
    },
    column::page::{Page, PageReader as _},
    errors::ParquetError,
    file::{metadata::ParquetMetaData, serialized_reader::SerializedPageReader},
};

use super::{
    RecordingError,
    open::{first_end, open_part, span},
};
use crate::table::Table;

/// Rows read at a time.
const BATCH_ROWS: usize = 1 << 16;

/// The rows of a table, a batch at a time. After an error there is no more.
pub struct Rows<T> {
    /// Parts that are not open yet, by the first end of their rows.
    waiting: VecDeque<(u64, PathBuf)>,
    open: Vec<OpenPart<T>>,
    window: Window,
    error: Option<RecordingError>,
}

/// Which rows are wanted: those that overlap a stretch of time, and end by then.
struct Window {
    stretch: RangeInclusive<u64>,
    by: u64,
}

impl<T: Table> Rows<T> {
    /// Of these parts, those of one writer in its order.
    pub(super) fn of(parts: Vec<PathBuf>, stretch: RangeInclusive<u64>, by: u64) -> Self {
        let window = Window { stretch, by };
        let (mut waiting, mut after) = (Vec::new(), 0);
        for path in parts {
            match open_part(&path) {
                Ok((_, metadata)) if !window.has_part(&metadata) => {}
                Ok((_, metadata)) => {
                    let last = span(metadata.metadata()).map_or(after, |(_, end)| end.saturating_add(1));
                    waiting.push((first_end(metadata.metadata()).unwrap_or(after), path));
                    after = last;
                }
                // It tells why when it is its turn, after the rows of the one before it.
                Err(_) => waiting.push((after, path)),
            }
        }
        waiting.sort_by_key(|(first, _)| *first);
        Self { waiting: waiting.into(), open: Vec::new(), window, error: None }
    }

    /// Opens every part that may hold the next row. Tells when the first row of another ends.
    fn open_parts(&mut self) -> Result<u64, RecordingError> {
        loop {
            let next = self.open.iter().map(|part| part.next_end).min().unwrap_or(u64::MAX);
            match self.waiting.front() {
                Some((first, _)) if *first > next => return Ok(*first),
                None => return Ok(u64::MAX),
                Some(_) => {
                    let Some((_, path)) = self.waiting.pop_front() else { continue };
                    self.open.extend(OpenPart::open(path, &self.window)?);
                }
            }
        }
    }

    fn next_batch(&mut self) -> Result<Vec<T>, RecordingError> {
        let others = self.open_parts()?;
        if let [only] = &mut self.open[..]
            && only.rows.as_slice().last().is_some_and(|row| row.span_mono_ns().1 < others)
        {
            let rows = mem::take(&mut only.rows).collect();
            self.refill(0);
            return Ok(rows);
        }
        let mut rows = Vec::new();
        while rows.len() < BATCH_ROWS && self.error.is_none() {
            let (mut first, mut turn) = (None, others);
            for (at, part) in self.open.iter().enumerate() {
                match first {
                    Some((_, least)) if part.next_end >= least => turn = turn.min(part.next_end),
                    _ => {
                        if let Some((_, least)) = first.replace((at, part.next_end)) {
                            turn = turn.min(least);
                        }
                    }
                }
            }
            let Some((at, _)) = first.filter(|(_, end)| *end < others) else { break };
            let part = &mut self.open[at];
            while part.next_end <= turn
                && let Some(row) = part.rows.next()
            {
                rows.push(row);
                let Some(next) = part.rows.as_slice().first() else { break };
                part.next_end = next.span_mono_ns().1;
            }
            self.refill(at);
        }
        Ok(rows)
    }

    /// Reads on in a part whose rows are used up, and closes it at its end.
    fn refill(&mut self, at: usize) {
        if !self.open[at].rows.as_slice().is_empty() {
            return;
        }
        match self.open[at].read(&self.window) {
            Ok(true) => {}
            Ok(false) => {
                self.open.swap_remove(at);
            }
            // Told after the rows before it.
            Err(error) => self.error = Some(error),
        }
    }
}

impl<T: Table> Iterator for Rows<T> {
    type Item = Result<Vec<T>, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.error.take() {
            Some(error) => Err(error),
            None => self.next_batch(),
        };
        if batch.is_err() {
            self.waiting.clear();
            self.open.clear();
        }
        Some(batch).filter(|batch| batch.as_ref().map_or(true, |rows| !rows.is_empty()))
    }
}

/// A part under way.
struct OpenPart<T> {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    rows: vec::IntoIter<T>,
    /// When the first of them ends.
    next_end: u64,
}

impl<T: Table> OpenPart<T> {
    /// Opens a part; `None` where it has no such row.
    fn open(path: PathBuf, window: &Window) -> Result<Option<Self>, RecordingError> {
        let reader = reader::<T>(&path)?;
        let mut part = Self { path, reader, rows: Vec::new().into_iter(), next_end: 0 };
        Ok(part.read(window)?.then_some(part))
    }

    /// Reads the next rows; false where there is none.
    fn read(&mut self, window: &Window) -> Result<bool, RecordingError> {
        for batch in self.reader.by_ref() {
            let batch = batch.map_err(|error| RecordingError::part(&self.path, error.into()))?;
            let mut rows =
                T::rows(&batch).map_err(|cause| RecordingError::Rows { path: self.path.clone(), cause })?;
            if !window.is_all() {
                rows.retain(|row| window.has(row.span_mono_ns()));
            }
            if let Some(first) = rows.first() {
                self.next_end = first.span_mono_ns().1;
                self.rows = rows.into_iter();
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Window {
    fn is_all(&self) -> bool {
        self.stretch == (0..=u64::MAX) && self.by == u64::MAX
    }

    fn has(&self, (start, end): (u64, u64)) -> bool {
        start <= *self.stretch.end() && end >= *self.stretch.start() && end <= self.by
    }

    /// Whether a part may have such a row.
    fn has_part(&self, metadata: &ArrowReaderMetadata) -> bool {
        let outside = span(metadata.metadata())
            .is_some_and(|(start, end)| start > *self.stretch.end() || end < *self.stretch.start());
        !outside && first_end(metadata.metadata()).is_none_or(|end| end <= self.by)
    }
}

/// Reads the columns of a table that this version knows.
fn reader<T: Table>(path: &Path) -> Result<ParquetRecordBatchReader, RecordingError> {
    let (file, metadata): (File, _) = open_part(path)?;
    // Words are read as they are stored, as dictionaries: a string for each row would take longer than all else.
    let columns = T::columns();
    let fields: Vec<Arc<Field>> = metadata
        .schema()
        .fields()
        .iter()
        .map(|field| match columns.iter().find(|column| column.name == field.name()) {
            Some(column) if *field.data_type() == DataType::Utf8 => {
                Arc::new(field.as_ref().clone().with_data_type(column.batch_type.clone()))
            }
            _ => field.clone(),
        })
        .collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    let failed = |cause| RecordingError::part(path, cause);
    let metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options).map_err(failed)?;
    let pages = Arc::new(file.try_clone().map_err(|error| RecordingError::io(path, error))?);
    let mut wanted = Vec::new();
    for column in columns {
        let is_word = column.batch_type != column.data_type;
        if !is_word || !is_null(&pages, metadata.metadata(), column.name).map_err(failed)? {
            wanted.push(column.name);
        }
    }
    let known = ProjectionMask::columns(metadata.parquet_schema(), wanted);
    ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
        .with_projection(known)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(failed)
}

/// Whether a column of words has none in a part: its dictionaries are empty. It is then not read, which is to say null:
/// parquet would build a dictionary for each batch, row by row, and take longer for it than for all other columns.
fn is_null(file: &Arc<File>, metadata: &ParquetMetaData, name: &str) -> Result<bool, ParquetError> {
    for group in metadata.row_groups() {
        let Some(chunk) = group.columns().iter().find(|chunk| chunk.column_path().string() == name) else {
            return Ok(true);
        };
        if chunk.dictionary_page_offset().is_none() {
            return Ok(false);
        }
        let mut pages = SerializedPageReader::new(Arc::clone(file), chunk, group.num_rows() as usize, None)?;
        if !matches!(pages.get_next_page()?, Some(Page::DictionaryPage { num_values: 0, .. })) {
            return Ok(false);
        }
    }
    Ok(true)
}
