//! Where rows go: Parquet files, memory (tests), or nowhere (benchmarks).
//!
//! A sink yields a writer for each table. Rows are pushed by one thread a table; what the pushing costs is
//! part of hostprof's overhead, so it only fills columns, and other threads encode and sync.

mod chunk;
mod dictionary;
mod group;
mod hybrid;
mod memory;
mod pages;
mod parquet;
mod part;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ::parquet::errors::ParquetError;

pub use self::{
    memory::{MemorySink, MemoryWriter, NullSink, NullWriter},
    parquet::{ParquetSink, ParquetWriter, Settings},
};
use crate::{recording::FolderError, table::Table};

/// A place for rows of every table.
pub trait Sink {
    /// What takes the rows of one table.
    type Writer<T: Table>: Writer<T>;

    /// Begins a table, or another writer of it beside the first, whose rows go into parts of its own.
    fn writer<T: Table>(&self) -> Result<Self::Writer<T>, SinkError>;
}

/// Takes the rows of one table.
pub trait Writer<T: Table>: Send {
    /// Takes a row. Blocks while the disk cannot keep up.
    ///
    /// # Errors
    ///
    /// The first that befell the table, now or before: from then on nothing is taken.
    fn push(&mut self, row: T) -> Result<(), SinkError>;

    /// To be called a few times a second, so that rows of a quiet table do not wait for more.
    ///
    /// # Errors
    ///
    /// As for [`Writer::push`].
    fn tick(&mut self) -> Result<(), SinkError>;

    /// Takes no more rows, and waits until all are stored.
    ///
    /// # Errors
    ///
    /// As for [`Writer::push`].
    fn finish(self) -> Result<(), SinkError>;
}

/// Why rows could not be stored. It is told more than once: to the thread that pushes and to whoever asks.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SinkError {
    /// A folder or file could not be made or renamed.
    #[error(transparent)]
    Folder(#[from] Arc<FolderError>),
    /// A part could not be written.
    #[error("write {}: {cause}", path.display())]
    Write {
        /// The part, by the name it would have had.
        path: PathBuf,
        /// What failed.
        cause: Arc<io::Error>,
    },
    /// The thread that encodes a table is gone.
    #[error("write {}: the encoding thread ended early", .0.display())]
    Stopped(PathBuf),
}

impl SinkError {
    /// From a part's failed write or sync.
    fn write(path: &Path, cause: io::Error) -> Self {
        Self::Write { path: path.to_owned(), cause: Arc::new(cause) }
    }

    /// From the encoder, which wraps the kernel's errors.
    fn encode(path: &Path, error: ParquetError) -> Self {
        let cause = match error {
            ParquetError::External(error) => match error.downcast::<io::Error>() {
                Ok(error) => *error,
                Err(error) => io::Error::other(error),
            },
            error => io::Error::other(error),
        };
        Self::write(path, cause)
    }

    /// Whether more space would have helped: the disk is full, or a quota or file size limit is reached.
    pub fn is_disk_full(&self) -> bool {
        let cause = match self {
            Self::Write { cause, .. } => cause,
            Self::Folder(error) => match &**error {
                FolderError::Io { source, .. } => source,
                _ => return false,
            },
            Self::Stopped(_) => return false,
        };
        matches!(
            cause.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }
}

impl From<FolderError> for SinkError {
    fn from(error: FolderError) -> Self {
        Self::Folder(Arc::new(error))
    }
}

/// How far a table has come; read by any thread while it is written.
#[derive(Debug, Default)]
pub struct Progress {
    rows: AtomicU64,
    closed_rows: AtomicU64,
    closed_bytes: AtomicU64,
    open_bytes: AtomicU64,
    parts: AtomicU64,
    encode_ns: AtomicU64,
    error: OnceLock<SinkError>,
}

impl Progress {
    /// Rows taken, but for the newest (up to a batch).
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Rows in parts that are closed: whatever happens now, they can be read.
    pub fn closed_rows(&self) -> u64 {
        self.closed_rows.load(Ordering::Relaxed)
    }

    /// Bytes of all parts, the one under way included.
    pub fn bytes(&self) -> u64 {
        self.closed_bytes.load(Ordering::Relaxed) + self.open_bytes.load(Ordering::Relaxed)
    }

    /// Parts closed.
    pub fn parts(&self) -> u64 {
        self.parts.load(Ordering::Relaxed)
    }

    /// Time spent encoding and compressing.
    pub fn encode_time(&self) -> Duration {
        Duration::from_nanos(self.encode_ns.load(Ordering::Relaxed))
    }

    /// What made the table end early, if anything did.
    pub fn error(&self) -> Option<&SinkError> {
        self.error.get()
    }

    /// Keeps the first error and returns it.
    fn fail(&self, error: SinkError) -> SinkError {
        self.error.get_or_init(|| error).clone()
    }

    fn encoded(&self, time: Duration) {
        self.encode_ns.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }
}
