//! The sink of a recording: `<table>/part-00000.parquet`, a part every few seconds.
//!
//! The thread that pushes only moves rows into a batch; a thread for each table turns batches into columns
//! and encodes them; another syncs a finished part. Between the first two is a queue: when it is full,
//! pushing waits.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    Progress, Sink, SinkError, Writer,
    part::{Layout, OpenPart, Span},
};
use crate::{
    recording::{RunFolder, TableFolder},
    table::{Columns, Table},
};

/// Rows of a batch turned into columns at a time.
const STRIPE_ROWS: usize = 128;

/// As many tables close a part each in an interval, where they do in turn.
const TURNS: u32 = 20;

/// How parts are cut.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A part is closed when its first row is this old, or before: what a `kill -9` costs at most.
    pub part_interval: Duration,
    /// Whether tables close their parts one after the other, and not all at once: each costs a file, whatever is in it.
    pub in_turn: bool,
    /// A part is closed when it has this size.
    pub part_bytes: u64,
    /// Rows of a batch: few enough to stay in a core's cache from when they are folded until they are columns.
    pub batch_rows: usize,
    /// Batches that may wait to be encoded, for each table. One of 2048 rows of `off_cpu` is 256 KiB.
    pub queued_batches: usize,
    /// What a thread that encodes does first, and before each batch.
    pub on_work: fn(),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            part_interval: Duration::from_secs(5),
            in_turn: false,
            part_bytes: 64 << 20,
            batch_rows: 1 << 11,
            queued_batches: 128,
            on_work: || {},
        }
    }
}

/// Writes Parquet into a run folder.
#[derive(Debug)]
pub struct ParquetSink {
    folder: Arc<RunFolder>,
    settings: Settings,
    began: Instant,
    writers: AtomicU32,
    tables: Mutex<Vec<(&'static str, Arc<Progress>)>>,
}

impl ParquetSink {
    /// A sink for the tables of a run.
    pub fn new(folder: Arc<RunFolder>, settings: Settings) -> Self {
        Self { folder, settings, began: Instant::now(), writers: AtomicU32::new(0), tables: Mutex::default() }
    }

    /// How far each table begun has come.
    pub fn progress(&self) -> Vec<(&'static str, Arc<Progress>)> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of all tables, those under way included.
    pub fn bytes(&self) -> u64 {
        self.progress().iter().map(|(_, progress)| progress.bytes()).sum()
    }

    /// That of a table, and whether this is its first writer.
    fn progress_of(&self, table: &'static str) -> (Arc<Progress>, bool) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, progress)) = tables.iter().find(|(name, _)| *name == table) {
            return (Arc::clone(progress), false);
        }
        let progress = Arc::new(Progress::default());
        tables.push((table, Arc::clone(&progress)));
        (progress, true)
    }

    /// An error that befell a table, if one did: the recording should then end.
    pub fn error(&self) -> Option<SinkError> {
        self.progress().iter().find_map(|(_, progress)| progress.error().cloned())
    }
}

impl Sink for ParquetSink {
    type Writer<T: Table> = ParquetWriter<T>;

