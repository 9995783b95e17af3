//! What a single reading of a whole recording finds out, so that any window is read fast after it.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::replay::Worst;
use crate::{
    hash::IntMap,
    ledger::{Lives, Unwritten, end_of, merged, overlaps},
    recording::{Recording, RecordingError},
    request::Latencies,
    table::{LossRow, OffCpuRow, RequestRow, State, ThreadRow},
};

/// Episodes from here on are remembered: parts far behind a window are not read for them.
pub const LONG_NS: u64 = 5_000_000_000;

/// How many of the worst can be jumped to.
const WORST: usize = 100;

/// Length, end and thread.
pub(super) type Target = (u64, u64, u32);

/// The index.
#[derive(Debug, Default)]
pub(super) struct Index {
    long: Vec<OffCpuRow>,
    runqueue: Vec<Target>,
    blocked: Vec<Target>,
    requests: Vec<Target>,
    /// Time of threads that seems to have been on a CPU, of which records were lost: tid, from, to.
    pub lost: Vec<(u32, (u64, u64))>,
}

impl Index {
    /// Reads a recording; adds to `threads` those that have no row, as in one that was cut short.
    pub fn of(recording: &Recording, threads: &mut Vec<ThreadRow>) -> Result<Self, RecordingError> {
        let mut index = Self::default();
        let (mut runqueue, mut blocked, mut requests) = (Most::default(), Most::default(), Most::default());
        let is_whole = recording.config().ended.is_some();
        let mut unwritten = Unwritten::new(threads);
        let loss = recording.all::<LossRow>()?;
        let mut gaps = Gaps::new(threads, &loss);
        for rows in recording.rows::<OffCpuRow>()? {
            for row in rows? {
                if !is_whole {
                    unwritten.off_cpu(&row);
                }
                gaps.off_cpu(&row);
                let end = end_of(&row);
                if row.state != State::Exit {
                    runqueue.add((row.runqueue_ns, end, row.tid));
                    blocked.add((row.blocked_ns, end, row.tid));
                }
                if end - row.ts_mono_ns >= LONG_NS {
                    index.long.push(row);
                }
            }
        }
        index.lost = gaps.finish();
        let unwritten = unwritten.finish();
        threads.extend(unwritten);
        for row in recording.all::<RequestRow>()? {
            if let (Some(e2e), Some(end)) = (Latencies::of(&row).e2e_ns, row.end_mono_ns) {
                requests.add((e2e, end, row.tid.unwrap_or(0)));
            }
        }
        (index.runqueue, index.blocked, index.requests) =
            (runqueue.finish(), blocked.finish(), requests.finish());
        Ok(index)
    }

    /// Long episodes that ended after that.
    pub fn long_after(&self, ns: u64) -> impl Iterator<Item = &OffCpuRow> {
        self.long.iter().filter(move |row| end_of(row) > ns)
    }

    /// The worst of a kind, worst first.
    pub fn worst(&self, worst: Worst) -> &[Target] {
        match worst {
            Worst::Runqueue => &self.runqueue,
            Worst::Blocked => &self.blocked,
            Worst::Request => &self.requests,
        }
    }
}

/// Time between the rows of threads that lack some, where records were lost in it: the ledger's rule.
struct Gaps {
    lives: Lives,
    /// Of threads that lack rows: up to when theirs tell, and when they ended; by their place in `lives`.
    lossy: IntMap<u64, (u32, u64, u64)>,
    lost: Vec<(u64, u64)>,
    found: Vec<(u32, (u64, u64))>,
}

impl Gaps {
    fn new(threads: &[ThreadRow], loss: &[LossRow]) -> Self {
        let lossy = threads.iter().enumerate().filter(|(_, row)| row.lost_switches > 0);
        let lossy = lossy.map(|(place, row)| (place as u64, (row.tid, row.begin_mono_ns, row.end_mono_ns)));
        Self { lives: Lives::new(threads), lossy: lossy.collect(), lost: merged(loss), found: Vec::new() }
    }

    fn off_cpu(&mut self, row: &OffCpuRow) {
        if self.lossy.is_empty() {
            return;
        }
        let (start, end) = (row.ts_mono_ns, end_of(row));
        let place = self.lives.at(row.tid, start, end).map(|place| place as u64);
        let Some((tid, at, _)) = place.and_then(|place| self.lossy.get_mut(&place)) else { return };
        let gap = (*at, start);
        *at = end.max(gap.0);
        if gap.0 < gap.1 && overlaps(&self.lost, gap.0, gap.1) {
            self.found.push((*tid, gap));
        }
    }

    fn finish(mut self) -> Vec<(u32, (u64, u64))> {
        for (tid, at, end) in self.lossy.into_values() {
            if at < end && overlaps(&self.lost, at, end) {
                self.found.push((tid, (at, end)));
            }
        }
        self.found.sort_unstable_by_key(|(_, gap)| gap.1);
        self.found
    }
}

/// The longest.
#[derive(Default)]
struct Most(BinaryHeap<Reverse<Target>>);

impl Most {
    fn add(&mut self, target: Target) {
        let least = self.0.peek().map_or(0, |Reverse(least)| least.0);
        if target.0 == 0 || self.0.len() >= WORST && target.0 <= least {
            return;
        }
        self.0.push(Reverse(target));
        if self.0.len() > WORST {
            self.0.pop();
        }
    }

    fn finish(self) -> Vec<Target> {
        self.0.into_sorted_vec().into_iter().map(|Reverse(target)| target).collect()
    }
}
