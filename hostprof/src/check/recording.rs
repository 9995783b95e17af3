//! The check of a recording on disk.

use std::{iter::Peekable, sync::mpsc, thread};

use super::{Call, Check, Findings};
use crate::{
    ledger::end_of,
    probe::{PAGE_FAULT, syscalls::state_of},
    recording::{Recording, RecordingError},
    table::{
        CudaCallRow, GpuIoctlRow, LossRow, OffCpuCountRow, OffCpuRow, PageFaultRow, StepRow, SyscallRow,
        Table, ThreadRow,
    },
};

/// Batches that are decoded ahead.
const AHEAD: usize = 2;

/// Reads a recording once and checks it.
///
/// # Errors
///
/// A part of it cannot be read.
pub fn check(recording: &Recording) -> Result<Findings, RecordingError> {
    let threads: Vec<ThreadRow> = recording.all()?;
    let loss: Vec<LossRow> = recording.all()?;
    let config = recording.config();
    let page_faults = config.probes.iter().any(|probe| probe.on && probe.name == PAGE_FAULT);
    let mut check = Check::new(&threads, &loss, page_faults, state_of);
    let mut calls = Calls::open(recording)?;
    if calls.any() {
        let [system, ioctls, cuda, engine] = calls.are();
        check.expect_calls(system || ioctls, cuda, engine);
    }
    each::<OffCpuCountRow>(recording, |row| check.off_cpu_count(row))?;
    each::<OffCpuRow>(recording, |row| {
        calls.before(end_of(row), |call| check.call(call));
        check.off_cpu(row);
    })?;
    calls.before(u64::MAX, |call| check.call(call));
    calls.failed.map_or(Ok(()), Err)?;
    each::<PageFaultRow>(recording, |row| check.page_fault(row))?;
    Ok(check.finish(config.ended.is_some()))
}

type Rows<'a> = Peekable<Box<dyn Iterator<Item = Result<Call, RecordingError>> + 'a>>;

/// The calls of a recording, in the order of their ends.
struct Calls<'a> {
    sources: [Rows<'a>; 4],
    failed: Option<RecordingError>,
}

impl<'a> Calls<'a> {
    fn open(recording: &'a Recording) -> Result<Self, RecordingError> {
        let sources = [
            rows::<SyscallRow>(recording)?,
            rows::<GpuIoctlRow>(recording)?,
            rows::<CudaCallRow>(recording)?,
            rows::<StepRow>(recording)?,
        ];
        Ok(Self { sources, failed: None })
    }

    fn any(&mut self) -> bool {
        self.are().contains(&true)
    }

    /// Of which tables there are any.
    fn are(&mut self) -> [bool; 4] {
        self.sources.each_mut().map(|source| source.peek().is_some())
    }

    /// Hands out those that end before a time, and none after a part that cannot be read.
    fn before(&mut self, ns: u64, mut each: impl FnMut(&Call)) {
        while self.failed.is_none() {
            let ends = self.sources.each_mut().map(|source| match source.peek() {
                Some(Ok(call)) => call.exit_ns,
                Some(Err(_)) => 0,
                None => u64::MAX,
            });
            if ends.iter().all(|end_ns| *end_ns >= ns) {
                return;
            }
            let first = (0..ends.len()).min_by_key(|&source| ends[source]).unwrap_or(0);
            match self.sources[first].next() {
                Some(Ok(call)) => each(&call),
                Some(Err(error)) => self.failed = Some(error),
                None => return,
            }
        }
    }
}

/// The rows of a table of calls.
fn rows<'a, T>(recording: &'a Recording) -> Result<Rows<'a>, RecordingError>
where
    T: Table,
    Call: for<'r> From<&'r T>,
{
    let batches = recording.rows::<T>()?;
    let rows: Box<dyn Iterator<Item = Result<Call, RecordingError>> + 'a> =
        Box::new(batches.flat_map(|batch| match batch {
            Ok(rows) => rows.iter().map(|row| Ok(Call::from(row))).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        }));
    Ok(rows.peekable())
}

/// Hands out the rows of a table in file order; they are decoded ahead, on a thread of their own.
pub(crate) fn each<T: Table>(recording: &Recording, mut each: impl FnMut(&T)) -> Result<(), RecordingError> {
    let batches = recording.rows::<T>()?;
    let (ahead, behind) = mpsc::sync_channel(AHEAD);
    thread::scope(|scope| {
        scope.spawn(move || {
            for batch in batches {
                // Nobody takes any more where the other side met an error.
                if ahead.send(batch).is_err() {
                    return;
                }
            }
        });
        for batch in behind {
            batch?.iter().for_each(&mut each);
        }
        Ok(())
    })
}
