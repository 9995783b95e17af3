//! The folds of a recording: how many stand beside each other, who is told what, and their end.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use super::pipeline::{Folded, Kept, Message, Met, Pipeline, Setting};
use crate::{
    probe::Share,
    sink::{ParquetSink, SinkError},
    units::MonoNs,
};

/// Messages that may wait for a fold: at most 64 batches of 256 KiB.
const WAITING_MESSAGES: usize = 64;
/// The CPUs that keep one fold busy, with what else a record costs, and the most folds.
const CPUS_A_FOLD: usize = 4;
const MOST_FOLDS: usize = 8;

/// How many folds a machine needs, by how many CPUs write records: one up to 7, 2 from 8 on, 4 from 16 on.
pub fn folds_for(cpus: usize) -> usize {
    (cpus / CPUS_A_FOLD).clamp(1, MOST_FOLDS)
}

/// Who is told what happens: the first fold, or all.
#[derive(Clone, Debug)]
pub struct Inlet {
    folds: Vec<SyncSender<Message>>,
}

impl Inlet {
    /// To the first.
    pub fn first(&self) -> &SyncSender<Message> {
        &self.folds[0]
    }

    /// To each, in order.
    pub fn each(&self) -> &[SyncSender<Message>] {
        &self.folds
    }

    /// Tells all what a scan found. A fold that is gone tells why when it is joined.
    pub fn met(&self, met: &Met) {
        self.tell(|| Message::Met(met.clone()));
    }

    /// Tells all that threads were recorded no more from then on.
    pub fn ended(&self, at: MonoNs) {
        self.tell(|| Message::Ended(at));
    }

    fn tell(&self, message: impl Fn() -> Message) {
        for fold in &self.folds {
            let _ = fold.send(message());
        }
    }
}

/// Pipelines before they run.
pub struct Folds {
    inlet: Inlet,
    pipelines: Vec<(Pipeline, Receiver<Message>)>,
}

impl Folds {
    /// So many of them.
    ///
    /// # Errors
    ///
    /// A table cannot be begun.
    pub fn new(
        count: usize,
        sink: &ParquetSink,
        setting: &Setting,
        engine: Option<&str>,
    ) -> Result<Self, SinkError> {
        let mut folds = Self { inlet: Inlet { folds: Vec::new() }, pipelines: Vec::new() };
        for share in Share::among(count) {
            let (sender, receiver) = sync_channel(WAITING_MESSAGES);
            folds.inlet.folds.push(sender);
            let pipeline = if share.is_first() {
                Pipeline::first(sink, setting.clone(), share, engine)?
            } else {
                Pipeline::beside(sink, setting.clone(), share, folds.inlet.first().clone())?
            };
            folds.pipelines.push((pipeline, receiver));
        }
        Ok(folds)
    }

    /// Who is told what happens.
    pub fn inlet(&self) -> Inlet {
        self.inlet.clone()
    }

    /// The folds, the first of which is changed.
    #[must_use]
    pub fn with_first(mut self, change: impl FnOnce(Pipeline) -> Pipeline) -> Self {
        let (first, receiver) = self.pipelines.remove(0);
        self.pipelines.insert(0, (change(first), receiver));
        self
    }

    /// Starts a thread for each.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start(self) -> io::Result<Folding> {
        let mut threads = Vec::new();
        for (number, (pipeline, messages)) in self.pipelines.into_iter().enumerate() {
            // As the threads are called where there is but one.
            let name =
                if number == 0 { "hostprof-fold".to_owned() } else { format!("hostprof-fold{number}") };
            threads.push(thread::Builder::new().name(name).spawn(move || pipeline.run(&messages))?);
        }
        Ok(Folding { inlet: self.inlet, threads })
    }
}

/// Folds that run.
pub struct Folding {
    inlet: Inlet,
    threads: Vec<JoinHandle<Result<Folded, SinkError>>>,
}

impl Folding {
    /// Whether one has ended, and so has failed.
    pub fn has_failed(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends them, and tells what came of all; `None` where one panicked. The first is the last to end: the others hand
    /// their threads over to it.
    pub fn finish(self, kept: Kept) -> Option<Result<Folded, SinkError>> {
        let kept = Arc::new(kept);
        let mut all: Option<Result<Folded, SinkError>> = None;
        for sender in self.inlet.folds.iter().skip(1) {
            let _ = sender.send(Message::Stop(Arc::clone(&kept)));
        }
        let mut threads = self.threads.into_iter();
        let first = threads.next()?;
        for thread in threads {
            let folded = thread.join().ok()?;
            all = Some(join(all, folded));
        }
        let _ = self.inlet.first().send(Message::Stop(kept));
        let folded = first.join().ok()?;
        Some(join(all, folded))
    }
}

/// What came of two: the first failure, if there was one.
fn join(
    before: Option<Result<Folded, SinkError>>,
    after: Result<Folded, SinkError>,
) -> Result<Folded, SinkError> {
    match before {
        None => after,
        Some(before) => before.and_then(|before| Ok(before.and(&after?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_machine_has_one_fold_and_a_large_one_no_more_than_eight() {
        assert_eq!([1, 2, 4, 7, 8, 12, 16, 32, 512].map(folds_for), [1, 1, 1, 1, 2, 3, 4, 8, 8]);
    }
}
