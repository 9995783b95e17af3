//! Where each thread's time went: states that exclude one another and sum to its wall clock.
//!
//! Reads rows of `thread`, `loss`, `off_cpu`, `off_cpu_count` and `cuda_call`, in file order and one at a time; yields times and
//! episodes for each thread. What no row accounts for is time on the CPU, except where rows contradict one another or
//! are known to be lost: that is `unattributed`. It keeps a fixed amount for each thread, and knows nothing
//! of files or of the kernel.

pub mod roles;

mod gpm;
mod gpu_idle;
mod lives;
mod marks;
mod mean;
mod replay;
mod spans;
mod times;
mod unwritten;
mod window;

use std::collections::BTreeMap;

pub(crate) use self::replay::{apart, end_of, merged, overlaps};
pub use self::{
    gpm::{Gpm, gpm},
    gpu_idle::{IdleGap, IdleGaps, idle_ns},
    lives::Lives,
    marks::Marks,
    mean::Mean,
    replay::{Part, Piece, Replay},
    spans::Spans,
    times::{OFF_STATES, StateTimes},
    unwritten::Unwritten,
    window::{Window, WindowLedger, WindowShare},
};
use crate::table::{CudaCallRow, LossRow, OffCpuCountRow, OffCpuRow, ThreadRow, Word};

/// One thread's account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadLedger {
    /// From when recording of the thread began to when it ended. `times` sums to this, exactly.
    pub wall_ns: u64,
    /// Time by state, each instant counted once.
    pub times: StateTimes,
    /// Time by state as the rows tell it, by [`Word::index`] of the state: what SQL over `off_cpu` gives.
    /// Differs from `times` only where rows contradict one another.
    pub recorded_ns: [u64; OFF_STATES],
    /// Episodes by state, by [`Word::index`] of the state: rows of `off_cpu`, and those that rows of `off_cpu_count`
    /// sum.
    pub episodes: [u64; OFF_STATES],
}

impl ThreadLedger {
    /// Time by state as the rows tell it, with what remains as `on_cpu`: nanosecond for nanosecond what SQL
    /// over the tables gives.
    pub fn recorded(&self) -> StateTimes {
        StateTimes { off_ns: self.recorded_ns, ..self.times }
    }

    fn add(&mut self, other: &Self) {
        self.wall_ns += other.wall_ns;
        self.times.add(&other.times);
        for (sum, ns) in self.recorded_ns.iter_mut().zip(other.recorded_ns) {
            *sum = sum.saturating_add(ns);
        }
        for (sum, count) in self.episodes.iter_mut().zip(other.episodes) {
            *sum += count;
        }
    }
}

/// The accounts of all threads of a recording, under construction.
pub struct Ledger {
    replay: Replay,
    threads: Vec<ThreadLedger>,
    /// What was counted, by thread and state; empty where nothing was.
    counted: Vec<[u64; OFF_STATES]>,
    /// Waits for the GPU on a CPU, by thread; empty where none were recorded.
    gpu_sync: Vec<u64>,
}

impl Ledger {
    /// Starts an account for each thread row; `loss` tells where records are missing.
    pub fn new(threads: &[ThreadRow], loss: &[LossRow]) -> Self {
        let accounts = threads
            .iter()
            .map(|row| ThreadLedger {
                wall_ns: row.end_mono_ns.saturating_sub(row.begin_mono_ns),
                ..ThreadLedger::default()
            })
            .collect();
        Self {
            replay: Replay::new(threads, loss),
            threads: accounts,
            counted: Vec::new(),
            gpu_sync: Vec::new(),
        }
    }

    /// Adds a row, in file order. Answers which thread row it belongs to, and `None` for one of no known
    /// thread. `each` sees the stretches of time that the row settles.
    pub fn off_cpu_with(&mut self, row: &OffCpuRow, mut each: impl FnMut(Piece)) -> Option<usize> {
        let accounts = &mut self.threads;
        let thread = self.replay.off_cpu(row, |piece| {
            accounts[piece.thread].times.add_part(piece.part, piece.len_ns());
            each(piece);
        })?;
        let account = &mut accounts[thread];
        account.episodes[row.state.index()] += 1;
        for (state, ns) in replay::recorded(row) {
            let sum = &mut account.recorded_ns[state.index()];
            *sum = sum.saturating_add(ns);
        }
        Some(thread)
    }

