//! The data model: one file per table, shared by all that writes a recording and all that reads one.
//!
//! A table is declared once, by [`table!`]: its row struct, and from the fields' types, units and text
//! the Arrow schema, the columns under construction and the reading of rows. It knows nothing of files.

mod cell;
mod cgroup_sample;
mod cuda_call;
mod disk_sample;
mod engine_sample;
mod gpu_event;
mod gpu_ioctl;
mod gpu_pm;
mod gpu_process_sample;
mod gpu_sample;
mod histogram;
mod host_sample;
mod loss;
mod off_cpu;
mod off_cpu_count;
mod page_fault;
mod process_sample;
mod request;
mod shed;
mod step;
mod syscall;
mod thread;
mod token;
mod word;

use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};

pub use self::{
    cell::Cell,
    cgroup_sample::CgroupSampleRow,
    cuda_call::{CudaCallRow, CudaKind},
    disk_sample::DiskSampleRow,
    engine_sample::EngineSampleRow,
    gpu_event::GpuEventRow,
    gpu_ioctl::GpuIoctlRow,
    gpu_pm::GpuPmRow,
    gpu_process_sample::{GpuProcessSampleRow, GpuUse},
    gpu_sample::{GpuSampleRow, TargetBy},
    histogram::HistogramRow,
    host_sample::HostSampleRow,
    loss::LossRow,
    off_cpu::{FdKind, OffCpuRow, State, WakeSource},
    off_cpu_count::OffCpuCountRow,
    page_fault::PageFaultRow,
    process_sample::ProcessSampleRow,
    request::{Endpoint, JoinTier, RequestError, RequestRow, RequestSource},
    shed::{ShedRow, ShedStep},
    step::{StepKind, StepRow},
    syscall::SyscallRow,
    thread::ThreadRow,
    token::TokenRow,
    word::Word,
};

/// The version of the tables and of `config.json`. A change of either raises it and is told in
/// `CHANGELOG.md`.
pub const SCHEMA_VERSION: u32 = 3;

/// How a column is laid out in Parquet; chosen by measurement, see `docs/journal/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A dictionary, with what the format falls back to: few distinct values, or runs.
    Dictionary,
    /// `DELTA_BINARY_PACKED`: times and counters.
    Delta,
    /// `PLAIN`: values that repeat rarely.
    Plain,
}

/// A column, as documentation and schema show it.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name: units end it.
    pub name: &'static str,
    /// Unit, or `""` for a number that has none.
    pub unit: &'static str,
    /// Meaning, clock, meaning of null, source.
    pub text: &'static str,
    /// How it is laid out.
    pub encoding: Encoding,
    /// Its type in Arrow and Parquet.
    pub data_type: DataType,
    /// Its type in a batch in memory: a dictionary for a column of words.
    pub batch_type: DataType,
    /// The words it may hold, for a column of a closed list of them; else empty.
    pub words: Vec<&'static str>,
    /// Whether it may be null. Absent is null, never zero.
    pub nullable: bool,
}

/// A table of a recording, implemented by its row.
pub trait Table: Sized + Send + 'static {
    /// The folder's name, and the table's in SQL.
    const NAME: &'static str;
    /// What one row is.
    const TEXT: &'static str;
    /// Columns under construction.
    type Columns: Columns<Row = Self>;

    /// The columns, in order.
    fn columns() -> Vec<Column>;

    /// When the row begins and ends, `CLOCK_MONOTONIC` nanoseconds: parts carry the least and most of both.
    fn span_mono_ns(&self) -> (u64, u64);

    /// Reads all rows of a batch that has this table's columns (in any order, others ignored). One that may be null and is
    /// not there, since an earlier version had none, is null.
    ///
    /// # Errors
    ///
    /// A column is missing or of another type.
    fn rows(batch: &RecordBatch) -> Result<Vec<Self>, ArrowError>;

    /// The Arrow schema of the table's files, with unit and meaning in each field's metadata.
    fn schema() -> SchemaRef {
        let fields: Vec<Field> = Self::columns()
            .into_iter()
            .map(|column| {
                let mut metadata = HashMap::from([("description".to_owned(), column.text.to_owned())]);
                if !column.unit.is_empty() {
                    metadata.insert("unit".to_owned(), column.unit.to_owned());
                }
                Field::new(column.name, column.data_type, column.nullable).with_metadata(metadata)
            })
            .collect();
        Arc::new(Schema::new(fields))
    }

    /// The Arrow schema of its batches: words are dictionaries, and fields carry no text.
    fn batch_schema() -> SchemaRef {
        let fields: Vec<Field> = Self::columns()
            .into_iter()
            .map(|column| Field::new(column.name, column.batch_type, column.nullable))
            .collect();
        Arc::new(Schema::new(fields))
    }
}

