//! Time in bins, and windows made of them.

use std::collections::VecDeque;

/// The length of a bin. Windows end where one does, and begin where one does or where recording began.
pub const BIN_NS: u64 = 100_000_000;

/// What is kept of a bin's time.
pub(super) trait Bin {
    /// One with nothing in it.
    fn new(number: u64) -> Self;
    /// Which one it is: its time in units of [`BIN_NS`].
    fn number(&self) -> u64;
    /// A later one has begun.
    fn settle(&mut self);
}

/// The bin of that number, made where there is none. Most that are asked for are the newest.
pub(super) fn bin<B: Bin>(bins: &mut VecDeque<B>, number: u64) -> &mut B {
    let mut place = bins.len();
    while place > 0 && bins[place - 1].number() > number {
        place -= 1;
    }
    if place > 0 && bins[place - 1].number() == number {
        place -= 1;
    } else {
        if place > 0 {
            bins[place - 1].settle();
        }
        bins.insert(place, B::new(number));
    }
    &mut bins[place]
}

/// A stretch of time, half open, `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    pub from: u64,
    pub to: u64,
}

impl Window {
    /// The window of at most `length_ns` that ends with the last whole bin before `at_ns`, and begins at
    /// `begin_ns` at the earliest. Empty where no bin has ended since.
    pub fn before(at_ns: u64, length_ns: u64, begin_ns: u64) -> Self {
        let to = at_ns / BIN_NS * BIN_NS;
        let from = to.saturating_sub(length_ns.max(BIN_NS).div_ceil(BIN_NS) * BIN_NS).max(begin_ns).min(to);
        Self { from, to }
    }

    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    pub fn len_ns(&self) -> u64 {
        self.to - self.from
    }

    pub fn contains(&self, ns: u64) -> bool {
        (self.from..self.to).contains(&ns)
    }

    /// How much of a stretch lies in it, 0 to 1; an instant lies in it or not.
    pub fn part_of(&self, from: u64, to: u64) -> f64 {
        if from >= to {
            return if self.contains(from) { 1.0 } else { 0.0 };
        }
        self.overlap(from, to) as f64 / (to - from) as f64
    }

    /// Nanoseconds of a stretch that lie in it.
    pub fn overlap(&self, from: u64, to: u64) -> u64 {
        to.min(self.to).saturating_sub(from.max(self.from))
    }

    /// It cut into at most so many slices of the same length, but for the first and last.
    pub(super) fn slices(&self, at_most: u64) -> Slices {
        let first = self.from / BIN_NS;
        let bins = (self.to / BIN_NS).saturating_sub(first).max(1);
        let width = bins.div_ceil(at_most.max(1));
        Slices { window: *self, first, width, count: bins.div_ceil(width) as usize }
    }
}

/// Slices of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slices {
    window: Window,
    first: u64,
    /// In bins.
    width: u64,
    pub count: usize,
}

impl Slices {
    /// The slice an instant lies in.
    pub fn of(&self, ns: u64) -> usize {
        ((ns / BIN_NS).saturating_sub(self.first) / self.width).min(self.count as u64 - 1) as usize
    }

    /// When a slice is.
    pub fn window(&self, slice: usize) -> Window {
        let from = (self.first + slice as u64 * self.width) * BIN_NS;
        Window { from: from.max(self.window.from), to: (from + self.width * BIN_NS).min(self.window.to) }
    }
}