    /// Adds a row, in any order. Its episodes lie between the rows of `off_cpu`, where is not told: the stretches on a
    /// CPU that are handed out hold them, and only the accounts tell them apart.
    pub fn off_cpu_count(&mut self, row: &OffCpuCountRow) -> Option<usize> {
        let end_ns = row.ts_mono_ns.saturating_add(row.dur_ns);
        let thread = self.replay.lives().at(row.tid, row.ts_mono_ns, end_ns)?;
        self.threads[thread].episodes[row.state.index()] += row.episodes;
        let waited = row.state.once_runnable();
        self.counted.resize(self.threads.len(), [0; OFF_STATES]);
        for (state, ns) in [(row.state, row.blocked_ns), (waited, row.runqueue_ns)] {
            for sums in [&mut self.threads[thread].recorded_ns, &mut self.counted[thread]] {
                let sum = &mut sums[state.index()];
                *sum = sum.saturating_add(ns);
            }
        }
        Some(thread)
    }

    /// Adds a row, in any order. A wait for the GPU is no stretch that is handed out: what a call spends on a CPU is taken
    /// out of the thread's account.
    pub fn cuda_call(&mut self, row: &CudaCallRow) -> Option<usize> {
        let end_ns = row.ts_mono_ns.saturating_add(row.dur_ns);
        let thread = self.replay.lives().at(row.tid, row.ts_mono_ns, end_ns)?;
        if let Some(ns) = row.gpu_sync_ns() {
            self.gpu_sync.resize(self.threads.len(), 0);
            self.gpu_sync[thread] = self.gpu_sync[thread].saturating_add(ns);
        }
        Some(thread)
    }

    /// As [`Ledger::off_cpu_with`], with nobody watching.
    pub fn off_cpu(&mut self, row: &OffCpuRow) -> Option<usize> {
        self.off_cpu_with(row, |_| ())
    }

    /// The thread of a tid at a time.
    pub fn lives(&self) -> &Lives {
        self.replay.lives()
    }

    /// Closes the accounts: one for each thread row, in the same order. `each` sees what was still unsettled.
    pub fn finish_with(mut self, mut each: impl FnMut(Piece)) -> Vec<ThreadLedger> {
        let accounts = &mut self.threads;
        self.replay.finish(|piece| {
            accounts[piece.thread].times.add_part(piece.part, piece.len_ns());
            each(piece);
        });
        for (account, counted) in self.threads.iter_mut().zip(&self.counted) {
            account.times.count(counted);
        }
        for (account, ns) in self.threads.iter_mut().zip(self.gpu_sync) {
            account.times.carve_gpu_sync(ns);
        }
        self.threads
    }

    /// As [`Ledger::finish_with`], with nobody watching.
    pub fn finish(self) -> Vec<ThreadLedger> {
        self.finish_with(|_| ())
    }
}

/// Accounts added up by a key: a role, a process. Gives the number of threads with each sum.
pub fn roll_up<K: Ord>(
    threads: &[ThreadRow],
    accounts: &[ThreadLedger],
    key: impl Fn(&ThreadRow) -> K,
) -> BTreeMap<K, (usize, ThreadLedger)> {
    let mut sums: BTreeMap<K, (usize, ThreadLedger)> = BTreeMap::new();
    for (row, account) in threads.iter().zip(accounts) {
        let (count, sum) = sums.entry(key(row)).or_default();
        *count += 1;
        sum.add(account);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{CudaKind, State};

    #[test]
    fn a_wait_for_the_gpu_is_taken_out_of_the_time_on_a_cpu_and_the_sum_stays() {
        let threads = [ThreadRow { tid: 7, begin_mono_ns: 0, end_mono_ns: 1000, ..ThreadRow::default() }];
        let mut ledger = Ledger::new(&threads, &[]);
        let wait = CudaCallRow {
            ts_mono_ns: 100,
            tid: 7,
            kind: CudaKind::Sync,
            dur_ns: 500,
            off_cpu_ns: Some(200),
            ..CudaCallRow::default()
        };
        assert_eq!(ledger.cuda_call(&wait), Some(0));
        ledger.cuda_call(&CudaCallRow { kind: CudaKind::Copy, ..wait.clone() });
        ledger.cuda_call(&CudaCallRow { off_cpu_ns: None, ..wait.clone() });
        assert_eq!(ledger.cuda_call(&CudaCallRow { tid: 8, ..wait }), None);
        ledger.off_cpu(&OffCpuRow {
            ts_mono_ns: 200,
            tid: 7,
            state: State::Futex,
            blocked_ns: 200,
            ..OffCpuRow::default()
        });
        let times = ledger.finish()[0].times;
        assert_eq!((times.gpu_sync_ns, times.on_cpu_ns, times.off(State::Futex)), (300, 500, 200));
        assert_eq!(times.total_ns(), 1000);
    }
}
