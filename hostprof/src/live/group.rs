//! Threads of one process and one role together: what cannot be had from their sums at a moderate cost.

use std::ops::Range;

use super::{
    bins::{self, BIN_NS, Bins, Window},
    counters::{Bag, Kind, Sliding, key, state_of},
};
use crate::{
    ledger::{OFF_STATES, Part},
    table::{State, Word as _},
};

/// The part that a key counts the time of; `None` for one that counts something else.
#[inline]
pub(super) fn part_of(of: u64) -> Option<Part> {
    let other = [(Kind::Unattributed, Part::Unattributed), (Kind::GpuSync, Part::GpuSync)];
    let is = |(kind, part)| (of == key(kind, 0)).then_some(part);
    state_of(of).map(Part::Off).or_else(|| other.into_iter().find_map(is))
}

/// Whether a group counts the key.
pub(super) fn counts(of: u64) -> bool {
    part_of(of).is_some() || is_wait(of)
}

/// Whether a key counts waits for a CPU.
#[inline]
pub(super) fn is_wait(of: u64) -> bool {
    (key(Kind::Runqueue, 0)..key(Kind::CallTime, 0)).contains(&of)
}

/// A group's part of a bin.
#[derive(Debug)]
struct GroupBin {
    number: u64,
    /// By state.
    off_ns: [u64; OFF_STATES],
    unattributed_ns: u64,
    gpu_sync_ns: u64,
    /// Waits for a CPU, by bucket.
    waits: Bag,
}

/// States, and waits for a CPU by bucket, in bins.
#[derive(Debug, Default)]
pub(super) struct GroupBins {
    pub tgid: u32,
    pub role: String,
    bins: Bins<GroupBin>,
    /// What the waits of these bins come to, by number.
    slid: Range<u64>,
    waits: Sliding,
}

impl GroupBins {
    pub fn new(tgid: u32, role: &str) -> Self {
        Self { tgid, role: role.to_owned(), ..Self::default() }
    }

    /// Adds to a bin.
    #[inline]
    pub fn add(&mut self, number: u64, of: u64, value: u64) {
        let bin = self.bins.at(number);
        match part_of(of) {
            Some(Part::Off(state)) => {
                let sum = &mut bin.off_ns[state as usize];
                *sum = sum.wrapping_add(value);
            }
            Some(Part::GpuSync) => bin.gpu_sync_ns = bin.gpu_sync_ns.wrapping_add(value),
            Some(_) => bin.unattributed_ns = bin.unattributed_ns.wrapping_add(value),
            None => {
                bin.waits.add(of, value);
                if self.slid.contains(&number) {
                    self.waits.add(of, value);
                }
            }
        }
    }

    /// Takes from a bin: a thread has another role, or a row contradicts one before it.
    pub fn take(&mut self, number: u64, of: u64, value: u64) {
        self.add(number, of, value.wrapping_neg());
    }

    pub fn forget_before(&mut self, ns: u64) {
        let Self { bins, slid, waits, .. } = self;
        bins.forget_before(ns, |bin| {
            if slid.contains(&bin.number) {
                bin.waits.entries().for_each(|(of, value)| waits.add(of, value.wrapping_neg()));
            }
        });
    }

    /// Moves the window over the bins.
    pub fn slide(&mut self, window: &Window) {
        let to = window.bins();
        let (leaves, enters) = bins::moved(&self.slid, &to);
        for bin in leaves.iter().flat_map(|numbers| self.bins.within(numbers)) {
            bin.waits.entries().for_each(|(of, value)| self.waits.add(of, value.wrapping_neg()));
        }
        for bin in enters.iter().flat_map(|numbers| self.bins.within(numbers)) {
            bin.waits.entries().for_each(|(of, value)| self.waits.add(of, value));
        }
        self.slid = to;
    }

    /// Waits for a CPU by bucket, in the window over which [`GroupBins::slide`] moved.
    pub fn waits(&self) -> &[(u64, u64)] {
        self.waits.entries()
    }

    /// Time off the CPU in the window, each with when its bin began.
    pub fn parts(&self, window: &Window, mut each: impl FnMut(Part, u64, u64)) {
        for bin in self.bins.within(&window.bins()) {
            let at = bin.number * BIN_NS;
            for (state, ns) in State::ALL.iter().zip(bin.off_ns).filter(|(_, ns)| *ns > 0) {
                each(Part::Off(*state), at, ns);
            }
            each(Part::Unattributed, at, bin.unattributed_ns);
            each(Part::GpuSync, at, bin.gpu_sync_ns);
        }
    }
}

impl bins::Bin for GroupBin {
    fn new(number: u64) -> Self {
        Self { number, off_ns: [0; OFF_STATES], unattributed_ns: 0, gpu_sync_ns: 0, waits: Bag::default() }
    }

    #[inline]
    fn number(&self) -> u64 {
        self.number
    }

    fn settle(&mut self) {
        self.waits.settle();
    }
}
