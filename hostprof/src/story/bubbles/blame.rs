//! The sums of a bubble ledger: idle nanoseconds by what the launching thread did.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use super::{
    model::{Bubble, IdleAccount, Overlap},
    recent::Behind,
};
use crate::{ledger::Part, lengths::Lengths, table::GpuPmRow};

/// The longest gaps told one by one.
const LONGEST: usize = 20;

/// A call that the thread was in: of the kernel, of CUDA's library (by its kind and name there), or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Within {
    pub syscall_nr: Option<i32>,
    pub cuda: Option<(bool, usize)>,
}

/// What the launching thread did at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doing {
    pub part: Part,
    pub within: Within,
    /// What it waited for; `None` where it was not blocked.
    pub behind: Option<Behind>,
}

/// A part of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// No request was in flight.
    Outside,
    /// Records are missing.
    Withheld,
    /// The thread was not recorded then.
    NotRecorded,
    Of(Doing),
}

/// The idle time of one state and call.
#[derive(Default)]
pub struct Cell {
    pub idle_ns: u64,
    /// Where in a sample the GPU was idle is not known: at least so much was in this state, and at most.
    pub least_ns: u64,
    pub most_ns: u64,
    pub in_gaps_ns: u64,
    /// Gaps of which it had most.
    pub gaps: Lengths,
    pub behind: BTreeMap<Behind, u64>,
}

/// A cell and what it is of.
pub type Blamed = (Part, Within, Cell);

/// Sums under way.
#[derive(Default)]
pub struct Blame {
    places: HashMap<(Part, Within), usize>,
    keys: Vec<(Part, Within)>,
    cells: Vec<Cell>,
    pub account: IdleAccount,
    pub overlap: Overlap,
    /// Of the sample under way: time and idle time of each cell.
    sample: Vec<(usize, u64, u64)>,
    /// Of the gap under way: idle time of each cell.
    gap: Vec<(usize, u64)>,
    pub gaps: Lengths,
    /// Longest first.
    pub longest: Vec<(Bubble, usize)>,
}

impl Blame {
    /// Adds a part of a sample, of so many nanoseconds, of which the GPU was idle for some.
    pub fn slice(&mut self, slice: Slice, ns: u64, idle_ns: u64) {
        let account = &mut self.account;
        if slice != Slice::Outside {
            account.scope_sampled_ns += ns;
        }
        let doing = match slice {
            Slice::Outside => {
                account.outside_ns += idle_ns;
                return;
            }
            Slice::Withheld => {
                account.withheld_ns += idle_ns;
                return;
            }
            Slice::NotRecorded => {
                account.not_recorded_ns += idle_ns;
                return;
            }
            Slice::Of(doing) => doing,
        };
        account.blamed_ns += idle_ns;
        self.overlap.add(doing.part == Part::OnCpu, ns, idle_ns);
        let place = self.place(doing.part, doing.within);
        let cell = &mut self.cells[place];
        cell.idle_ns += idle_ns;
        if let Some(behind) = doing.behind.filter(|_| idle_ns > 0) {
            *cell.behind.entry(behind).or_default() += idle_ns;
        }
        match self.sample.iter_mut().find(|(of, ..)| *of == place) {
            Some((_, time, idle)) => (*time, *idle) = (*time + ns, *idle + idle_ns),
            None => self.sample.push((place, ns, idle_ns)),
        }
    }

    /// Ends a sample that was so long and idle for so long. Its idle time was spread evenly: how far that may be off.
    pub fn end_sample(&mut self, row: &GpuPmRow, idle_ns: u64, in_gap: bool) {
        self.account.sampled_ns += row.dur_ns;
        self.account.idle_ns += idle_ns;
        for (place, time, idle) in self.sample.drain(..) {
            let cell = &mut self.cells[place];
            let elsewhere = row.dur_ns.saturating_sub(time);
            cell.least_ns += idle_ns.saturating_sub(elsewhere).min(idle);
            cell.most_ns += idle_ns.min(time).max(idle);
            if in_gap && idle > 0 {
                cell.in_gaps_ns += idle;
                match self.gap.iter_mut().find(|(of, _)| *of == place) {
                    Some((_, sum)) => *sum += idle,
                    None => self.gap.push((place, idle)),
                }
            }
        }
    }

    /// Ends a gap, which lay between two instants.
    pub fn end_gap(&mut self, start_mono_ns: u64, end_mono_ns: u64) {
        let most = self.gap.iter().copied().max_by_key(|&(place, ns)| (ns, Reverse(place)));
        let idle_ns: u64 = self.gap.drain(..).map(|(_, ns)| ns).sum();
        let Some((place, most_ns)) = most else { return };
        self.gaps.add(idle_ns);
        self.cells[place].gaps.add(idle_ns);
        let at = self.longest.partition_point(|(other, _)| other.idle_ns >= idle_ns);
        if at < LONGEST {
            let bubble = Bubble {
                start_mono_ns,
                end_mono_ns,
                idle_ns,
                most_ns,
                state: self.keys[place].0.word(),
                call: None,
            };
            self.longest.insert(at, (bubble, place));
            self.longest.truncate(LONGEST);
        }
    }

    /// What was blamed, most time first, and the longest gaps with the call that has most of each.
    pub fn finish(self) -> (Vec<Blamed>, Vec<(Bubble, Within)>) {
        let within = |place: usize| self.keys[place].1;
        let longest = self.longest.iter().map(|(bubble, place)| (bubble.clone(), within(*place))).collect();
        let mut cells: Vec<_> =
            self.keys.iter().zip(self.cells).map(|(&(part, within), cell)| (part, within, cell)).collect();
        cells.retain(|(_, _, cell)| cell.idle_ns > 0);
        cells.sort_by_key(|(part, within, cell)| (Reverse(cell.idle_ns), *part, *within));
        (cells, longest)
    }

    fn place(&mut self, part: Part, within: Within) -> usize {
        *self.places.entry((part, within)).or_insert_with(|| {
            self.keys.push((part, within));
            self.cells.push(Cell::default());
            self.keys.len() - 1
        })
    }
}
