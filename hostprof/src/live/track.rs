//! One thread: its episodes in bins of time, and what they come to in a window.

use std::{collections::VecDeque, ops::Range};

use super::{
    bins::{self, BIN_NS, Window, bin},
    counters::{Bag, IRQ, Kind, Sliding, Spent, Sums, bucket, key, of_kind},
    group::{GroupBins, counts},
};
use crate::{
    ledger::{StateTimes, end_of},
    table::{CudaCallRow, OffCpuRow, PageFaultRow, State, WakeSource, Word as _},
};

/// `futex`, `futex_wait`, and what goes on with one of them after a stop: their first argument is an address.
const BY_ADDRESS: [i32; 3] = [202, 455, 219];

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

/// A thread's part of a bin.
#[derive(Debug, Default)]
struct Bin {
    number: u64,
    /// The state in which the bin's last nanosecond was spent; `None` on a CPU.
    at_end: Option<State>,
    /// The futex waited for then.
    futex_at_end: Option<u64>,
    /// The CPU of its last switch.
    cpu: Option<u16>,
    /// Its longest wait for a CPU that ended.
    most_ns: u64,
    /// Sums, which a window that slides adds and takes away.
    bag: Bag,
    /// Lengths by bucket, which only the thread in depth is asked for.
    lengths: Bag,
}

/// A thread.
#[derive(Debug)]
pub(super) struct Track {
    pub life: Life,
    /// When its last row ended.
    pub at_ns: u64,
    /// The episode that is open now, up to when it was looked at.
    pub open: Option<OffCpuRow>,
    bins: VecDeque<Bin>,
    /// What the bags of these bins come to, by number.
    slid: Range<u64>,
    sliding: Sliding,
    /// The place of its group.
    pub group: usize,
    faults: VecDeque<PageFaultRow>,
}

/// What a thread comes to in a window.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub wall_ns: u64,
    pub times: StateTimes,
    /// Counters, by key.
    pub counters: Vec<(u64, u64)>,
    pub now: Option<State>,
    /// The futex waited for at the end.
    pub futex_now: Option<u64>,
    pub cpu: Option<u16>,
    pub minor_faults: f64,
    pub major_faults: f64,
}

impl Sum {
    pub fn count(&self, kind: Kind) -> u64 {
        of_kind(&self.counters, kind).map(|(_, count)| count).sum()
    }
}

impl Track {
    pub fn new(life: Life, group: usize) -> Self {
        Self {
            at_ns: life.begin_ns,
            life,
            open: None,
            bins: VecDeque::new(),
            slid: 0..0,
            sliding: Sliding::default(),
            group,
            faults: VecDeque::new(),
        }
    }

    /// Adds what of an episode lies in `kept`, and to its group.
    pub fn episode(&mut self, row: &OffCpuRow, kept: &Range<u64>, group: &mut GroupBins) {
        let (start, end) = (row.ts_mono_ns, end_of(row));
        if row.state == State::Runqueue && self.at_ns == self.life.begin_ns {
            // A new thread lives since it may run.
            self.life.begin_ns = start;
        }
        self.at_ns = self.at_ns.max(end);
        if kept.contains(&start) && row.cpu_out.is_some() {
            self.bin(start / BIN_NS).cpu = row.cpu_out;
        }
        let call = row.syscall_nr.filter(|_| row.blocked_ns > 0);
        let futex = futex_of(row);
        for (state, from, to) in parts(row) {
            let blocked = state == row.state && !state.is_runnable();
            let (mut at, to) = (from.max(kept.start), to.min(kept.end));
            while at < to {
                let number = at / BIN_NS;
                let bin_end = (number + 1) * BIN_NS;
                let next = bin_end.min(to);
                let ns = next - at;
                self.add(number, key(Kind::State, state.index() as u64), ns);
                group.add(number, key(Kind::State, state.index() as u64), ns);
                if blocked && let Some(nr) = call {
                    self.add(number, key(Kind::CallTime, nr as u64), ns);
                    if let Some(address) = futex {
                        self.add(number, key(Kind::FutexTime, address), ns);
                    }
                }
                if next == bin_end {
                    let bin = self.bin(number);
                    (bin.at_end, bin.futex_at_end) = (Some(state), futex.filter(|_| blocked));
                }
                at = next;
            }
        }
        if !row.open_end && kept.contains(&end) {
            self.ended(row, end / BIN_NS, group);
        }
    }

