//! One part of a table: written under a temporary name, then synced and renamed.

use std::{
    fs::File,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
};

use ::parquet::{
    arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata},
    basic::{Compression, Encoding as ParquetEncoding, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr},
        writer::SerializedFileWriter,
    },
    schema::types::ColumnPath,
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use zstd::bulk::Compressor;

use super::{Progress, SinkError, group::Group};
use crate::{
    recording::{TableFolder, part_key, part_name, temporary_part_name},
    table::{Column, Encoding, SCHEMA_VERSION, Table},
};

/// Rows of a row group, and up to a batch more.
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

/// How every page is compressed.
pub(super) fn compression() -> Result<Compression, ParquetError> {
    Ok(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
}

/// What the parts of a table are written with.
pub(super) struct Layout {
    columns: Vec<Column>,
    schema: SchemaRef,
    properties: WriterPropertiesPtr,
    zstd: Compressor<'static>,
}

impl Layout {
    /// A table's.
    pub fn of<T: Table>() -> Result<Self, ParquetError> {
        let (columns, schema) = (T::columns(), T::schema());
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("hostprof version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(compression()?)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true);
        // The columns that are parquet's to write; the others have no use for these.
        for column in &columns {
            let path = ColumnPath::from(column.name);
            properties = match column.encoding {
                Encoding::Dictionary => properties.set_column_dictionary_enabled(path, true),
                Encoding::Plain => properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, ParquetEncoding::PLAIN),
                Encoding::Delta => properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, ParquetEncoding::DELTA_BINARY_PACKED),
            };
        }
        let mut properties = properties.build();
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let zstd = Compressor::new(ZSTD_LEVEL).map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(Self { columns, schema, properties: Arc::new(properties), zstd })
    }
}

/// A part under way. Dropped, it leaves nothing.
pub(super) struct OpenPart {
    folder: Arc<TableFolder>,
    number: u32,
    /// `None` once handed to [`OpenPart::close`].
    file: Option<SerializedFileWriter<File>>,
    group: Option<Group>,
    span: Span,
    rows: u64,
    /// It has lost its temporary name, which may be another writer's by now.
    published: bool,
}

impl OpenPart {
    /// Begins a part of that number, or the next that is free.
    pub fn create(folder: &Arc<TableFolder>, number: u32, layout: &Layout) -> Result<Self, SinkError> {
        let (number, file) = folder.begin_part(number)?;
        let mut part = Self {
            folder: folder.clone(),
            number,
            file: None,
            group: None,
            span: Span::default(),
            rows: 0,
            published: false,
        };
        let file = ArrowSchemaConverter::new()
            .convert(&layout.schema)
            .and_then(|schema| {
                SerializedFileWriter::new(file, schema.root_schema_ptr(), Arc::clone(&layout.properties))
            })
            .map_err(|error| SinkError::encode(&part.path(), error))?;
        part.file = Some(file);
        Ok(part)
    }

    /// Its number among the parts under way; another writer may make its name's a greater one.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Encodes a batch.
    pub fn write(&mut self, batch: &RecordBatch, span: Span, layout: &mut Layout) -> Result<(), SinkError> {
        let path = self.path();
        let file = self.file.as_ref().ok_or_else(|| SinkError::Stopped(path.clone()))?;
        let failed = |error| SinkError::encode(&path, error);
        let mut group = match self.group.take() {
            Some(group) => group,
            None => Group::new(file, &layout.schema, &layout.columns).map_err(failed)?,
        };
        group.write(batch, &mut layout.zstd).map_err(failed)?;
        let full = group.rows() >= GROUP_ROWS;
        self.group = Some(group);
        self.rows += batch.num_rows() as u64;
        self.span.merge(span);
        if full { self.close_group(layout) } else { Ok(()) }
    }

    fn close_group(&mut self, layout: &mut Layout) -> Result<(), SinkError> {
        let path = self.path();
        let file = self.file.as_mut().ok_or_else(|| SinkError::Stopped(path.clone()))?;
        match self.group.take() {
            Some(group) => {
                group.close(file, &mut layout.zstd).map_err(|error| SinkError::encode(&path, error))
            }
            None => Ok(()),
        }
    }

    /// Bytes so far, those that wait in memory included.
    pub fn bytes(&self) -> u64 {
        let written = self.file.as_ref().map_or(0, SerializedFileWriter::bytes_written);
        (written + self.group.as_ref().map_or(0, Group::bytes)) as u64
    }

    /// Writes what is left, and has the part synced and renamed by a thread of its own: a sync takes as
    /// long as the disk likes, and the next part can be encoded meanwhile.
    pub fn close(
        mut self,
        layout: &mut Layout,
        progress: Arc<Progress>,
    ) -> Result<JoinHandle<Result<(), SinkError>>, SinkError> {
        let path = self.path();
        self.close_group(layout)?;
        let mut file = self.file.take().ok_or_else(|| SinkError::Stopped(path.clone()))?;
        for key_value in self.span.key_values() {
            file.append_key_value_metadata(key_value);
        }
        let file = file.into_inner().map_err(|error| SinkError::encode(&path, error))?;
        thread::Builder::new()
            .name("sink-sync".to_owned())
            .spawn(move || self.publish(&file, &progress))
            .map_err(|error| SinkError::write(&path, error))
    }

    /// Makes a part whose content is written one of the recording.
    fn publish(mut self, file: &File, progress: &Progress) -> Result<(), SinkError> {
        let failed = |error| SinkError::write(&self.path(), error);
        file.sync_all().map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        self.folder.publish_part(self.number)?;
        self.published = true;
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
        if !self.published {
            self.folder.remove_file(&temporary_part_name(self.number));
        }
    }
}