    fn writer<T: Table>(&self) -> Result<ParquetWriter<T>, SinkError> {
        let folder = self.folder.create_table(T::NAME)?;
        let path = folder.path().to_owned();
        let (progress, is_first) = self.progress_of(T::NAME);
        let encoder = Encoder {
            folder: Arc::new(folder),
            layout: Layout::of::<T>().map_err(|error| SinkError::encode(&path, error))?,
            part_bytes: self.settings.part_bytes,
            progress: progress.clone(),
            columns: T::Columns::default(),
            next_part: 0,
            writes_empty: is_first,
            open_bytes: 0,
            open: None,
            syncing: None,
        };
        let (queue, batches) = sync_channel(self.settings.queued_batches);
        let (returns, spare) = channel();
        let on_work = self.settings.on_work;
        let thread = thread::Builder::new()
            .name(format!("sink-{}", T::NAME))
            .spawn(move || {
                on_work();
                encoder.run(&batches, &returns, on_work);
            })
            .map_err(|error| SinkError::write(&path, error))?;
        let turn = self.writers.fetch_add(1, Ordering::Relaxed);
        Ok(ParquetWriter {
            rows: Vec::new(),
            batch_rows: self.settings.batch_rows,
            part_ends: None,
            parts: Parts {
                began: self.began,
                interval: self.settings.part_interval,
                turn: self.settings.in_turn.then_some(turn),
            },
            queue: Some(queue),
            spare,
            thread: Some(thread),
            progress,
            path,
        })
    }
}

/// What the thread that pushes hands to the one that encodes.
struct Batch<T> {
    rows: Vec<T>,
    closes_part: bool,
}

/// When a table's parts are closed.
#[derive(Clone, Copy, Debug)]
struct Parts {
    began: Instant,
    interval: Duration,
    /// Which of the tables it is, where they close theirs in turn.
    turn: Option<u32>,
}

impl Parts {
    /// The end of one whose first row comes now.
    fn ends(&self, now: Instant) -> Instant {
        let Some(turn) = self.turn else { return now + self.interval };
        let ahead = self.interval * (turn % TURNS) / TURNS;
        let whole = (now.duration_since(self.began) + ahead).as_nanos() / self.interval.as_nanos().max(1);
        (self.began + self.interval * (whole as u32 + 1)).checked_sub(ahead).unwrap_or(now)
    }
}

/// Takes the rows of a table. See [`ParquetSink`].
///
/// Dropped without [`Writer::finish`] it still has its rows written, but waits for nothing.
pub struct ParquetWriter<T: Table> {
    rows: Vec<T>,
    batch_rows: usize,
    /// When the part is closed; `None` while no row is noticed that is not in a closed one.
    part_ends: Option<Instant>,
    parts: Parts,
    queue: Option<SyncSender<Batch<T>>>,
    /// Emptied batches that come back: memory that was touched before.
    spare: Receiver<Vec<T>>,
    thread: Option<JoinHandle<()>>,
    progress: Arc<Progress>,
    path: PathBuf,
}

impl<T: Table> ParquetWriter<T> {
    fn hand_over(&mut self, closes_part: bool) -> Result<(), SinkError> {
        let spare = self.spare.try_recv().unwrap_or_default();
        let rows = std::mem::replace(&mut self.rows, spare);
        self.progress.rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
        let batch = Batch { rows, closes_part };
        if closes_part {
            self.part_ends = None;
        }
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(batch).is_ok());
        if sent { Ok(()) } else { Err(self.error()) }
    }

    fn part_is_due(&mut self) -> bool {
        let now = Instant::now();
        now >= *self.part_ends.get_or_insert_with(|| self.parts.ends(now))
    }

    fn error(&self) -> SinkError {
        self.progress.error().cloned().unwrap_or_else(|| SinkError::Stopped(self.path.clone()))
    }
}

impl<T: Table> Writer<T> for ParquetWriter<T> {
    #[inline]
    fn push(&mut self, row: T) -> Result<(), SinkError> {
        self.rows.push(row);
        if self.rows.len() < self.batch_rows {
            return Ok(());
        }
        let due = self.part_is_due();
        self.hand_over(due)
    }

    fn tick(&mut self) -> Result<(), SinkError> {
        if self.progress.error().is_some() {
            return Err(self.error());
        }
        let waits = self.part_ends.is_some() || !self.rows.is_empty();
        if waits && self.part_is_due() { self.hand_over(true) } else { Ok(()) }
    }

    fn finish(mut self) -> Result<(), SinkError> {
        let handed_over = self.hand_over(true);
        self.queue = None;
        let ended = self.thread.take().is_some_and(|thread| thread.join().is_ok());
        handed_over?;
        if ended && self.progress.error().is_none() { Ok(()) } else { Err(self.error()) }
    }
}

impl<T: Table> Drop for ParquetWriter<T> {
    fn drop(&mut self) {
        if self.queue.is_some() && !self.rows.is_empty() {
            // Nobody is left to be told of an error; it stays in the progress.
            let _ = self.hand_over(true);
        }
    }
}