    /// Adds what of a wait for the GPU lies in `kept`, and to its group. What it spent on a CPU is spread evenly over it:
    /// where it is longer than a bin and was off the CPU too, a bin may have more of it than is so.
    pub fn gpu_sync(&mut self, row: &CudaCallRow, kept: &Range<u64>, group: &mut GroupBins) {
        let Some(ns) = row.gpu_sync_ns().filter(|ns| *ns > 0) else { return };
        let end = (row.ts_mono_ns + row.dur_ns).min(kept.end);
        let mut at = row.ts_mono_ns.max(kept.start);
        while at < end {
            let number = at / BIN_NS;
            let next = ((number + 1) * BIN_NS).min(end);
            let part = (u128::from(ns) * u128::from(next - at) / u128::from(row.dur_ns)) as u64;
            self.add(number, key(Kind::GpuSync, 0), part);
            group.add(number, key(Kind::GpuSync, 0), part);
            at = next;
        }
    }

    /// Counts an episode where it ended.
    fn ended(&mut self, row: &OffCpuRow, number: u64, group: &mut GroupBins) {
        self.add(number, key(Kind::Rows, 0), 1);
        if row.state != State::Runqueue {
            self.add(number, key(Kind::Switches, 0), 1);
            if !row.voluntary {
                self.add(number, key(Kind::Involuntary, 0), 1);
            }
        }
        if !row.state.is_runnable() && row.state != State::Exit {
            let waited = key(Kind::Runqueue, bucket(row.runqueue_ns));
            self.add(number, key(Kind::Waits, 0), 1);
            group.add(number, waited, 1);
            let bin = self.bin(number);
            bin.lengths.add(waited, 1);
            bin.most_ns = bin.most_ns.max(row.runqueue_ns);
        }
        if let Some(nr) = row.syscall_nr.filter(|_| row.blocked_ns > 0) {
            let lengths = &mut self.bin(number).lengths;
            lengths.add(key(Kind::CallLength, (nr as u64) << 16 | bucket(row.blocked_ns)), 1);
            lengths.add(key(Kind::CallMost, nr as u64), row.blocked_ns);
            if let Some(address) = futex_of(row) {
                self.add(number, key(Kind::FutexWaits, address), 1);
            }
        }
        match (row.wake_source, row.waker_tid) {
            (Some(WakeSource::Task), Some(tid)) => self.add(number, key(Kind::Waker, tid.into()), 1),
            (Some(WakeSource::Irq), _) => self.add(number, key(Kind::Waker, IRQ), 1),
            _ => {}
        }
        if row.cpu_in.is_some() {
            self.bin(number).cpu = row.cpu_in;
        }
    }

    fn add(&mut self, number: u64, key: u64, value: u64) {
        self.bin(number).bag.add(key, value);
        if self.slid.contains(&number) {
            self.sliding.add(key, value);
        }
    }

    /// Moves the window over the bins.
    pub fn slide(&mut self, window: &Window) {
        let to = window.from / BIN_NS..window.to / BIN_NS;
        let from = std::mem::replace(&mut self.slid, to.clone());
        if from == to {
            return;
        }
        if from.end <= to.start || to.end <= from.start {
            self.sliding.clear();
            self.slide_over(&to, true);
            return;
        }
        self.slide_over(&(from.start..to.start.max(from.start)), false);
        self.slide_over(&(to.end.min(from.end)..from.end), false);
        self.slide_over(&(to.start..from.start.max(to.start)), true);
        self.slide_over(&(from.end.min(to.end)..to.end), true);
    }

    fn slide_over(&mut self, numbers: &Range<u64>, entering: bool) {
        let begin = self.bins.partition_point(|bin| bin.number < numbers.start);
        for bin in self.bins.range(begin..).take_while(|bin| bin.number < numbers.end) {
            for (key, value) in bin.bag.entries() {
                if entering {
                    self.sliding.add(key, value);
                } else {
                    self.sliding.take(key, value);
                }
            }
        }
    }

    /// What its group counts of it, by bin.
    pub fn grouped(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.bins.iter().flat_map(|bin| {
            let entries = bin.bag.entries().chain(bin.lengths.entries());
            entries.filter(|(key, _)| counts(*key)).map(|(key, value)| (bin.number, key, value))
        })
    }

    /// Adds faults.
    pub fn faults(&mut self, row: &PageFaultRow) {
        self.faults.push_back(row.clone());
    }

    /// Forgets what was before.
    pub fn forget_before(&mut self, ns: u64) {
        while let Some(bin) = self.bins.pop_front_if(|bin| (bin.number + 1) * BIN_NS <= ns) {
            if self.slid.contains(&bin.number) {
                bin.bag.entries().for_each(|(key, value)| self.sliding.take(key, value));
            }
        }
        while self.faults.front().is_some_and(|row| row.ts_mono_ns + row.dur_ns < ns) {
            self.faults.pop_front();
        }
    }

    /// Forgets all but its life.
    pub fn clear(&mut self) {
        self.bins.clear();
        self.sliding.clear();
        self.slid = 0..0;
        self.faults.clear();
        self.at_ns = self.life.begin_ns;
    }

    /// How many bins it holds.
    pub fn bins(&self) -> usize {
        self.bins.len()
    }

