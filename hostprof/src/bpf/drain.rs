//! Taking records out of the rings: one consumer for each ring, of a priority that a saturated machine
//! cannot starve, which does nothing but copy.
//!
//! A full ring loses records, and what fills it is not too little throughput but a consumer that does not
//! run. So the threads here run under `SCHED_FIFO 1` where they may (they then pre-empt ordinary threads
//! for the microseconds a round takes), or at nice -20; a guard takes the priority away for a second from
//! a thread that has used more than a quarter of one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::SyncSender,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{
    duty::DutyGuard,
    load::{Ring, Rings},
    priority::DrainPriority,
    ring::{CellRing, Read},
};
use crate::{clock, probe::fold_of_record, units::MonoNs};

/// How long a drain rests between rounds. A ring must hold what comes meanwhile, and a live view is never
/// older than this.
pub const ROUND: Duration = Duration::from_millis(20);
/// The same below a ceiling, which keeps the rate of records low: a round of nothing costs its wakeups.
pub const CEILING_ROUND: Duration = Duration::from_millis(100);

/// Bytes handed on at a time.
const BATCH_BYTES: usize = 256 << 10;

/// The most of a second that a drain may spend at its priority.
const DUTY: f64 = 0.25;

/// What drains hand on.
#[derive(Clone, Debug)]
pub enum Drained {
    /// Records of a stream, end to end.
    Records {
        /// Which stream: a CPU's ring of episodes and spans by its number, then the ring of thread records, then that of
        /// long ones.
        stream: usize,
        /// The records.
        bytes: Vec<u8>,
    },
    /// All rings have been read up to what they held at that time: what was read came before this.
    Round {
        /// When.
        at: MonoNs,
    },
}

/// What is drained, by how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    /// CPUs, each with its ring of cells.
    pub cpus: usize,
    /// Threads that drain, one at least; none has less than one CPU.
    pub drains: usize,
}

impl Streams {
    /// How many there are.
    pub fn count(self) -> usize {
        self.cpus + 2
    }

    /// That of thread records.
    pub fn threads(self) -> usize {
        self.cpus
    }

    /// That of long records.
    fn long(self) -> usize {
        self.cpus + 1
    }
}

/// The running drains.
pub struct Drains {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drains {
    /// Starts the drains; the first also reads the records of threads and connections. Those of threads go to each of
    /// the folds, others to the one they are for.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start<M: From<Drained> + Send + 'static>(
        rings: Rings,
        streams: Streams,
        priority: DrainPriority,
        round: Duration,
        folds: &[SyncSender<M>],
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut sources: Vec<Vec<(usize, Source)>> = (0..streams.drains).map(|_| Vec::new()).collect();
        // Thread records first: an episode's thread is then known by the time it is read.
        sources[0].push((streams.threads(), Source::Kernel(rings.threads)));
        sources[0].push((streams.long(), Source::Kernel(rings.long)));
        for (cpu, ring) in rings.cells.into_iter().enumerate() {
            sources[cpu % streams.drains].push((cpu, Source::Cells(ring)));
        }
        let rounds = Arc::new(Rounds::of(streams.drains, round));
        let mut threads = Vec::new();
        for (drain, sources) in sources.into_iter().enumerate() {
            let rounds = Arc::clone(&rounds);
            let out = Out { folds: folds.to_vec(), threads: streams.threads(), drain, rounds };
            let stop = Arc::clone(&stop);
            let body = move || run(sources, priority, round, &stop, &out);
            threads.push(thread::Builder::new().name(format!("hostprof-drain{drain}")).spawn(body)?);
        }
        Ok(Self { stop, threads })
    }

    /// Reads what is left and ends. The receiver must go on receiving meanwhile.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn run<M: From<Drained>>(
    mut sources: Vec<(usize, Source)>,
    priority: DrainPriority,
    round: Duration,
    stop: &AtomicBool,
    out: &Out<M>,
) {
    let mut guard = DutyGuard::new(priority, DUTY);
    loop {
        let last = stop.load(Ordering::Acquire);
        let at = clock::mono();
        for (stream, source) in &mut sources {
            if !out.copy(*stream, source) {
                return;
            }
        }
        if !out.read_until(at) || last {
            return;
        }
        guard.check();
        thread::sleep(round);
    }
}

