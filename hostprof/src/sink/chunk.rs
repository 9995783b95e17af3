//! A column chunk of numbers, words or bits under construction: what nearly all columns of the large tables
//! are.
//!
//! Parquet's own writer hashes every value of a column with a dictionary and compares every one with the least
//! and the greatest so far, which led the profile of a recording (`docs/journal/2026-11-collector.md`).
//! Here a value that was met lately is found without a hash, and the least and the greatest are those of the
//! dictionary. The pages are those of the format's first version, as the other writer's.

use std::mem;

use ::parquet::{
    basic::Encoding,
    column::writer::ColumnCloseResult,
    errors::ParquetError,
    file::statistics::{Statistics, ValueStatistics},
    schema::types::ColumnDescPtr,
};
use arrow::{
    array::{Array, ArrowPrimitiveType, AsArray as _, BooleanBufferBuilder, PrimitiveArray},
    datatypes::{DataType, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type},
};
use bytes::Bytes;
use zstd::bulk::Compressor;

use super::{dictionary::Dictionary, hybrid, pages::Pages};
use crate::table::{self, Column};

/// Rows of a page, and up to a batch more.
const PAGE_ROWS: usize = 1 << 15;

/// A dictionary of so many entries takes no more: values that follow are written as they are.
const DICTIONARY_ENTRIES: usize = 1 << 17;

/// Nor does one that has an entry for fewer rows than this, after so many rows: its values hardly recur.
const ROWS_AN_ENTRY: usize = 2;
const ROWS_TO_TELL: u64 = 1 << 12;

/// How the values of a column are written.
#[derive(Clone, Copy)]
enum Kind {
    /// Numbers of 32 bits.
    Int32 { signed: bool },
    /// Numbers of 64 bits.
    Int64 { signed: bool },
    /// The words of the column.
    Word,
    /// Bits.
    Bit,
}

impl Kind {
    fn of(column: &Column) -> Option<Self> {
        Some(match column.data_type {
            DataType::UInt16 | DataType::UInt32 => Self::Int32 { signed: false },
            DataType::Int32 => Self::Int32 { signed: true },
            DataType::UInt64 => Self::Int64 { signed: false },
            DataType::Int64 => Self::Int64 { signed: true },
            DataType::Boolean => Self::Bit,
            DataType::Utf8 if !column.words.is_empty() => Self::Word,
            _ => return None,
        })
    }
}

/// Values of a page under way, nulls left out. A value is a number of 64 bits, whatever it stands for.
#[derive(Default)]
struct Values {
    /// Of bits.
    bits: Option<BooleanBufferBuilder>,
    /// Where the dictionary takes values.
    keys: Vec<u32>,
    /// Where it does not, or there is none.
    plain: Vec<u64>,
}

/// A column chunk under construction.
pub(super) struct Chunk {
    column: ColumnDescPtr,
    kind: Kind,
    words: Vec<&'static str>,
    nullable: bool,
    dictionary: Option<Dictionary>,
    /// Whether the dictionary takes more values.
    open: bool,
    values: Values,
    /// Which rows of the page under way have a value; `None` while all have one.
    levels: Option<BooleanBufferBuilder>,
    /// Rows of the page under way.
    page_rows: usize,
    rows: u64,
    nulls: u64,
    /// The least and the greatest of the values that are in no dictionary, by [`Chunk::rank`].
    range: Option<(u64, u64)>,
    pages: Pages,
    /// A page's content before it is compressed.
    body: Vec<u8>,
}

impl Chunk {
    /// A chunk of a column; `None` for a column of another type, or of another encoding.
    pub fn new(column: &Column, descriptor: ColumnDescPtr) -> Option<Self> {
        let kind = Kind::of(column)?;
        let dictionary = match (kind, column.encoding) {
            (_, table::Encoding::Delta) => return None,
            (Kind::Bit, _) | (_, table::Encoding::Plain) => None,
            (_, table::Encoding::Dictionary) => Some(Dictionary::new()),
        };
        Some(Self {
            column: descriptor,
            kind,
            words: column.words.clone(),
            nullable: column.nullable,
            open: dictionary.is_some(),
            dictionary,
            values: Values::default(),
            levels: None,
            page_rows: 0,
            rows: 0,
            nulls: 0,
            range: None,
            pages: Pages::new(),
            body: Vec::new(),
        })
    }