    /// Whether it lived in a window.
    pub fn lives_in(&self, window: &Window) -> bool {
        self.life.begin_ns < window.to && self.life.end_ns.is_none_or(|end| end > window.from)
    }

    /// What it comes to in a window, over which [`Track::slide`] moved. Lengths are told where `exact`.
    pub fn sum(&self, window: &Window, exact: bool, mut open: impl FnMut(State, u64, u64)) -> Sum {
        let from = window.from.max(self.life.begin_ns);
        let to = self.life.end_ns.map_or(window.to, |end| end.min(window.to));
        let mut sum = Sum { wall_ns: to.saturating_sub(from), ..Sum::default() };
        let mut sums = Sums::of(self.sliding.entries());
        let (first, last) = (window.from / BIN_NS, window.to / BIN_NS);
        let begin = self.bins.partition_point(|bin| bin.number < first);
        let mut most_ns = 0;
        for bin in self.bins.range(begin..).take_while(|bin| bin.number < last) {
            if exact {
                bin.lengths.entries().for_each(|(key, value)| sums.add(key, value));
            }
            if bin.number + 1 == last {
                (sum.now, sum.futex_now) = (bin.at_end, bin.futex_at_end);
            }
            sum.cpu = bin.cpu.or(sum.cpu);
            most_ns = most_ns.max(bin.most_ns);
        }
        sums.add(key(Kind::RunqueueMost, 0), most_ns);
        if let Some(row) = self.open.as_ref().filter(|row| row.ts_mono_ns >= self.at_ns) {
            let start = row.ts_mono_ns;
            if start >= from && start < to {
                sum.cpu = row.cpu_out.or(sum.cpu);
            }
            for (state, start, end) in parts(row) {
                let blocked = state == row.state && !state.is_runnable();
                let (start, end) = (start.max(from), end.min(to));
                if start >= end {
                    continue;
                }
                open(state, start, end);
                sums.add(key(Kind::State, state.index() as u64), end - start);
                if blocked && let Some(nr) = row.syscall_nr {
                    sums.add(key(Kind::CallTime, nr as u64), end - start);
                    if let Some(address) = futex_of(row) {
                        sums.add(key(Kind::FutexTime, address), end - start);
                    }
                }
                if end == window.to {
                    (sum.now, sum.futex_now) = (Some(state), futex_of(row).filter(|_| blocked));
                }
            }
        }
        if self.life.exited && self.life.end_ns.is_some_and(|end| end < window.to) {
            sum.now = Some(State::Exit);
        }
        sum.counters = sums.take();
        for (state, ns) in of_kind(&sum.counters, Kind::State) {
            sum.times.off_ns[state as usize] += ns;
        }
        let off: u64 = sum.times.off_ns.iter().sum();
        sum.times.on_cpu_ns = sum.wall_ns.saturating_sub(off);
        sum.times.carve_gpu_sync(sum.count(Kind::GpuSync));
        for row in &self.faults {
            let part = window.part_of(row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);
            sum.minor_faults += row.minor as f64 * part;
            sum.major_faults += row.major as f64 * part;
        }
        sum
    }

    /// Time off the CPU by state, and waits for the GPU on it, in a window, each with its bin's beginning.
    pub fn states(&self, window: &Window, mut each: impl FnMut(Spent, u64, u64)) {
        let (first, last) = (window.from / BIN_NS, window.to / BIN_NS);
        let begin = self.bins.partition_point(|bin| bin.number < first);
        for bin in self.bins.range(begin..).take_while(|bin| bin.number < last) {
            for (key, value) in bin.bag.entries() {
                if let Some(spent) = Spent::of(key) {
                    each(spent, bin.number * BIN_NS, value);
                }
            }
        }
    }

    fn bin(&mut self, number: u64) -> &mut Bin {
        bin(&mut self.bins, number)
    }
}

impl bins::Bin for Bin {
    fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn settle(&mut self) {
        self.bag.settle();
        self.lengths.settle();
    }
}

/// The stretches of an episode and their states: the rule of table `off_cpu`.
pub(super) fn parts(row: &OffCpuRow) -> [(State, u64, u64); 2] {
    let (start, end) = (row.ts_mono_ns, end_of(row));
    let wake = start + row.blocked_ns;
    [(row.state, start, wake), (row.state.once_runnable(), wake, end)]
}

/// The futex that an episode waited for, where the call's first argument is its address.
fn futex_of(row: &OffCpuRow) -> Option<u64> {
    let by_address = row.state == State::Futex && row.syscall_nr.is_some_and(|nr| BY_ADDRESS.contains(&nr));
    row.arg0.filter(|_| by_address)
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
            let times = track.sum(&window, false, |_, _, _| ()).times;
            assert_eq!((times.gpu_sync_ns, times.on_cpu_ns), (BIN_NS * 2 / 5, BIN_NS * 3 / 5));
        }
    }
}
