//! One thread: its episodes in bins of time, and what they come to in a window.

use std::{collections::VecDeque, ops::Range};

use super::{
    bins::{BIN_NS, Window},
    counters::{Bag, IRQ, Kind, Sums, bucket, key, of_kind},
};
use crate::{
    ledger::{StateTimes, end_of},
    table::{OffCpuRow, PageFaultRow, State, WakeSource, Word as _},
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
#[derive(Debug)]
struct Bin {
    number: u64,
    /// The state in which the bin's last nanosecond was spent; `None` on a CPU.
    at_end: Option<State>,
    /// The futex waited for then.
    futex_at_end: Option<u64>,
    /// The CPU of its last switch.
    cpu: Option<u16>,
    bag: Bag,
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
    faults: VecDeque<PageFaultRow>,
}

/// What a thread comes to in a window.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub wall_ns: u64,
    pub times: StateTimes,
    /// Counters but those of states, by key.
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
    pub fn new(life: Life) -> Self {
        Self { at_ns: life.begin_ns, life, open: None, bins: VecDeque::new(), faults: VecDeque::new() }
    }

    /// Adds what of an episode lies in `kept`.
    pub fn episode(&mut self, row: &OffCpuRow, kept: &Range<u64>) {
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
            self.spread(from, to, kept, |bin, ns, to_its_end| {
                bin.bag.add(Kind::State, state.index() as u64, ns);
                if to_its_end {
                    (bin.at_end, bin.futex_at_end) = (Some(state), futex.filter(|_| blocked));
                }
                if blocked && let Some(nr) = call {
                    bin.bag.add(Kind::CallTime, nr as u64, ns);
                    if let Some(address) = futex {
                        bin.bag.add(Kind::FutexTime, address, ns);
                    }
                }
            });
        }
        if row.open_end || !kept.contains(&end) {
            return;
        }
        let bin = self.bin(end / BIN_NS);
        if row.cpu_in.is_some() {
            bin.cpu = row.cpu_in;
        }
        let bag = &mut bin.bag;
        bag.add(Kind::Rows, 0, 1);
        if row.state != State::Runqueue {
            bag.add(Kind::Switches, 0, 1);
            if !row.voluntary {
                bag.add(Kind::Involuntary, 0, 1);
            }
        }
        if !row.state.is_runnable() && row.state != State::Exit {
            bag.add(Kind::Runqueue, bucket(row.runqueue_ns), 1);
            bag.add(Kind::RunqueueMost, 0, row.runqueue_ns);
        }
        if let Some(nr) = call {
            bag.add(Kind::CallLength, (nr as u64) << 16 | bucket(row.blocked_ns), 1);
            bag.add(Kind::CallMost, nr as u64, row.blocked_ns);
            if let Some(address) = futex {
                bag.add(Kind::FutexWaits, address, 1);
            }
        }
        match (row.wake_source, row.waker_tid) {
            (Some(WakeSource::Task), Some(tid)) => bag.add(Kind::Waker, tid.into(), 1),
            (Some(WakeSource::Irq), _) => bag.add(Kind::Waker, IRQ, 1),
            _ => {}
        }
    }

    /// Adds faults.
    pub fn faults(&mut self, row: &PageFaultRow) {
        self.faults.push_back(row.clone());
    }

    /// Forgets what was before.
    pub fn forget_before(&mut self, ns: u64) {
        while self.bins.front().is_some_and(|bin| (bin.number + 1) * BIN_NS <= ns) {
            self.bins.pop_front();
        }
        while self.faults.front().is_some_and(|row| row.ts_mono_ns + row.dur_ns < ns) {
            self.faults.pop_front();
        }
    }

    /// Forgets all but its life.
    pub fn clear(&mut self) {
        self.bins.clear();
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

    /// What it comes to in a window. `slices` sees time off the CPU by slice of the window.
    pub fn sum(&self, window: &Window, sums: &mut Sums, mut slices: impl FnMut(State, u64, u64)) -> Sum {
        let from = window.from.max(self.life.begin_ns);
        let to = self.life.end_ns.map_or(window.to, |end| end.min(window.to));
        let mut sum = Sum { wall_ns: to.saturating_sub(from), ..Sum::default() };
        let (first, last) = (window.from / BIN_NS, window.to / BIN_NS);
        let begin = self.bins.partition_point(|bin| bin.number < first);
        for bin in self.bins.range(begin..).take_while(|bin| bin.number < last) {
            for (key, value) in bin.bag.entries() {
                if let Some(state) = state_of(key) {
                    sum.times.off_ns[state.index()] += value;
                    slices(state, bin.number * BIN_NS, value);
                } else {
                    sums.add(key, value);
                }
            }
            if bin.number + 1 == last {
                (sum.now, sum.futex_now) = (bin.at_end, bin.futex_at_end);
            }
            sum.cpu = bin.cpu.or(sum.cpu);
        }
        if let Some(row) = self.open.as_ref().filter(|row| row.ts_mono_ns >= self.at_ns) {
            let start = row.ts_mono_ns;
            if start >= from && start < to {
                sum.cpu = row.cpu_out.or(sum.cpu);
            }
            for (state, start, end) in parts(row) {
                let mut at = start.max(from);
                let end = end.min(to);
                while at < end {
                    let next = ((at / BIN_NS + 1) * BIN_NS).min(end);
                    slices(state, at, next - at);
                    sum.times.off_ns[state.index()] += next - at;
                    if state == row.state && !state.is_runnable() && let Some(nr) = row.syscall_nr {
                        sums.add(key(Kind::CallTime, nr as u64), next - at);
                        if let Some(address) = futex_of(row) {
                            sums.add(key(Kind::FutexTime, address), next - at);
                        }
                    }
                    at = next;
                    if at == window.to {
                        let blocked = state == row.state && !state.is_runnable();
                        (sum.now, sum.futex_now) = (Some(state), futex_of(row).filter(|_| blocked));
                    }
                }
            }
        }
        if self.life.exited && self.life.end_ns.is_some_and(|end| end < window.to) {
            sum.now = Some(State::Exit);
        }
        let off: u64 = sum.times.off_ns.iter().sum();
        sum.times.on_cpu_ns = sum.wall_ns.saturating_sub(off);
        sum.counters = sums.take();
        for row in &self.faults {
            let part = window.part_of(row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);
            sum.minor_faults += row.minor as f64 * part;
            sum.major_faults += row.major as f64 * part;
        }
        sum
    }

    fn spread(&mut self, from: u64, to: u64, kept: &Range<u64>, mut each: impl FnMut(&mut Bin, u64, bool)) {
        let (mut at, to) = (from.max(kept.start), to.min(kept.end));
        while at < to {
            let number = at / BIN_NS;
            let bin_end = (number + 1) * BIN_NS;
            let end = bin_end.min(to);
            each(self.bin(number), end - at, end == bin_end);
            at = end;
        }
    }

    /// The bin of that number. Most are the newest.
    fn bin(&mut self, number: u64) -> &mut Bin {
        let mut place = self.bins.len();
        while place > 0 && self.bins[place - 1].number > number {
            place -= 1;
        }
        let known = place > 0 && self.bins[place - 1].number == number;
        if known {
            place -= 1;
        } else {
            if place > 0 {
                self.bins[place - 1].bag.settle();
            }
            self.bins.insert(place, Bin { number, at_end: None, futex_at_end: None, cpu: None, bag: Bag::default() });
        }
        &mut self.bins[place]
    }
}

/// The stretches of an episode and their states: the rule of table `off_cpu`.
pub(super) fn parts(row: &OffCpuRow) -> [(State, u64, u64); 2] {
    let (start, end) = (row.ts_mono_ns, end_of(row));
    let wake = start + row.blocked_ns;
    let after = if row.state.is_runnable() { row.state } else { State::Runqueue };
    [(row.state, start, wake), (after, wake, end)]
}

/// The futex that an episode waited for, where the call's first argument is its address.
fn futex_of(row: &OffCpuRow) -> Option<u64> {
    let by_address = row.state == State::Futex && row.syscall_nr.is_some_and(|nr| BY_ADDRESS.contains(&nr));
    row.arg0.filter(|_| by_address)
}

fn state_of(of: u64) -> Option<State> {
    State::ALL.get(of.wrapping_sub(key(Kind::State, 0)) as usize).copied()
}
