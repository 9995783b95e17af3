//! Time in bins, and windows made of them.

use std::{collections::VecDeque, ops::Range};

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

/// Bins in the order of their numbers, each of which is there once. Nearly all that is added goes to the newest, which
/// stands beside what owns them: older ones lie where memory is cold.
#[derive(Debug)]
pub(super) struct Bins<B> {
    older: VecDeque<B>,
    newest: Option<B>,
}

impl<B> Default for Bins<B> {
    fn default() -> Self {
        Self { older: VecDeque::new(), newest: None }
    }
}

impl<B: Bin> Bins<B> {
    /// The bin of that number, made where there is none.
    #[inline]
    pub fn at(&mut self, number: u64) -> &mut B {
        match &self.newest {
            Some(newest) if number < newest.number() => return self.older_at(number),
            Some(newest) if number == newest.number() => {}
            _ => {
                if let Some(mut over) = self.newest.take() {
                    over.settle();
                    self.older.push_back(over);
                }
            }
        }
        self.newest.get_or_insert_with(|| B::new(number))
    }

    #[cold]
    fn older_at(&mut self, number: u64) -> &mut B {
        let place = self.place(number);
        if self.older.get(place).is_none_or(|bin| bin.number() != number) {
            self.older.insert(place, B::new(number));
        }
        &mut self.older[place]
    }

    /// The place among the older of the first of that number or a later one: where none is missing since, the newest one
    /// tells it.
    #[inline]
    fn place(&self, number: u64) -> usize {
        let newest = self.newest.as_ref().map(Bin::number).filter(|newest| number < *newest);
        let Some(newest) = newest else { return self.older.len() };
        let since = usize::try_from(newest - number).unwrap_or(usize::MAX);
        let told = self.older.len().saturating_sub(since);
        match self.older.get(told) {
            Some(bin) if bin.number() >= number => told,
            _ => self.older.partition_point(|bin| bin.number() < number),
        }
    }

    /// Those of a range of numbers.
    #[inline]
    pub fn within(&self, numbers: &Range<u64>) -> impl DoubleEndedIterator<Item = &B> + Clone {
        let places = if numbers.is_empty() {
            0..0
        } else {
            let from = self.place(numbers.start);
            // The one behind a single bin need not be looked at.
            let is_it = |bin: &B| bin.number() == numbers.start;
            let to = if numbers.start + 1 == numbers.end {
                from + usize::from(self.older.get(from).is_some_and(is_it))
            } else {
                self.place(numbers.end)
            };
            from..to
        };
        let newest = self.newest.as_ref().filter(|bin| numbers.contains(&bin.number()));
        self.older.range(places).chain(newest)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &B> {
        self.older.iter().chain(&self.newest)
    }

    pub fn len(&self) -> usize {
        self.older.len() + usize::from(self.newest.is_some())
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets those that were over by then; `each` sees them.
    pub fn forget_before(&mut self, ns: u64, mut each: impl FnMut(B)) {
        let over = |bin: &mut B| (bin.number() + 1).saturating_mul(BIN_NS) <= ns;
        while let Some(bin) = self.older.pop_front_if(over) {
            each(bin);
        }
        self.newest.take_if(over).into_iter().for_each(each);
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
    use std::collections::BTreeSet;

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
        fn bins_are_found_in_whatever_order_they_come(numbers in prop::collection::vec(5_u64..60, 0..40), from in 0_u64..70, length in 0_u64..70) {
            let mut bins = Bins::default();
            for number in &numbers {
                bins.at(*number);
            }
            let numbers: BTreeSet<u64> = numbers.into_iter().collect();
            let found: Vec<u64> = bins.within(&(from..from + length)).map(|bin: &Numbered| bin.0).collect();
            let expected: Vec<u64> = numbers.range(from..from + length).copied().collect();
            prop_assert_eq!(found, expected);
            let mut forgotten = BTreeSet::new();
            bins.forget_before(from * BIN_NS, |bin| {
                forgotten.insert(bin.0);
            });
            let kept: BTreeSet<u64> = bins.iter().map(|bin| bin.0).collect();
            prop_assert_eq!(bins.len(), kept.len());
            prop_assert!(kept == numbers.range(from..).copied().collect() && forgotten == numbers.range(..from).copied().collect());
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