/// Where records are read.
enum Source {
    Cells(CellRing),
    Kernel(Ring),
}

impl Source {
    /// Appends records, each to those of the fold it is for, until there is none or one of them has about as many as
    /// are handed on at a time.
    fn read(&mut self, folds: &mut [Vec<u8>]) -> Read {
        match self {
            Self::Cells(ring) => ring.read(folds, BATCH_BYTES, fold_of_record),
            Self::Kernel(ring) => {
                while folds.iter().all(|bytes| bytes.len() + 4096 <= BATCH_BYTES) {
                    let Some(record) = ring.next() else { return Read::All };
                    let fold = fold_of_record(&record, folds.len());
                    folds[fold].extend_from_slice(&record);
                }
                Read::Some
            }
        }
    }
}

/// Where a drain hands records on.
struct Out<M> {
    folds: Vec<SyncSender<M>>,
    /// The stream whose records are for each of them.
    threads: usize,
    /// Which drain this is.
    drain: usize,
    rounds: Arc<Rounds>,
}

/// How far the drains are. Folds need to know how far all are, and not from each: a message costs a wakeup, on an idle
/// machine too.
struct Rounds {
    /// When each drain's last whole round began; 0 before.
    begun: Vec<AtomicU64>,
    /// What was told last.
    told: AtomicU64,
    /// What is worth telling.
    least_ns: u64,
}

impl Rounds {
    fn of(drains: usize, round: Duration) -> Self {
        let begun = (0..drains).map(|_| AtomicU64::new(0)).collect();
        Self { begun, told: AtomicU64::new(0), least_ns: round.as_nanos() as u64 / 2 }
    }

    /// A drain has handed on what its rings held at that time. Answers how far all are, where this drain is to tell:
    /// what the others have handed on up to then, they have before this.
    fn end(&self, drain: usize, at: MonoNs) -> Option<MonoNs> {
        self.begun[drain].store(at.0, Ordering::Release);
        let all = self.begun.iter().map(|begun| begun.load(Ordering::Acquire)).min()?;
        let told = self.told.load(Ordering::Relaxed);
        let tells = all >= told + self.least_ns
            && self.told.compare_exchange(told, all, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        tells.then_some(MonoNs(all))
    }
}

impl<M: From<Drained>> Out<M> {
    /// Hands on all that the source holds; false when nobody listens any more.
    fn copy(&self, stream: usize, source: &mut Source) -> bool {
        let apart = if stream == self.threads { 1 } else { self.folds.len() };
        loop {
            let mut folds = vec![Vec::new(); apart];
            let read = source.read(&mut folds);
            for (fold, bytes) in self.folds.iter().zip(folds).filter(|(_, bytes)| !bytes.is_empty()) {
                let records = Drained::Records { stream, bytes };
                let sent = if stream == self.threads {
                    self.to_each(&records)
                } else {
                    fold.send(records.into()).is_ok()
                };
                if !sent {
                    return false;
                }
            }
            if read == Read::All {
                return true;
            }
        }
    }

    /// This drain has handed on what its rings held at that time; false when nobody listens any more.
    fn read_until(&self, at: MonoNs) -> bool {
        self.rounds.end(self.drain, at).is_none_or(|at| self.to_each(&Drained::Round { at }))
    }

    fn to_each(&self, drained: &Drained) -> bool {
        self.folds.iter().all(|fold| fold.send(drained.clone().into()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_told_once_by_the_drain_that_is_last_and_not_before_it_is_worth_it() {
        let rounds = Rounds::of(3, Duration::from_nanos(20));
        let ends = [(0, 100), (2, 103), (1, 101), (0, 120), (2, 123), (1, 105), (1, 121), (0, 140)];
        let told: Vec<_> =
            ends.iter().filter_map(|&(drain, at)| Some((at, rounds.end(drain, MonoNs(at))?.0))).collect();
        // At 105 all are 5 ns further, which is less than half a round.
        assert_eq!(told, [(101, 100), (121, 120)]);
    }
}
