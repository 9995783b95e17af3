//! Reading a recording: its `config.json`, and its tables a batch of rows at a time.

use std::{
    fs::{self, File},
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use arrow::error::ArrowError;
use nix::fcntl::{Flock, FlockArg};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    errors::ParquetError,
    file::metadata::ParquetMetaData,
};
use serde::Deserialize;

use super::{CONFIG_FILE, Config, folder::run_number, part_key, rows::Rows};
use crate::table::{SCHEMA_VERSION, Table};

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It is something else.
    #[error("open {}: not a run folder (no config.json)", .0.display())]
    NotRun(PathBuf),
    /// `config.json` ends early, or is not what it should be.
    #[error("open {}: config.json is {} ({cause})", path.display(), if cause.is_eof() { "truncated" } else { "damaged" })]
    Config {
        /// The run folder.
        path: PathBuf,
        /// Where and what.
        cause: serde_json::Error,
    },
    /// It was written by a later hostprof.
    #[error(
        "open {}: needs hostprof with schema {found} or newer; this one reads {SCHEMA_VERSION}", path.display()
    )]
    NewerSchema {
        /// The run folder.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
    /// A part ends early, or is not what it should be.
    #[error("read {}: truncated or damaged ({cause}) (move it away to read the rest)", path.display())]
    Part {
        /// The part.
        path: PathBuf,
        /// What its reader met.
        cause: ParquetError,
    },
    /// A part can be read, but is not of its table.
    #[error("read {}: {cause}", path.display())]
    Rows {
        /// The part.
        path: PathBuf,
        /// Which column, and how it differs.
        cause: ArrowError,
    },
    /// The kernel refused.
    #[error("read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl RecordingError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(super) fn part(path: &Path, cause: ParquetError) -> Self {
        Self::Part { path: path.to_owned(), cause }
    }
}

/// A closed part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// From the first start to the last end of its rows, CLOCK_MONOTONIC nanoseconds; `None` when empty.
    pub span_mono_ns: Option<(u64, u64)>,
}

/// A recording on disk.
#[derive(Clone, Debug)]
pub struct Recording {
    path: PathBuf,
    config: Config,
}

#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

