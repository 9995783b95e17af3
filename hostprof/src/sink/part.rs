//! One part of a table: written under a temporary name, then synced and renamed.

use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
};

use ::parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding as ParquetEncoding, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr},
    },
    schema::types::ColumnPath,
};
use arrow::{array::RecordBatch, datatypes::DataType};

use super::{Progress, SinkError};
use crate::{
    recording::{TableFolder, part_key, part_name, temporary_part_name},
    table::{Encoding, SCHEMA_VERSION, Table},
};

/// Rows of a row group at most.
const GROUP_ROWS: usize = 1 << 20;

/// Level 1 of zstd: on this data higher levels gain little and cost much, see
/// `docs/journal/2026-11-encodings.md`.
const ZSTD_LEVEL: i32 = 1;

/// The least and the most of the starts and the ends of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    min_start: u64,
    max_start: u64,
    min_end: u64,
    max_end: u64,
}

impl Default for Span {
    fn default() -> Self {
        Self { min_start: u64::MAX, max_start: 0, min_end: u64::MAX, max_end: 0 }
    }
}

impl Span {
    /// Includes a row.
    pub fn include(&mut self, (start, end): (u64, u64)) {
        self.min_start = self.min_start.min(start);
        self.max_start = self.max_start.max(start);
        self.min_end = self.min_end.min(end);
        self.max_end = self.max_end.max(end);
    }

    /// Includes what another includes.
    pub fn merge(&mut self, other: Self) {
        self.min_start = self.min_start.min(other.min_start);
        self.max_start = self.max_start.max(other.max_start);
        self.min_end = self.min_end.min(other.min_end);
        self.max_end = self.max_end.max(other.max_end);
    }

    fn key_values(self) -> Vec<KeyValue> {
        let value = |key: &str, value: u64| KeyValue::new(key.to_owned(), value.to_string());
        let mut values = vec![value(part_key::SCHEMA_VERSION, SCHEMA_VERSION.into())];
        if self.min_start <= self.max_start {
            values.push(value(part_key::MIN_START, self.min_start));
            values.push(value(part_key::MAX_START, self.max_start));
            values.push(value(part_key::MIN_END, self.min_end));
            values.push(value(part_key::MAX_END, self.max_end));
        }
        values
    }
}

/// How a table's parts are encoded.
pub(super) fn properties<T: Table>() -> Result<WriterPropertiesPtr, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("hostprof version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(Some(GROUP_ROWS));
    for column in T::columns() {
        let path = ColumnPath::from(column.name);
        // The first and last of a few words tell a reader nothing, and to find them is half the cost of
        // the column.
        if !column.words.is_empty() {
            properties = properties.set_column_statistics_enabled(path.clone(), EnabledStatistics::None);
        }
        // One bit each: a dictionary of them would be no smaller, and dearer to make.
        let encoding = if column.data_type == DataType::Boolean { Encoding::Plain } else { column.encoding };
        properties = match encoding {
            Encoding::Dictionary => properties.set_column_dictionary_enabled(path, true),
            Encoding::Plain => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, ParquetEncoding::PLAIN),
            Encoding::Delta => properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, ParquetEncoding::DELTA_BINARY_PACKED),
        };
    }
    Ok(Arc::new(properties.build()))
}

/// A part under way. Dropped, it leaves nothing.
pub(super) struct OpenPart {
    folder: Arc<TableFolder>,
    number: u32,
    /// `None` once handed to [`OpenPart::close`].
    writer: Option<ArrowWriter<File>>,
    span: Span,
    rows: u64,
}

impl OpenPart {
    /// Begins a part of that number, or the next that is free.
    pub fn create<T: Table>(
        folder: &Arc<TableFolder>,
        number: u32,
        properties: &WriterPropertiesPtr,
    ) -> Result<Self, SinkError> {
        let (number, file) = folder.begin_part(number)?;
        let mut part = Self { folder: folder.clone(), number, writer: None, span: Span::default(), rows: 0 };
        let writer = ArrowWriter::try_new(file, T::schema(), Some((**properties).clone()))
            .map_err(|error| SinkError::encode(&part.path(), error))?;
        part.writer = Some(writer);
        Ok(part)
    }

    /// Its number among the parts under way; another writer may make its name's a greater one.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Encodes a batch.
    pub fn write(&mut self, batch: &RecordBatch, span: Span) -> Result<(), SinkError> {
        let path = self.path();
        let writer = self.writer.as_mut().ok_or_else(|| SinkError::Stopped(path.clone()))?;
        writer.write(batch).map_err(|error| SinkError::encode(&path, error))?;
        self.rows += batch.num_rows() as u64;
        self.span.merge(span);
        Ok(())
    }

    /// Bytes so far, those that wait in memory included.
    pub fn bytes(&self) -> u64 {
        self.writer.as_ref().map_or(0, |writer| (writer.bytes_written() + writer.in_progress_size()) as u64)
    }

    /// Writes what is left, and has the part synced and renamed by a thread of its own: a sync takes as
    /// long as the disk likes, and the next part can be encoded meanwhile.
    pub fn close(mut self, progress: Arc<Progress>) -> Result<JoinHandle<Result<(), SinkError>>, SinkError> {
        let path = self.path();
        let mut writer = self.writer.take().ok_or_else(|| SinkError::Stopped(path.clone()))?;
        for key_value in self.span.key_values() {
            writer.append_key_value_metadata(key_value);
        }
        let file = writer.into_inner().map_err(|error| SinkError::encode(&path, error))?;
        thread::Builder::new()
            .name("sink-sync".to_owned())
            .spawn(move || self.publish(&file, &progress))
            .map_err(|error| SinkError::write(&path, error))
    }

    /// Makes a part whose content is written one of the recording.
    fn publish(self, file: &File, progress: &Progress) -> Result<(), SinkError> {
        let failed = |error| SinkError::write(&self.path(), error);
        file.sync_all().map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        self.folder.publish_part(self.number)?;
        progress.closed_bytes.fetch_add(bytes, Ordering::Relaxed);
        progress.closed_rows.fetch_add(self.rows, Ordering::Relaxed);
        progress.parts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(part_name(self.number))
    }
}

impl Drop for OpenPart {
    fn drop(&mut self) {
        // A part that was published has lost this name.
        self.folder.remove_file(&temporary_part_name(self.number));
    }
}
