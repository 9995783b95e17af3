//! The check of a recording on disk.

use std::{sync::mpsc, thread};

use super::{Check, Findings};
use crate::{
    probe::{PAGE_FAULT, syscalls::state_of},
    recording::{Recording, RecordingError},
    table::{LossRow, OffCpuRow, PageFaultRow, Table, ThreadRow},
};

/// Batches that are decoded ahead.
const AHEAD: usize = 2;

/// Reads a recording once and checks it.
///
/// # Errors
///
/// A part of it cannot be read.
pub fn check(recording: &Recording) -> Result<Findings, RecordingError> {
    let threads: Vec<ThreadRow> = all(recording)?;
    let loss: Vec<LossRow> = all(recording)?;
    let config = recording.config();
    let page_faults = config.probes.iter().any(|probe| probe.on && probe.name == PAGE_FAULT);
    let mut check = Check::new(&threads, &loss, page_faults, state_of);
    each::<OffCpuRow>(recording, |row| check.off_cpu(row))?;
    each::<PageFaultRow>(recording, |row| check.page_fault(row))?;
    Ok(check.finish(config.ended.is_some()))
}

/// All rows of a small table.
pub(crate) fn all<T: Table>(recording: &Recording) -> Result<Vec<T>, RecordingError> {
    let batches: Vec<Vec<T>> = recording.rows()?.collect::<Result<_, _>>()?;
    Ok(batches.into_iter().flatten().collect())
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
