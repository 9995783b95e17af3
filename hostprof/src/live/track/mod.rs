//! One thread: its episodes in bins of time.

mod bin;
mod counted;
mod window;

use std::{collections::VecDeque, ops::Range};

use self::bin::{Adding, Bin, futex_of, is_woken};
use super::{
    bins::{BIN_NS, Bins, Window},
    counters::{Kind, Sliding, bucket, key},
    group::{GroupBins, counts},
    sums::Totals,
};
use crate::{
    ledger::{Part, end_of},
    table::{CudaCallRow, OffCpuRow, PageFaultRow, State},
};

/// What is known of a thread beside its rows.
#[derive(Clone, Debug, Default)]
pub struct Life {
    pub tid: u32,
    pub tgid: u32,
    pub comm: String,
    /// Empty for none.
    pub role: String,
    /// When recording of it began.
    pub begin_ns: u64,
    /// When that ended; `None` while it goes on.
    pub end_ns: Option<u64>,
    /// Whether it ended itself.
    pub exited: bool,
}

/// A thread.
#[derive(Debug)]
pub(super) struct Track {
    pub life: Life,
    /// When its last row ended.
    pub at_ns: u64,
    /// The episode that is open now, up to when it was looked at.
    pub open: Option<OffCpuRow>,
    bins: Bins<Bin>,
    /// What these bins come to, by number.
    slid: Range<u64>,
    totals: Totals,
    /// Waits for a CPU by bucket, of these bins: where somebody looks at threads.
    waits_slid: Range<u64>,
    waits: Sliding,
    /// The longest wait for a CPU in those of `slid`, and the bin in which it ended.
    most: (u64, u64),
    /// The place of its group.
    pub group: usize,
    /// In the order in which they end.
    faults: VecDeque<PageFaultRow>,
    /// Stretches of the last row, by its state: what a row that contradicts it is held against.
    last: [(Part, u64, u64); 2],
    last_start: u64,
    /// Some of its switches have no record.
    pub lossy: bool,
    /// Of such a thread: time off no row, which is on a CPU unless records were lost in it.
    gaps: VecDeque<(u64, u64)>,
}

impl Track {
    pub fn new(life: Life, group: usize) -> Self {
        Self {
            at_ns: life.begin_ns,
            life,
            open: None,
            bins: Bins::default(),
            slid: 0..0,
            totals: Totals::default(),
            waits_slid: 0..0,
            waits: Sliding::default(),
            most: (0, 0),
            group,
            faults: VecDeque::new(),
            last: [(Part::Unattributed, 0, 0); 2],
            last_start: 0,
            lossy: false,
            gaps: VecDeque::new(),
        }
    }

    /// Adds what of an episode lies in `kept`, and to its group. Rows that contradict one another leave the time that
    /// both tell unattributed, as the ledger does.
    pub fn episode(&mut self, row: &OffCpuRow, kept: &Range<u64>, group: &mut GroupBins) {
        let (start, end) = (row.ts_mono_ns, end_of(row));
        if start <= self.last_start {
            // A replay reads what reaches into its next stretch again.
            self.at_ns = start;
        }
        self.last_start = start;
        if self.lossy && start > self.at_ns {
            self.gaps.push_back((self.at_ns, start));
        }
        if row.state == State::Runqueue && self.at_ns == self.life.begin_ns {
            // A new thread lives since it may run.
            (self.life.begin_ns, self.at_ns) = (start, start);
        }
        if start < self.at_ns {
            self.contest(start, kept, group);
        }
        if kept.contains(&start) && row.cpu_out.is_some() {
            self.bins.at(start / BIN_NS).cpu = row.cpu_out;
        }
        let parts = parts(row).map(|(part, from, to)| (part, from.max(self.at_ns), to.max(self.at_ns)));
        for (part, from, to) in parts {
            let (mut at, to) = (from.max(kept.start), to.min(kept.end));
            let of = key_of(part);
            let blocked = (part == Part::Off(row.state) && !row.state.is_runnable()).then_some(row);
            while at < to {
                let number = at / BIN_NS;
                let bin_end = (number + 1) * BIN_NS;
                let next = bin_end.min(to);
                group.add(number, of, next - at);
                self.with(number, |adding| {
                    adding.add(of, next - at);
                    if let Some(row) = blocked {
                        adding.call(row, next - at);
                    }
                    if next == bin_end
                        && let Part::Off(state) = part
                    {
                        adding.bin.at_end = Some(state);
                        adding.bin.futex_at_end = blocked.and_then(futex_of);
                    }
                });
                at = next;
            }
        }
        self.last = parts;
        self.at_ns = self.at_ns.max(end);
        if !row.open_end && kept.contains(&end) {
            let number = end / BIN_NS;
            if is_woken(row) {
                group.add(number, key(Kind::Runqueue, bucket(row.runqueue_ns)), 1);
            }
            self.with(number, |adding| adding.ended(row));
        }
    }

    /// Adds what of a wait for the GPU lies in `kept`, and to its group. What it spent on a CPU is spread evenly over it:
    /// where it is longer than a bin and was off the CPU too, a bin may have more of it than is so.
    pub fn gpu_sync(&mut self, row: &CudaCallRow, kept: &Range<u64>, group: &mut GroupBins) {
        let Some(ns) = row.gpu_sync_ns().filter(|ns| *ns > 0) else { return };
        let end = (row.ts_mono_ns + row.dur_ns).min(kept.end);
        let mut at = row.ts_mono_ns.max(kept.start);
        let of = key_of(Part::GpuSync);
        while at < end {
            let number = at / BIN_NS;
            let next = ((number + 1) * BIN_NS).min(end);
            let part = (u128::from(ns) * u128::from(next - at) / u128::from(row.dur_ns)) as u64;
            group.add(number, of, part);
            self.with(number, |adding| adding.add(of, part));
            at = next;
        }
    }

