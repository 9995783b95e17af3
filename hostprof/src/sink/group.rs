//! A row group under construction: a chunk for each column.

use std::{fs::File, sync::Arc};

use ::parquet::{
    arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves},
    errors::ParquetError,
    file::writer::SerializedFileWriter,
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use zstd::bulk::Compressor;

use super::chunk::Chunk;
use crate::table::Column;

/// A column chunk: ours where it can be, for text, fractions and differences parquet's.
enum Writer {
    Own(Box<Chunk>),
    Parquet(Box<ArrowColumnWriter>),
}

/// A row group of a file.
pub(super) struct Group {
    schema: SchemaRef,
    columns: Vec<Writer>,
    rows: usize,
}

impl Group {
    /// An empty group, the next of that file.
    pub fn new(
        file: &SerializedFileWriter<File>,
        schema: &SchemaRef,
        columns: &[Column],
    ) -> Result<Self, ParquetError> {
        let theirs = ArrowRowGroupWriterFactory::new(file, Arc::clone(schema))
            .create_column_writers(file.flushed_row_groups().len())?;
        let descriptors = file.schema_descr().columns();
        let columns = columns
            .iter()
            .zip(descriptors)
            .zip(theirs)
            .map(|((column, descriptor), theirs)| match Chunk::new(column, Arc::clone(descriptor)) {
                Some(chunk) => Writer::Own(Box::new(chunk)),
                None => Writer::Parquet(Box::new(theirs)),
            })
            .collect();
        Ok(Self { schema: Arc::clone(schema), columns, rows: 0 })
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes so far, roughly.
    pub fn bytes(&self) -> usize {
        let bytes = |column: &Writer| match column {
            Writer::Own(chunk) => chunk.bytes(),
            Writer::Parquet(column) => column.get_estimated_total_bytes(),
        };
        self.columns.iter().map(bytes).sum()
    }

    /// Appends a batch.
    pub fn write(&mut self, batch: &RecordBatch, zstd: &mut Compressor<'_>) -> Result<(), ParquetError> {
        for ((column, field), array) in self.columns.iter_mut().zip(self.schema.fields()).zip(batch.columns())
        {
            match column {
                Writer::Own(chunk) => chunk.write(array, zstd)?,
                Writer::Parquet(column) => {
                    for leaf in compute_leaves(field, array)? {
                        column.write(&leaf)?;
                    }
                }
            }
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Writes the group into its file.
    pub fn close(
        self,
        file: &mut SerializedFileWriter<File>,
        zstd: &mut Compressor<'_>,
    ) -> Result<(), ParquetError> {
        let mut group = file.next_row_group()?;
        for column in self.columns {
            match column {
                Writer::Own(chunk) => {
                    let (bytes, close) = chunk.close(zstd)?;
                    group.append_column(&bytes, close)?;
                }
                Writer::Parquet(column) => column.close()?.append_to_row_group(&mut group)?,
            }
        }
        group.close()?;
        Ok(())
    }
}
