//! The pages of a column chunk: compressed, with their headers, as they go into a file.

use ::parquet::{
    basic::{Encoding, EncodingMask, PageType},
    column::page::{CompressedPage, Page, PageWriter as _},
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, PageEncodingStats},
        writer::{SerializedPageWriter, TrackedWrite},
    },
    schema::types::ColumnDescPtr,
};
use bytes::Bytes;
use zstd::bulk::Compressor;

use super::part::compression;

/// Data pages so far.
pub(super) struct Pages {
    written: TrackedWrite<Vec<u8>>,
    /// Bytes before compression, headers included.
    uncompressed: usize,
    values: usize,
    stats: Vec<PageEncodingStats>,
}

impl Pages {
    pub fn new() -> Self {
        Self { written: TrackedWrite::new(Vec::new()), uncompressed: 0, values: 0, stats: Vec::new() }
    }

    /// Bytes of the data pages so far.
    pub fn bytes(&self) -> usize {
        self.written.bytes_written()
    }

    /// Adds a page of that many values, nulls among them, whose content is `body`.
    pub fn data(
        &mut self,
        body: &[u8],
        values: usize,
        encoding: Encoding,
        zstd: &mut Compressor<'_>,
    ) -> Result<(), ParquetError> {
        let page = Page::DataPage {
            buf: compress(body, zstd)?,
            num_values: values as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        self.values += values;
        match self.stats.last_mut().filter(|stats| stats.encoding == encoding) {
            Some(stats) => stats.count += 1,
            None => self.stats.push(PageEncodingStats { page_type: PageType::DATA_PAGE, encoding, count: 1 }),
        }
        let page = CompressedPage::new(page, body.len());
        self.uncompressed += SerializedPageWriter::new(&mut self.written).write_page(page)?.uncompressed_size;
        Ok(())
    }

    /// The whole chunk, and what is to be told of it but for statistics. A dictionary, its entries and their
    /// number, comes before the data pages.
    pub fn finish(
        mut self,
        dictionary: Option<(&[u8], usize)>,
        column: ColumnDescPtr,
        zstd: &mut Compressor<'_>,
    ) -> Result<(Bytes, ColumnChunkMetaData), ParquetError> {
        let mut chunk = TrackedWrite::new(Vec::with_capacity(self.bytes()));
        if let Some((body, entries)) = dictionary {
            let page = Page::DictionaryPage {
                buf: compress(body, zstd)?,
                num_values: entries as u32,
                encoding: Encoding::PLAIN,
                is_sorted: false,
            };
            let page = CompressedPage::new(page, body.len());
            self.uncompressed += SerializedPageWriter::new(&mut chunk).write_page(page)?.uncompressed_size;
            let page_type = PageType::DICTIONARY_PAGE;
            self.stats.insert(0, PageEncodingStats { page_type, encoding: Encoding::PLAIN, count: 1 });
        }
        let data_offset = chunk.bytes_written();
        let mut chunk = chunk.into_inner()?;
        chunk.extend_from_slice(&self.written.into_inner()?);
        let encodings: Vec<Encoding> =
            self.stats.iter().map(|stats| stats.encoding).chain([Encoding::RLE]).collect();
        let metadata = ColumnChunkMetaData::builder(column)
            .set_compression(compression()?)
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(self.stats)
            .set_total_compressed_size(chunk.len() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.values as i64)
            .set_data_page_offset(data_offset as i64)
            .set_dictionary_page_offset(dictionary.map(|_| 0))
            .build()?;
        Ok((chunk.into(), metadata))
    }
}

fn compress(body: &[u8], zstd: &mut Compressor<'_>) -> Result<Bytes, ParquetError> {
    let compressed = zstd.compress(body).map_err(|error| ParquetError::External(Box::new(error)))?;
    Ok(compressed.into())
}
