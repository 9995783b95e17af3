//! Where rows of requests go: the log and a recording's folder. A thread writes them, so that a slow disk is not taken
//! for a slow server.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::log::{LogFile, LogRow};
use crate::{
    recording::RunFolder,
    sink::{ParquetSink, ParquetWriter, Settings, Sink as _, SinkError, Writer as _},
    table::{RequestRow, RequestSource, TokenRow},
};

/// Requests that may wait for the disk; then the client waits too, and says so.
const WAITING: usize = 1 << 14;

/// How often what was written is handed on.
const TICK: Duration = Duration::from_millis(250);

/// Why rows could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The log could not be written.
    #[error("write {}: {source}", path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A table could not be written.
    #[error(transparent)]
    Table(#[from] SinkError),
    /// The thread could not be started, or is gone.
    #[error("write requests: {0}")]
    Thread(io::Error),
}

/// Takes rows.
pub struct Store {
    queue: SyncSender<LogRow>,
    spare: Receiver<Vec<u64>>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl Store {
    /// A store that writes a log, the tables of a run, or both. Where it is neither there is no store.
    ///
    /// # Errors
    ///
    /// A table cannot be begun, or the thread not started.
    pub fn start(
        log: Option<(PathBuf, LogFile)>,
        run: Option<RunFolder>,
    ) -> Result<Option<Self>, StoreError> {
        if log.is_none() && run.is_none() {
            return Ok(None);
        }
        let tables = run.map(|folder| Tables::begin(Arc::new(folder))).transpose()?;
        let (queue, rows) = sync_channel(WAITING);
        let (returns, spare) = channel();
        let thread = thread::Builder::new()
            .name("load-store".to_owned())
            .spawn(move || write(log, tables, &rows, &returns))
            .map_err(StoreError::Thread)?;
        Ok(Some(Self { queue, spare, thread }))
    }

    /// Takes a row. Returns whether rows are still kept: if not, [`Store::finish`] tells why.
    pub fn push(&self, row: LogRow) -> bool {
        self.queue.send(row).is_ok()
    }

    /// The emptied token times of a row that was written: memory that was touched before.
    pub fn spare(&self) -> Option<Vec<u64>> {
        self.spare.try_recv().ok()
    }

    /// Waits until all is written.
    ///
    /// # Errors
    ///
    /// The first thing that failed; what came after it is not kept.
    pub fn finish(self) -> Result<(), StoreError> {
        drop(self.queue);
        self.thread
            .join()
            .unwrap_or_else(|_| Err(StoreError::Thread(io::Error::other("the thread ended early"))))
    }
}

/// The tables of a run that requests fill.
struct Tables {
    requests: ParquetWriter<RequestRow>,
    tokens: ParquetWriter<TokenRow>,
}

impl Tables {
    fn begin(folder: Arc<RunFolder>) -> Result<Self, SinkError> {
        let sink = ParquetSink::new(folder, Settings::default());
        Ok(Self { requests: sink.writer()?, tokens: sink.writer()? })
    }

    fn push(&mut self, row: &LogRow) -> Result<(), SinkError> {
        for (index, &ts_mono_ns) in row.token_mono_ns.iter().enumerate() {
            self.tokens.push(TokenRow {
                request_id: row.request.request_id.clone(),
                index: index as u32,
                ts_mono_ns,
                source: RequestSource::Load,
            })?;
        }
        self.requests.push(row.request.clone())
    }

    fn tick(&mut self) -> Result<(), SinkError> {
        self.requests.tick()?;
        self.tokens.tick()
    }

    fn finish(self) -> Result<(), SinkError> {
        let requests = self.requests.finish();
        self.tokens.finish().and(requests)
    }
}

fn write(
    mut log: Option<(PathBuf, LogFile)>,
    mut tables: Option<Tables>,
    rows: &Receiver<LogRow>,
    returns: &Sender<Vec<u64>>,
) -> Result<(), StoreError> {
    let mut ticked = Instant::now();
    loop {
        let row = rows.recv_timeout(TICK);
        if let Ok(row) = &row {
            if let Some((path, log)) = &mut log {
                log.push(row).map_err(|source| StoreError::Log { path: path.clone(), source })?;
            }
            if let Some(tables) = &mut tables {
                tables.push(row)?;
            }
        }
        let is_over = matches!(row, Err(RecvTimeoutError::Disconnected));
        if is_over || ticked.elapsed() >= TICK {
            ticked = Instant::now();
            if let Some((path, log)) = &mut log {
                log.flush().map_err(|source| StoreError::Log { path: path.clone(), source })?;
            }
            if let Some(tables) = &mut tables {
                tables.tick()?;
            }
        }
        if let Ok(mut row) = row {
            row.token_mono_ns.clear();
            // At the end nobody needs it.
            let _ = returns.send(row.token_mono_ns);
        }
        if is_over {
            return tables.map_or(Ok(()), |tables| tables.finish().map_err(StoreError::from));
        }
    }
}
