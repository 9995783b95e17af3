//! Time in bins, and windows made of them.

use std::{
    collections::{VecDeque, vec_deque},
    ops::Range,
};

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
#[inline]
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

/// The place of the first bin of that number or a later one. Bins have one number each, so the ends tell nearly all.
#[inline]
pub(super) fn place<B: Bin>(bins: &VecDeque<B>, number: u64) -> usize {
    let (Some(first), Some(last)) = (bins.front(), bins.back()) else { return 0 };
    if number > last.number() {
        return bins.len();
    }
    let from_last = usize::try_from(last.number() + 1 - number).unwrap_or(usize::MAX);
    let from_first = usize::try_from(number.saturating_sub(first.number())).unwrap_or(usize::MAX);
    let (mut low, mut high) = (bins.len().saturating_sub(from_last), bins.len().min(from_first));
    while low < high {
        let middle = low.midpoint(high);
        if bins[middle].number() < number {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The bins of a range of numbers.
#[inline]
pub(super) fn within<'a, B: Bin>(bins: &'a VecDeque<B>, numbers: &Range<u64>) -> vec_deque::Iter<'a, B> {
    let from = place(bins, numbers.start);
    bins.range(from..place(bins, numbers.end).max(from))
}

/// Forgets bins that were over by then; `each` sees them.
pub(super) fn forget_before<B: Bin>(bins: &mut VecDeque<B>, ns: u64, mut each: impl FnMut(B)) {
    while let Some(bin) = bins.pop_front_if(|bin| (bin.number() + 1).saturating_mul(BIN_NS) <= ns) {
        each(bin);
    }
}

/// What leaves a stretch of bins that moves, and what enters it: two stretches each, of which any may be empty.
pub(super) fn moved(from: &Range<u64>, to: &Range<u64>) -> ([Range<u64>; 2], [Range<u64>; 2]) {
    let within = |number: u64, of: &Range<u64>| number.clamp(of.start, of.end);
    let leaves = [from.start..within(to.start, from), within(to.end, from)..from.end];
    let enters = [to.start..within(from.start, to), within(from.end, to)..to.end];
    (leaves, enters)
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

    /// Its bins.
    pub(super) fn bins(&self) -> Range<u64> {
        self.from / BIN_NS..self.to / BIN_NS
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Numbered(u64);

    impl Bin for Numbered {
        fn new(number: u64) -> Self {
            Self(number)
        }

        fn number(&self) -> u64 {
            self.0
        }

        fn settle(&mut self) {}
    }

    proptest! {
        #[test]
        fn bins_are_found_wherever_some_are_missing(numbers in prop::collection::btree_set(5_u64..60, 0..40), from in 0_u64..70, length in 0_u64..70) {
            let mut bins: VecDeque<Numbered> = VecDeque::new();
            for number in numbers.iter().rev() {
                bin(&mut bins, *number);
            }
            let found: Vec<u64> = within(&bins, &(from..from + length)).map(|bin| bin.0).collect();
            let expected: Vec<u64> = numbers.range(from..from + length).copied().collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn what_stays_less_what_leaves_and_with_what_enters_is_the_stretch(a in 0_u64..20, b in 0_u64..20, c in 0_u64..20, d in 0_u64..20) {
            let (from, to) = (a.min(b)..a.max(b), c.min(d)..c.max(d));
            let (leaves, enters) = moved(&from, &to);
            for number in 0..20 {
                let held = |stretches: &[Range<u64>]| stretches.iter().filter(|stretch| stretch.contains(&number)).count();
                let count = usize::from(from.contains(&number)) + held(&enters) - held(&leaves);
                prop_assert_eq!(count, usize::from(to.contains(&number)), "{}", number);
            }
        }
    }
}
