//! What a thread's bins come to in a window, which slides over them.

use super::{Track, bin::futex_of, parts};
use crate::{
    ledger::{Part, overlaps},
    live::{
        bins::{self, BIN_NS, Window},
        counters::{Kind, Sums, is_length},
        group::part_of,
        sums::{Open, Sum},
    },
    table::{OffCpuRow, PageFaultRow, State},
};

impl Track {
    /// Moves the window over the bins.
    pub fn slide(&mut self, window: &Window) {
        let to = window.bins();
        if self.slid == to {
            return;
        }
        let (leaves, enters) = bins::moved(&self.slid, &to);
        for bin in leaves.iter().flat_map(|numbers| self.bins.within(numbers)) {
            self.totals.take_all(&bin.bag);
            self.totals.counts.take(&bin.counts);
        }
        for bin in enters.iter().flat_map(|numbers| self.bins.within(numbers)) {
            self.totals.add_all(&bin.bag);
            self.totals.counts.add(&bin.counts);
            self.most = self.most.max((bin.most_ns, bin.number));
        }
        if !to.contains(&self.most.1) {
            let most = self.bins.within(&to).map(|bin| (bin.most_ns, bin.number)).max();
            self.most = most.unwrap_or((0, to.start));
        }
        self.slid = to;
    }

    /// Moves the window over the bins for [`Track::waits`].
    pub fn slide_waits(&mut self, window: &Window) {
        let to = window.bins();
        let (leaves, enters) = bins::moved(&self.waits_slid, &to);
        for bin in leaves.iter().flat_map(|numbers| self.bins.within(numbers)) {
            bin.waits().for_each(|(key, value)| self.waits.add(key, value.wrapping_neg()));
        }
        for bin in enters.iter().flat_map(|numbers| self.bins.within(numbers)) {
            bin.waits().for_each(|(key, value)| self.waits.add(key, value));
        }
        self.waits_slid = to;
    }

    /// Waits for a CPU by bucket, in the window over which [`Track::slide_waits`] moved.
    pub fn waits(&self) -> &[(u64, u64)] {
        self.waits.entries()
    }

    /// What it comes to in a window, over which [`Track::slide`] moved. `each` sees the stretches that no bin has: of
    /// an episode that is open, and those in which, by `lost`, records are missing.
    pub fn sum(&self, window: &Window, lost: &[(u64, u64)], mut each: impl FnMut(Part, u64, u64)) -> Sum {
        let from = window.from.max(self.life.begin_ns);
        let to = self.life.end_ns.map_or(window.to, |end| end.min(window.to));
        let mut sum = Sum::of(&self.totals, to.saturating_sub(from));
        sum.most_ns = self.most.0;
        let newest = self.bins.within(&self.slid);
        if let Some(bin) = newest.clone().next_back().filter(|bin| bin.number + 1 == self.slid.end) {
            (sum.now, sum.futex_now) = (bin.at_end, bin.futex_at_end);
        }
        sum.cpu = newest.rev().find_map(|bin| bin.cpu);
        let open = self.open.as_ref().filter(|row| row.ts_mono_ns >= self.at_ns);
        if let Some(row) = open {
            Self::add_open(row, (from, to), window, &mut sum, &mut each);
        }
        let now = self.lossy.then(|| (self.at_ns, open.map_or(to, |row| row.ts_mono_ns)));
        for gap in self.gaps.iter().copied().chain(now).filter(|gap| overlaps(lost, gap.0, gap.1)) {
            let (start, end) = (gap.0.max(from), gap.1.min(to));
            if start < end {
                each(Part::Unattributed, start, end);
                sum.times.unattributed_ns += end - start;
            }
        }
        if self.life.exited && self.life.end_ns.is_some_and(|end| end < window.to) {
            sum.now = Some(State::Exit);
        }
        let off: u64 = sum.times.off_ns.iter().sum();
        sum.times.on_cpu_ns = sum.wall_ns.saturating_sub(off + sum.times.unattributed_ns);
        let waits = std::mem::take(&mut sum.times.gpu_sync_ns);
        sum.times.carve_gpu_sync(waits);
        let ended = |row: &&PageFaultRow| row.ts_mono_ns + row.dur_ns >= window.from;
        for row in self.faults.iter().rev().take_while(ended) {
            let part = window.part_of(row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);
            sum.minor_faults += row.minor as f64 * part;
            sum.major_faults += row.major as f64 * part;
        }
        sum
    }

    fn add_open(
        row: &OffCpuRow,
        (from, to): (u64, u64),
        window: &Window,
        sum: &mut Sum,
        each: &mut impl FnMut(Part, u64, u64),
    ) {
        let start = row.ts_mono_ns;
        if start >= from && start < to {
            sum.cpu = row.cpu_out.or(sum.cpu);
        }
        for (part, start, end) in parts(row) {
            let (start, end) = (start.max(from), end.min(to));
            if start >= end {
                continue;
            }
            each(part, start, end);
            let Part::Off(state) = part else {
                sum.times.unattributed_ns += end - start;
                continue;
            };
            let blocked = state == row.state && !state.is_runnable();
            sum.times.off_ns[state as usize] += end - start;
            if blocked && let Some(nr) = row.syscall_nr {
                sum.open = Some(Open { nr: nr as u64, futex: futex_of(row), ns: end - start });
            }
            if end == window.to {
                (sum.now, sum.futex_now) = (Some(state), futex_of(row).filter(|_| blocked));
            }
        }
    }

    /// Counters of one kind in the window of a sum, in the order of their keys but for what is open.
    pub fn of_kind<'a>(&'a self, sum: &Sum, kind: Kind) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        sum.of_kind(&self.totals, kind)
    }

    /// Lengths by bucket, and the longest by system call, in a window.
    pub fn lengths(&self, window: &Window) -> Vec<(u64, u64)> {
        let mut sums = Sums::default();
        for bin in self.bins.within(&window.bins()) {
            let lengths = bin.bag.entries().filter(|(key, _)| is_length(*key));
            lengths.for_each(|(key, value)| sums.add(key, value));
        }
        sums.take()
    }

    /// Time off the CPU by state in a window, each with its bin's beginning.
    pub fn parts(&self, window: &Window, mut each: impl FnMut(Part, u64, u64)) {
        for bin in self.bins.within(&window.bins()) {
            for (key, value) in bin.bag.entries() {
                if let Some(part) = part_of(key) {
                    each(part, bin.number * BIN_NS, value);
                }
            }
        }
    }
}
