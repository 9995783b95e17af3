//! Threads of one process and one role together: what cannot be had from their sums at a moderate cost.

use std::collections::VecDeque;

use super::{
    bins::{BIN_NS, Window, bin},
    counters::{Bag, Kind, Lengths, Spent, key},
};

/// States, and waits for a CPU by bucket, in bins.
#[derive(Debug, Default)]
pub(super) struct GroupBins {
    pub tgid: u32,
    pub role: String,
    bins: VecDeque<(u64, Bag)>,
    /// Taken from it, for threads that have another role now.
    moved: VecDeque<(u64, Bag)>,
}

impl GroupBins {
    pub fn new(tgid: u32, role: &str) -> Self {
        Self { tgid, role: role.to_owned(), ..Self::default() }
    }

    /// Adds to a bin.
    pub fn add(&mut self, number: u64, key: u64, value: u64) {
        bin(&mut self.bins, number).1.add(key, value);
    }

    /// Takes from a bin.
    pub fn take(&mut self, number: u64, key: u64, value: u64) {
        bin(&mut self.moved, number).1.add(key, value);
    }

    pub fn forget_before(&mut self, ns: u64) {
        for bins in [&mut self.bins, &mut self.moved] {
            while bins.front().is_some_and(|(number, _)| (number + 1).saturating_mul(BIN_NS) <= ns) {
                bins.pop_front();
            }
        }
    }

    /// Adds a window's waits for a CPU, and its time by state with when its bin began.
    pub fn window(&self, window: &Window, lengths: &mut Lengths, mut each: impl FnMut(Spent, u64, i64)) {
        let (first, last) = (window.from / BIN_NS, window.to / BIN_NS);
        for (bins, sign) in [(&self.bins, 1), (&self.moved, -1)] {
            let begin = bins.partition_point(|(number, _)| *number < first);
            for (number, bag) in bins.range(begin..).take_while(|(number, _)| *number < last) {
                for (key, value) in bag.entries() {
                    if let Some(spent) = Spent::of(key) {
                        each(spent, number * BIN_NS, value.cast_signed() * sign);
                    } else {
                        lengths.count(key & 0xffff, value.cast_signed() * sign);
                    }
                }
            }
        }
    }
}

/// Whether a group counts the key.
pub(super) fn counts(of: u64) -> bool {
    Spent::of(of).is_some() || (key(Kind::Runqueue, 0)..key(Kind::CallTime, 0)).contains(&of)
}