impl Recording {
    /// Opens a run folder.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let text = fs::read(path.join(CONFIG_FILE)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => RecordingError::NotRun(path.to_owned()),
            _ => RecordingError::io(&path.join(CONFIG_FILE), error),
        })?;
        let damaged = |cause| RecordingError::Config { path: path.to_owned(), cause };
        let version: Version = serde_json::from_slice(&text).map_err(damaged)?;
        if version.schema_version > SCHEMA_VERSION {
            return Err(RecordingError::NewerSchema { path: path.to_owned(), found: version.schema_version });
        }
        let config = serde_json::from_slice(&text).map_err(damaged)?;
        Ok(Self { path: path.to_owned(), config })
    }

    /// The run folders in a folder, by number. None where the folder is missing.
    pub fn list(out: &Path) -> Result<Vec<PathBuf>, RecordingError> {
        let mut runs: Vec<(u64, PathBuf)> = entries(out)?
            .into_iter()
            .filter_map(|path| Some((run_number(path.file_name()?.to_str()?)?, path)))
            .collect();
        runs.sort();
        Ok(runs.into_iter().map(|(_, path)| path).collect())
    }

    /// The run folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its `config.json`.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether a recorder still holds it: it then has no end yet, and parts will be added.
    pub fn goes_on(&self) -> bool {
        let locked = |file| {
            Flock::lock(file, FlockArg::LockSharedNonblock)
                .is_err_and(|(_, errno)| errno == nix::Error::EWOULDBLOCK)
        };
        self.config.ended.is_none() && File::open(&self.path).is_ok_and(locked)
    }

    /// The closed parts of a table, in order; none where the table was not recorded.
    pub fn parts<T: Table>(&self) -> Result<Vec<Part>, RecordingError> {
        self.part_paths(T::NAME)?
            .into_iter()
            .map(|path| {
                let (file, metadata) = open_part(&path)?;
                let bytes = file.metadata().map_err(|error| RecordingError::io(&path, error))?.len();
                let rows = metadata.metadata().file_metadata().num_rows() as u64;
                let span_mono_ns = span(metadata.metadata());
                Ok(Part { path, rows, bytes, span_mono_ns })
            })
            .collect()
    }

    /// All rows of a table, a batch at a time, in the order of their ends: as they lie in a part, and those of parts
    /// that overlap merged.
    pub fn rows<T: Table>(&self) -> Result<Rows<T>, RecordingError> {
        self.rows_within(0..=u64::MAX)
    }

    /// All rows of a small table at once, in the same order.
    pub fn all<T: Table>(&self) -> Result<Vec<T>, RecordingError> {
        let batches: Vec<Vec<T>> = self.rows()?.collect::<Result<_, _>>()?;
        Ok(batches.into_iter().flatten().collect())
    }

    /// The rows that overlap a window of CLOCK_MONOTONIC nanoseconds: parts outside it are not read. Rows
    /// are whole; clipping them is the caller's.
    pub fn rows_within<T: Table>(&self, window: RangeInclusive<u64>) -> Result<Rows<T>, RecordingError> {
        self.rows_ended(window, u64::MAX)
    }

    /// Of the rows that overlap a window those that ended by then: parts of later rows are not read either, which
    /// long rows, known from elsewhere, would else make necessary.
    pub fn rows_ended<T: Table>(
        &self,
        window: RangeInclusive<u64>,
        by: u64,
    ) -> Result<Rows<T>, RecordingError> {
        Ok(Rows::of(self.part_paths(T::NAME)?, window, by))
    }

    /// Parts that were under way when the recorder was killed; what is in them is lost. Those of a
    /// recording that goes on are no loss.
    pub fn incomplete_parts(&self) -> Result<Vec<PathBuf>, RecordingError> {
        let mut parts = Vec::new();
        for folder in entries(&self.path)?.into_iter().filter(|path| path.is_dir()) {
            let temporary = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "tmp");
            parts.extend(entries(&folder)?.into_iter().filter(temporary));
        }
        parts.sort();
        Ok(parts)
    }

    /// The size of all its files.
    pub fn bytes(&self) -> Result<u64, RecordingError> {
        fn sum(folder: &Path) -> Result<u64, RecordingError> {
            let mut bytes = 0;
            for path in entries(folder)? {
                match fs::symlink_metadata(&path) {
                    Ok(found) if found.is_dir() => bytes += sum(&path)?,
                    Ok(found) => bytes += found.len(),
                    // A part may get its name meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(RecordingError::io(&path, error)),
                }
            }
            Ok(bytes)
        }
        sum(&self.path)
    }

    pub(super) fn part_paths(&self, table: &str) -> Result<Vec<PathBuf>, RecordingError> {
        let number = |path: &PathBuf| -> Option<u32> {
            path.file_name()?.to_str()?.strip_prefix("part-")?.strip_suffix(".parquet")?.parse().ok()
        };
        let mut parts: Vec<(u32, PathBuf)> = entries(&self.path.join(table))?
            .into_iter()
            .filter_map(|path| Some((number(&path)?, path)))
            .collect();
        parts.sort();
        Ok(parts.into_iter().map(|(_, path)| path).collect())
    }
}

/// What is in a folder; nothing if it is missing.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, RecordingError> {
    let failed = |error| RecordingError::io(folder, error);
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry.map_err(failed)?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

pub(super) fn open_part(path: &Path) -> Result<(File, ArrowReaderMetadata), RecordingError> {
    let file = File::open(path).map_err(|error| RecordingError::io(path, error))?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
        .map_err(|cause| RecordingError::part(path, cause))?;
    Ok((file, metadata))
}

pub(super) fn span(metadata: &ParquetMetaData) -> Option<(u64, u64)> {
    Some((value(metadata, part_key::MIN_START)?, value(metadata, part_key::MAX_END)?))
}

pub(super) fn first_end(metadata: &ParquetMetaData) -> Option<u64> {
    value(metadata, part_key::MIN_END)
}

fn value(metadata: &ParquetMetaData, key: &str) -> Option<u64> {
    let values = metadata.file_metadata().key_value_metadata()?;
    values.iter().find(|pair| pair.key == key)?.value.as_ref()?.parse().ok()
}