    /// Bytes so far, those of the page under way before compression.
    pub fn bytes(&self) -> usize {
        let keys = self.values.keys.len() * hybrid::width_of(self.entries()) as usize / 8;
        self.pages.bytes() + keys + self.values.plain.len() * size_of::<u64>()
    }

    /// Appends the column's values of a batch.
    pub fn write(&mut self, array: &dyn Array, zstd: &mut Compressor<'_>) -> Result<(), ParquetError> {
        match array.data_type() {
            DataType::UInt16 => self.numbers(array.as_primitive::<UInt16Type>(), u64::from),
            DataType::UInt32 => self.numbers(array.as_primitive::<UInt32Type>(), u64::from),
            DataType::UInt64 => self.numbers(array.as_primitive::<UInt64Type>(), |value| value),
            DataType::Int32 => {
                self.numbers(array.as_primitive::<Int32Type>(), |value| i64::from(value) as u64);
            }
            DataType::Int64 => self.numbers(array.as_primitive::<Int64Type>(), |value| value as u64),
            DataType::Dictionary(..) => {
                self.numbers(array.as_dictionary::<UInt8Type>().keys(), u64::from);
            }
            DataType::Boolean => {
                let bits = self.values.bits.get_or_insert_with(|| BooleanBufferBuilder::new(PAGE_ROWS));
                bits.append_buffer(array.as_boolean().values());
            }
            other => return Err(ParquetError::NYI(format!("a column of {other}"))),
        }
        self.page_rows += array.len();
        self.rows += array.len() as u64;
        let entries = self.entries();
        let hardly_recur = self.rows >= ROWS_TO_TELL && (entries * ROWS_AN_ENTRY) as u64 > self.rows;
        if entries >= DICTIONARY_ENTRIES || hardly_recur {
            self.close_dictionary(zstd)?;
        }
        if self.page_rows >= PAGE_ROWS { self.page(zstd) } else { Ok(()) }
    }

    /// From here on values are written as they are; so are those of a first page under way, which leaves
    /// no dictionary.
    fn close_dictionary(&mut self, zstd: &mut Compressor<'_>) -> Result<(), ParquetError> {
        if self.pages.bytes() > 0 {
            self.page(zstd)?;
        } else if let Some(dictionary) = self.dictionary.take() {
            let values = dictionary.values();
            self.values.plain = self.values.keys.drain(..).map(|key| values[key as usize]).collect();
        }
        self.open = false;
        Ok(())
    }

    /// Entries of the dictionary, if it takes more.
    fn entries(&self) -> usize {
        self.dictionary.as_ref().filter(|_| self.open).map_or(0, |dictionary| dictionary.values().len())
    }

