//! What a thread's bins come to in a window that slides: what enters is added, what leaves is taken away.

use super::{
    counters::{Bag, Kind, Sliding, is_length, of_kind},
    group::part_of,
};
use crate::{
    ledger::{OFF_STATES, Part, StateTimes},
    table::State,
};

/// Sums of bins. Those that every thread has stand in places of their own; lengths by bucket are left out.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    off_ns: [u64; OFF_STATES],
    unattributed_ns: u64,
    gpu_sync_ns: u64,
    pub counts: Counts,
    /// Calls, wakers and futexes.
    rest: Sliding,
}

impl Totals {
    /// Adds, modulo 2^64.
    #[inline]
    pub fn add(&mut self, key: u64, value: u64) {
        let sum = match part_of(key) {
            Some(Part::Off(state)) => &mut self.off_ns[state as usize],
            Some(Part::GpuSync) => &mut self.gpu_sync_ns,
            Some(_) => &mut self.unattributed_ns,
            None if is_length(key) => return,
            None => return self.rest.add(key, value),
        };
        *sum = sum.wrapping_add(value);
    }

    pub fn add_all(&mut self, bag: &Bag) {
        bag.each(|key, value| self.add(key, value));
    }

    pub fn take_all(&mut self, bag: &Bag) {
        bag.each(|key, value| self.add(key, value.wrapping_neg()));
    }
}

/// What is counted of every thread.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Rows that ended.
    pub rows: u64,
    /// Context switches, and those of them that were involuntary.
    pub switches: u64,
    pub involuntary: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.switches += other.switches;
        self.involuntary += other.involuntary;
    }

    pub fn take(&mut self, other: &Self) {
        self.rows -= other.rows;
        self.switches -= other.switches;
        self.involuntary -= other.involuntary;
    }
}

/// What a thread comes to in a window.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub wall_ns: u64,
    pub times: StateTimes,
    pub counts: Counts,
    /// The longest wait for a CPU.
    pub most_ns: u64,
    pub now: Option<State>,
    /// The futex waited for at the end.
    pub futex_now: Option<u64>,
    pub cpu: Option<u16>,
    pub minor_faults: f64,
    pub major_faults: f64,
    /// The system call that it is off the CPU in, where that is open.
    pub open: Option<Open>,
}

/// What no bin has yet of a system call that a thread is off the CPU in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub nr: u64,
    pub futex: Option<u64>,
    /// Of the window.
    pub ns: u64,
}

impl Sum {
    pub fn of(totals: &Totals, wall_ns: u64) -> Self {
        let times = StateTimes {
            off_ns: totals.off_ns,
            unattributed_ns: totals.unattributed_ns,
            gpu_sync_ns: totals.gpu_sync_ns,
            ..StateTimes::default()
        };
        Self { wall_ns, times, counts: totals.counts, ..Self::default() }
    }

    /// The counters of a kind, with what is open.
    pub fn of_kind<'a>(&self, totals: &'a Totals, kind: Kind) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let open = self.open.and_then(|open| match kind {
            Kind::CallTime => Some((open.nr, open.ns)),
            Kind::FutexTime => open.futex.map(|futex| (futex, open.ns)),
            _ => None,
        });
        let entries = totals.rest.entries();
        let known = |sub: u64| of_kind(entries, kind).any(|(key, _)| key == sub);
        let alone = open.filter(|(sub, _)| !known(*sub));
        let more = move |sub: u64| open.map_or(0, |(key, ns)| if key == sub { ns } else { 0 });
        of_kind(entries, kind).map(move |(sub, value)| (sub, value + more(sub))).chain(alone)
    }
}