    /// Has something added to a bin, and to the sums of the windows that it lies in.
    #[inline]
    fn with(&mut self, number: u64, add: impl FnOnce(&mut Adding<'_>)) {
        let mut adding = Adding {
            bin: self.bins.at(number),
            sums: self.slid.contains(&number).then_some((&mut self.totals, &mut self.most)),
            waits: self.waits_slid.contains(&number).then_some(&mut self.waits),
            forgets: false,
        };
        add(&mut adding);
        if adding.forgets {
            // What was summed is no longer what the bin has.
            (self.slid, self.totals, self.most) = (0..0, Totals::default(), (0, 0));
        }
    }

    /// A row begins before the last one has ended: what that said of the time from then on is not known.
    #[cold]
    fn contest(&mut self, start: u64, kept: &Range<u64>, group: &mut GroupBins) {
        for (part, from, to) in self.last {
            let of = key_of(part);
            let (mut at, to) = (from.max(start).max(kept.start), to.min(kept.end));
            while at < to && part != Part::Unattributed {
                let number = at / BIN_NS;
                let next = ((number + 1) * BIN_NS).min(to);
                let unattributed = key_of(Part::Unattributed);
                group.take(number, of, next - at);
                group.add(number, unattributed, next - at);
                self.with(number, |adding| {
                    adding.add(of, (next - at).wrapping_neg());
                    adding.add(unattributed, next - at);
                });
                at = next;
            }
        }
    }

    /// What its group counts of it, by bin.
    pub fn grouped(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.bins.iter().flat_map(|bin| {
            let entries = bin.bag.entries().filter(|(key, _)| counts(*key));
            entries.map(|(key, value)| (bin.number, key, value))
        })
    }

    /// Adds faults.
    pub fn faults(&mut self, row: &PageFaultRow) {
        let end = row.ts_mono_ns + row.dur_ns;
        let later =
            self.faults.iter().rev().take_while(|known| known.ts_mono_ns + known.dur_ns > end).count();
        self.faults.insert(self.faults.len() - later, row.clone());
    }

    /// Time that seems to have been on a CPU, of which records were lost.
    pub fn lost(&mut self, gap: (u64, u64)) {
        self.gaps.push_back(gap);
    }

    /// Forgets what was before.
    pub fn forget_before(&mut self, ns: u64) {
        let Self { bins, slid, totals, waits_slid, waits, .. } = self;
        bins.forget_before(ns, |bin| {
            if slid.contains(&bin.number) {
                totals.take_all(&bin.bag);
                totals.counts.take(&bin.counts);
            }
            if waits_slid.contains(&bin.number) {
                bin.waits().for_each(|(key, value)| waits.add(key, value.wrapping_neg()));
            }
        });
        while self.faults.pop_front_if(|row| row.ts_mono_ns + row.dur_ns < ns).is_some() {}
        while self.gaps.pop_front_if(|gap| gap.1 < ns).is_some() {}
    }

    /// Forgets what its rows told.
    pub fn clear(&mut self) {
        self.bins.clear();
        (self.slid, self.totals, self.most) = (0..0, Totals::default(), (0, 0));
        (self.waits_slid, self.waits) = (0..0, Sliding::default());
        self.faults.clear();
        (self.at_ns, self.last_start) = (self.life.begin_ns, 0);
    }

    /// How many bins it holds.
    pub fn bins(&self) -> usize {
        self.bins.len()
    }

    /// Whether it lived in a window.
    pub fn lives_in(&self, window: &Window) -> bool {
        self.life.begin_ns < window.to && self.life.end_ns.is_none_or(|end| end > window.from)
    }
}

#[inline]
fn key_of(part: Part) -> u64 {
    match part {
        Part::Off(state) => key(Kind::State, state as u64),
        Part::GpuSync => key(Kind::GpuSync, 0),
        Part::OnCpu | Part::Unattributed => key(Kind::Unattributed, 0),
    }
}

/// The stretches of an episode: the rule of table `off_cpu`. A thread that stayed runnable was never blocked.
#[inline]
fn parts(row: &OffCpuRow) -> [(Part, u64, u64); 2] {
    let (start, end) = (row.ts_mono_ns, end_of(row));
    let wake = start + row.blocked_ns;
    let before = if row.state.is_runnable() { Part::Unattributed } else { Part::Off(row.state) };
    [(before, start, wake), (Part::Off(row.state.once_runnable()), wake, end)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::CudaKind;

    #[test]
    fn a_wait_for_the_gpu_is_taken_out_of_the_time_on_a_cpu_bin_by_bin() {
        let mut group = GroupBins::new(1, "");
        let mut track = Track::new(Life { tid: 1, tgid: 1, ..Life::default() }, 0);
        let row = CudaCallRow {
            ts_mono_ns: BIN_NS / 2,
            dur_ns: BIN_NS,
            off_cpu_ns: Some(BIN_NS / 5),
            kind: CudaKind::Sync,
            ..CudaCallRow::default()
        };
        track.gpu_sync(&row, &(0..u64::MAX), &mut group);
        track.gpu_sync(&CudaCallRow { kind: CudaKind::Copy, ..row }, &(0..u64::MAX), &mut group);
        for from in [0, BIN_NS] {
            let window = Window { from, to: from + BIN_NS };
            track.slide(&window);
            let times = track.sum(&window, &[], |_, _, _| ()).times;
            assert_eq!((times.gpu_sync_ns, times.on_cpu_ns), (BIN_NS * 2 / 5, BIN_NS * 3 / 5));
        }
    }
}
