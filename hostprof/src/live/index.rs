//! What a single reading of a whole recording finds out, so that any window is read fast after it.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::replay::Worst;
use crate::{
    ledger::{Unwritten, end_of},
    recording::{Recording, RecordingError},
    request::Latencies,
    table::{OffCpuRow, RequestRow, State, ThreadRow},
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
}

impl Index {
    /// Reads a recording; adds to `threads` those that have no row, as in one that was cut short.
    pub fn of(recording: &Recording, threads: &mut Vec<ThreadRow>) -> Result<Self, RecordingError> {
        let mut index = Self::default();
        let (mut runqueue, mut blocked, mut requests) = (Most::default(), Most::default(), Most::default());
        let is_whole = recording.config().ended.is_some();
        let mut unwritten = Unwritten::new(threads);
        for rows in recording.rows::<OffCpuRow>()? {
            for row in rows? {
                if !is_whole {
                    unwritten.off_cpu(&row);
                }
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