    fn numbers<T: ArrowPrimitiveType>(
        &mut self,
        array: &PrimitiveArray<T>,
        number: impl Fn(T::Native) -> u64,
    ) {
        let values = array.values();
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                self.append(values.iter().map(|value| number(*value)));
                if let Some(levels) = &mut self.levels {
                    levels.append_n(array.len(), true);
                }
            }
            Some(nulls) => {
                self.nulls += nulls.null_count() as u64;
                let before = self.page_rows;
                let levels = self.levels.get_or_insert_with(|| {
                    let mut levels = BooleanBufferBuilder::new(PAGE_ROWS);
                    levels.append_n(before, true);
                    levels
                });
                levels.append_buffer(nulls.inner());
                self.append(nulls.valid_indices().map(|row| number(values[row])));
            }
        }
    }

    fn append(&mut self, values: impl Iterator<Item = u64>) {
        match &mut self.dictionary {
            Some(dictionary) if self.open => {
                self.values.keys.extend(values.map(|value| dictionary.key(value)));
            }
            _ => self.values.plain.extend(values),
        }
    }

    /// Ends the page under way.
    fn page(&mut self, zstd: &mut Compressor<'_>) -> Result<(), ParquetError> {
        if let Some(dictionary) = self.dictionary.as_mut().filter(|_| self.pages.bytes() == 0) {
            // The first page's entries by how often they came: keys of which most are small compress best.
            dictionary.order(&mut self.values.keys);
        }
        let Self { body, values, levels, .. } = self;
        body.clear();
        if self.nullable {
            body.extend_from_slice(&[0; 4]);
            match levels.take() {
                None => hybrid::run(1, self.page_rows, 1, body),
                Some(levels) => hybrid::encode_bits(levels.as_slice(), self.page_rows, body),
            }
            let length = (body.len() - 4) as u32;
            body[..4].copy_from_slice(&length.to_le_bytes());
        }
        let encoding = if self.open { Encoding::RLE_DICTIONARY } else { Encoding::PLAIN };
        if let Some(bits) = &mut values.bits {
            let length = bits.len().div_ceil(8);
            body.extend_from_slice(&bits.as_slice()[..length]);
            bits.truncate(0);
        } else if let Some(dictionary) = self.dictionary.as_ref().filter(|_| self.open) {
            let width = hybrid::width_of(dictionary.values().len());
            body.push(width as u8);
            hybrid::encode(&values.keys, width, body);
            values.keys.clear();
        } else {
            let plain = mem::take(&mut values.plain);
            self.range = self.range_of(&plain);
            plain_bytes(self.kind, &self.words, &plain, &mut self.body);
            self.values.plain = plain;
            self.values.plain.clear();
        }
        self.pages.data(&self.body, self.page_rows, encoding, zstd)?;
        self.page_rows = 0;
        Ok(())
    }

    /// Ends the chunk: its bytes, and what is to be told of them.
    pub fn close(mut self, zstd: &mut Compressor<'_>) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
        if self.page_rows > 0 {
            self.page(zstd)?;
        }
        let mut entries = None;
        if let Some(dictionary) = &self.dictionary {
            self.range = self.range_of(dictionary.values());
            self.body.clear();
            plain_bytes(self.kind, &self.words, dictionary.values(), &mut self.body);
            entries = Some((self.body.as_slice(), dictionary.values().len()));
        }
        let statistics = self.statistics();
        let (chunk, metadata) = self.pages.finish(entries, self.column, zstd)?;
        let metadata = match statistics {
            Some(statistics) => metadata.into_builder().set_statistics(statistics).build()?,
            None => metadata,
        };
        let close = ColumnCloseResult {
            bytes_written: chunk.len() as u64,
            rows_written: self.rows,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok((chunk, close))
    }

    /// The least and the greatest of these values and those before.
    fn range_of(&self, values: &[u64]) -> Option<(u64, u64)> {
        let ranks = values.iter().map(|value| self.rank(*value));
        let more = ranks.fold((u64::MAX, 0), |(least, most), rank| (least.min(rank), most.max(rank)));
        let known = self.range.unwrap_or((u64::MAX, 0));
        let (least, most) = (known.0.min(more.0), known.1.max(more.1));
        (least <= most).then_some((least, most))
    }

    /// A number of the same order without a sign. Its own inverse.
    fn rank(&self, value: u64) -> u64 {
        match self.kind {
            Kind::Int32 { signed: true } | Kind::Int64 { signed: true } => value ^ 1 << 63,
            _ => value,
        }
    }

    /// The least and the greatest number; `None` for words and bits, of which they tell nothing.
    fn statistics(&self) -> Option<Statistics> {
        let (least, most) = self.range.map(|(least, most)| (self.rank(least), self.rank(most))).unzip();
        let nulls = Some(self.nulls);
        Some(match self.kind {
            Kind::Int32 { signed } => {
                let (least, most) = (least.map(|value| value as i32), most.map(|value| value as i32));
                let statistics = ValueStatistics::new(least, most, None, nulls, false);
                statistics.with_backwards_compatible_min_max(signed).into()
            }
            Kind::Int64 { signed } => {
                let (least, most) = (least.map(|value| value as i64), most.map(|value| value as i64));
                let statistics = ValueStatistics::new(least, most, None, nulls, false);
                statistics.with_backwards_compatible_min_max(signed).into()
            }
            Kind::Word | Kind::Bit => return None,
        })
    }
}

/// Appends values as they are.
fn plain_bytes(kind: Kind, words: &[&str], values: &[u64], out: &mut Vec<u8>) {
    let start = out.len();
    match kind {
        Kind::Int32 { .. } => {
            out.resize(start + values.len() * 4, 0);
            for (bytes, value) in out[start..].chunks_exact_mut(4).zip(values) {
                bytes.copy_from_slice(&(*value as u32).to_le_bytes());
            }
        }
        Kind::Int64 { .. } => {
            out.resize(start + values.len() * 8, 0);
            for (bytes, value) in out[start..].chunks_exact_mut(8).zip(values) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
        }
        Kind::Word => {
            for word in values.iter().filter_map(|value| words.get(*value as usize)) {
                out.extend_from_slice(&(word.len() as u32).to_le_bytes());
                out.extend_from_slice(word.as_bytes());
            }
        }
        Kind::Bit => {}
    }
}
