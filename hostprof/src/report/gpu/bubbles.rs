//! What the bubble ledger reads beside threads: a GPU's samples and a thread's calls of CUDA's library, row by row.

use std::{cell::RefCell, collections::BTreeSet, rc::Rc, vec};

use crate::{
    check::each,
    ledger::Spans,
    probe::{CUDA, CUDA_LAUNCH},
    recording::{Recording, RecordingError, Rows},
    story::{Bubbles, Calls, Evidence, GpuBubbles, Scope, Streams},
    table::{
        CudaCallRow, CudaKind, GpuIoctlRow, GpuPmRow, GpuProcessSampleRow, GpuSampleRow, HistogramRow,
        OffCpuCountRow, Table, ThreadRow,
    },
};

/// Where a stream that could not be read to its end says why.
type Failed = Rc<RefCell<Option<RecordingError>>>;

/// The ledgers under way, and whether what they read could be read.
pub struct Beside<'a> {
    bubbles: Option<Bubbles<'a>>,
    failed: Failed,
}

impl<'a> Beside<'a> {
    /// The ledgers; `None` where the recording has no samples for them.
    pub fn bubbles(&mut self) -> Option<&mut Bubbles<'a>> {
        self.bubbles.as_mut()
    }

    /// What the ledgers come to.
    ///
    /// # Errors
    ///
    /// Something could not be read.
    pub fn finish(self) -> Result<Vec<GpuBubbles>, RecordingError> {
        let told = self.bubbles.map(Bubbles::finish).unwrap_or_default();
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(told),
        }
    }
}

/// Rows of a table one by one, of those kept. An error ends them.
struct Stream<T, F> {
    rows: Rows<T>,
    batch: vec::IntoIter<T>,
    keep: F,
    failed: Failed,
}

impl<T: Table, F: Fn(&T) -> bool> Iterator for Stream<T, F> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(row) = self.batch.next() {
                return Some(row);
            }
            match self.rows.next()? {
                Ok(mut rows) => {
                    rows.retain(|row| (self.keep)(row));
                    // Several streams are open at a time, of most rows of which little is kept.
                    rows.shrink_to_fit();
                    self.batch = rows.into_iter();
                }
                Err(error) => {
                    self.failed.borrow_mut().get_or_insert(error);
                    return None;
                }
            }
        }
    }
}

/// Begins the ledgers of the GPUs that the target uses. `evidence` holds what is known of calls.
///
/// # Errors
///
/// A table cannot be read.
pub fn bubbles<'a>(
    recording: &Recording,
    threads: &'a [ThreadRow],
    scope: &Scope,
    histogram: &[HistogramRow],
    mut evidence: Evidence,
) -> Result<Beside<'a>, RecordingError> {
    let failed = Failed::default();
    if recording.parts::<GpuPmRow>()?.iter().all(|part| part.rows == 0) {
        return Ok(Beside { bubbles: None, failed });
    }
    let gpus = gpus(recording, &mut evidence)?;
    each::<GpuIoctlRow>(recording, |row| {
        evidence.drivers.insert(row.tgid);
    })?;
    evidence.waits_known = recording
        .config()
        .probes
        .iter()
        .any(|probe| probe.on && [CUDA, CUDA_LAUNCH].contains(&probe.name.as_str()));
    let launches = |row: &&HistogramRow| row.name == CUDA && row.key.contains("Launch");
    evidence.launching =
        histogram.iter().filter(launches).filter_map(|row| row.key.split_once(' ')?.0.parse().ok()).collect();
    let streams = |gpu: u32, thread: &ThreadRow| {
        let (tid, tgid) = (thread.tid, thread.tgid);
        let calls = |waits: bool| -> Result<Calls, RecordingError> {
            let keep = move |row: &CudaCallRow| {
                row.tid == tid && row.tgid == tgid && (row.kind == CudaKind::Sync) == waits
            };
            Ok(Calls::new(Box::new(stream(recording, keep, &failed)?)))
        };
        Ok(Streams {
            samples: Box::new(stream(recording, move |row: &GpuPmRow| row.gpu == gpu, &failed)?),
            waits: calls(true)?,
            others: calls(false)?,
        })
    };
    let withheld = counted(recording)?;
    let bubbles = Bubbles::new(threads, &gpus, scope, withheld, &evidence, streams)?;
    Ok(Beside { bubbles: Some(bubbles), failed })
}

fn stream<T: Table, F: Fn(&T) -> bool>(
    recording: &Recording,
    keep: F,
    failed: &Failed,
) -> Result<Stream<T, F>, RecordingError> {
    Ok(Stream { rows: recording.rows()?, batch: Vec::new().into_iter(), keep, failed: failed.clone() })
}

/// Times in which short episodes were counted and not recorded: what threads did then is not known one by one.
fn counted(recording: &Recording) -> Result<Spans, RecordingError> {
    let mut spans = Vec::new();
    each::<OffCpuCountRow>(recording, |row| {
        let span = (row.ts_mono_ns, row.ts_mono_ns.saturating_add(row.dur_ns));
        // Rows of an interval come one for each thread.
        if spans.last() != Some(&span) {
            spans.push(span);
        }
    })?;
    Ok(Spans::new(spans))
}

/// The GPUs that the target uses: by its processes on them, else by what it has open, else all there are. The processes
/// are told to the evidence.
fn gpus(recording: &Recording, evidence: &mut Evidence) -> Result<Vec<u32>, RecordingError> {
    each::<GpuProcessSampleRow>(recording, |row| {
        let of = if row.in_target { &mut evidence.on_gpu } else { &mut evidence.others_on_gpu };
        of.entry(row.gpu).or_default().insert(row.tgid);
    })?;
    if !evidence.on_gpu.is_empty() {
        return Ok(evidence.on_gpu.keys().copied().collect());
    }
    let mut open: BTreeSet<u32> = BTreeSet::new();
    each::<GpuSampleRow>(recording, |row| {
        if row.target_by.is_some() {
            open.insert(row.gpu);
        }
    })?;
    if open.is_empty() {
        open.extend(recording.config().host.gpus.devices.iter().filter_map(|gpu| gpu.index));
    }
    if open.is_empty() {
        open.insert(0);
    }
    Ok(open.into_iter().collect())
}