/// The thread that encodes a table.
struct Encoder<T: Table> {
    folder: Arc<TableFolder>,
    layout: Layout,
    part_bytes: u64,
    progress: Arc<Progress>,
    columns: T::Columns,
    next_part: u32,
    /// Whether a table without rows has a part from it.
    writes_empty: bool,
    /// What it has told of the part under way.
    open_bytes: u64,
    open: Option<OpenPart>,
    syncing: Option<JoinHandle<Result<(), SinkError>>>,
}

impl<T: Table> Encoder<T> {
    fn run(mut self, queue: &Receiver<Batch<T>>, returns: &Sender<Vec<T>>, on_work: fn()) {
        let written = queue
            .iter()
            .try_for_each(|mut batch| {
                on_work();
                self.write(&batch.rows, batch.closes_part)?;
                batch.rows.clear();
                // The last ones find nobody that needs them.
                let _ = returns.send(batch.rows);
                Ok(())
            })
            .and_then(|()| {
                // A table nothing happened in has one empty part, so that a query finds its columns.
                if self.next_part == 0 && self.writes_empty {
                    self.open = Some(self.part()?);
                }
                self.close_part()
            });
        let synced = self.wait_for_sync();
        // Set before the queue is dropped: whoever then fails to send finds it.
        if let Err(error) = synced.and(written) {
            self.progress.fail(error);
        }
    }

    fn write(&mut self, rows: &[T], closes_part: bool) -> Result<(), SinkError> {
        let began = Instant::now();
        if !rows.is_empty() {
            let mut span = Span::default();
            for stripe in rows.chunks(STRIPE_ROWS) {
                for row in stripe {
                    span.include(row.span_mono_ns());
                }
                self.columns.extend(stripe);
            }
            let batch =
                self.columns.finish().map_err(|error| SinkError::encode(self.folder.path(), error.into()))?;
            let mut part = self.part()?;
            let written = part.write(&batch, span, &mut self.layout);
            let bytes = part.bytes();
            self.open = Some(part);
            written?;
            self.tell_open(bytes);
            self.progress.encoded(began.elapsed());
            if bytes >= self.part_bytes {
                return self.close_part();
            }
        }
        if closes_part { self.close_part() } else { Ok(()) }
    }

    /// Other writers of the table have parts under way too.
    fn tell_open(&mut self, bytes: u64) {
        let told = std::mem::replace(&mut self.open_bytes, bytes);
        self.progress.open_bytes.fetch_add(bytes.wrapping_sub(told), Ordering::Relaxed);
    }

    /// The part under way, begun if there is none.
    fn part(&mut self) -> Result<OpenPart, SinkError> {
        if let Some(part) = self.open.take() {
            return Ok(part);
        }
        let part = OpenPart::create(&self.folder, self.next_part, &self.layout)?;
        self.next_part = part.number() + 1;
        Ok(part)
    }

    fn close_part(&mut self) -> Result<(), SinkError> {
        let Some(part) = self.open.take() else { return Ok(()) };
        // One at a time, so that parts appear in order.
        self.wait_for_sync()?;
        let began = Instant::now();
        self.syncing = Some(part.close(&mut self.layout, self.progress.clone())?);
        self.tell_open(0);
        self.progress.encoded(began.elapsed());
        Ok(())
    }

    fn wait_for_sync(&mut self) -> Result<(), SinkError> {
        match self.syncing.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(SinkError::Stopped(self.folder.path().to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_in_turn_are_no_older_than_the_interval_and_none_ends_with_another() {
        let (began, interval) = (Instant::now(), Duration::from_secs(u64::from(TURNS)));
        let ends = |turn, now| Parts { began, interval, turn: Some(turn) }.ends(began + now) - began;
        for now in [0, 1_999, 2_000, 15_999, 16_000, 100_500].map(Duration::from_millis) {
            let mut all: Vec<Duration> = (0..TURNS).map(|turn| ends(turn, now)).collect();
            assert!(all.iter().all(|&end| end > now && end <= now + interval), "{all:?}");
            all.sort();
            assert!(
                all.windows(2).all(|ends| ends[1].checked_sub(ends[0]).unwrap() == Duration::from_secs(1)),
                "{all:?}"
            );
        }
        let alone = Parts { began, interval, turn: None };
        assert_eq!(alone.ends(began + Duration::from_secs(3)), began + Duration::from_secs(3) + interval);
    }
}