/// Columns of a table under construction.
pub trait Columns: Default + Send {
    /// The row they are made of.
    type Row: Table<Columns = Self>;
    /// Appends rows, column by column: many at once cost a fraction of one by one.
    fn extend(&mut self, rows: &[Self::Row]);
    /// Appends a row.
    fn push(&mut self, row: &Self::Row) {
        self.extend(std::slice::from_ref(row));
    }
    /// Rows so far.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Hands the rows over and starts anew.
    ///
    /// # Errors
    ///
    /// None in a build whose table declarations are sound.
    fn finish(&mut self) -> Result<RecordBatch, ArrowError>;
}

/// Calls `$then!` with the row type of every table: the one list.
#[macro_export]
macro_rules! for_each_table {
    ($then:ident) => {
        $then!(
            ThreadRow,
            OffCpuRow,
            OffCpuCountRow,
            SyscallRow,
            GpuIoctlRow,
            GpuEventRow,
            CudaCallRow,
            StepRow,
            PageFaultRow,
            RequestRow,
            TokenRow,
            ProcessSampleRow,
            CgroupSampleRow,
            DiskSampleRow,
            HostSampleRow,
            GpuSampleRow,
            GpuProcessSampleRow,
            EngineSampleRow,
            GpuPmRow,
            HistogramRow,
            ShedRow,
            LossRow
        );
    };
}

/// Declares a table: see [`off_cpu`] for one.
macro_rules! table {
    (
        $(#[doc = $text:literal])+
        $row:ident in $name:literal as $columns:ident, span |$this:ident| $span:expr;
        $(
            $(#[doc = $field_text:literal])+
            $field:ident: $type:ty [$unit:literal $encoding:ident],
        )+
    ) => {
        $(#[doc = $text])+
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $row {
            $( $(#[doc = $field_text])+ pub $field: $type, )+
        }

        #[doc = concat!("Columns of `", $name, "` under construction.")]
        #[derive(Default)]
        pub struct $columns {
            rows: usize,
            $( $field: <$type as $crate::table::Cell>::Store, )+
        }

        impl $crate::table::Table for $row {
            const NAME: &'static str = $name;
            const TEXT: &'static str = concat!($($text),+);
            type Columns = $columns;

            fn columns() -> Vec<$crate::table::Column> {
                vec![$( $crate::table::Column {
                    name: stringify!($field),
                    unit: $unit,
                    text: concat!($($field_text),+).trim_ascii(),
                    encoding: $crate::table::Encoding::$encoding,
                    data_type: <$type as $crate::table::Cell>::data_type(),
                    batch_type: <$type as $crate::table::Cell>::batch_type(),
                    words: <$type as $crate::table::Cell>::words(),
                    nullable: <$type as $crate::table::Cell>::NULLABLE,
                } ),+]
            }

            #[inline]
            fn span_mono_ns(&self) -> (u64, u64) {
                let $this = self;
                $span
            }

            fn rows(batch: &arrow::array::RecordBatch) -> Result<Vec<Self>, arrow::error::ArrowError> {
                $( let $field = <$type as $crate::table::Cell>::view(batch, stringify!($field))?; )+
                Ok((0..batch.num_rows())
                    .map(|row| Self { $( $field: <$type as $crate::table::Cell>::get(&$field, row), )+ })
                    .collect())
            }
        }

        impl $crate::table::Columns for $columns {
            type Row = $row;

            fn extend(&mut self, rows: &[$row]) {
                self.rows += rows.len();
                $(
                    <$type as $crate::table::Cell>::extend(
                        &mut self.$field,
                        rows.iter().map(|row| &row.$field),
                    );
                )+
            }

            #[inline]
            fn len(&self) -> usize {
                self.rows
            }

            fn finish(&mut self) -> Result<arrow::array::RecordBatch, arrow::error::ArrowError> {
                static SCHEMA: std::sync::OnceLock<arrow::datatypes::SchemaRef> = std::sync::OnceLock::new();
                self.rows = 0;
                arrow::array::RecordBatch::try_new(
                    SCHEMA.get_or_init(<$row as $crate::table::Table>::batch_schema).clone(),
                    vec![$( <$type as $crate::table::Cell>::finish(&mut self.$field), )+],
                )
            }
        }
    };
}
use table;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_an_earlier_version_had_not_is_null_where_it_may_be() {
        let mut columns = <GpuPmRow as Table>::Columns::default();
        columns.push(&GpuPmRow { dur_ns: 7, gr_active: Some(0.5), ..GpuPmRow::default() });
        let batch = columns.finish().unwrap();
        let rows = GpuPmRow::rows(&batch.project(&[0, 1, 2]).unwrap()).unwrap();
        assert_eq!(rows, [GpuPmRow { dur_ns: 7, ..GpuPmRow::default() }]);
        assert!(GpuPmRow::rows(&batch.project(&[1, 2, 3]).unwrap()).is_err(), "a row has a time");
    }
}
