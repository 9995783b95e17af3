//! Counters by key, as many keys as are met: what a thread, or all calls, come to in a bin of time.
//!
//! Lengths are counted in buckets of 256 to an octave, so that a percentile is told to four parts in a thousand.

use crate::{
    hash::IntMap,
    lengths::Latency,
    table::{State, Word as _},
};

/// Buckets of an octave, as a power of two.
const PRECISION: u32 = 8;

/// Entries of a bin beyond which the rarest futexes and wakers are no longer told apart.
const MOST_ENTRIES: usize = 2048;

/// What is counted; a key is this and up to 56 bits more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Nanoseconds, by state.
    State,
    /// Waits for a CPU after a wakeup, by bucket.
    Runqueue,
    /// Blocked nanoseconds, by system call.
    CallTime,
    /// Blocked episodes that ended, by system call and bucket.
    CallLength,
    /// Wakeups, by waker.
    Waker,
    /// Nanoseconds waited for a futex, by address.
    FutexTime,
    /// Waits for it that ended, by address.
    FutexWaits,
    /// Traced calls: nanoseconds, by name.
    TracedTime,
    /// Of those, off the CPU.
    TracedOffCpu,
    /// Traced calls that returned, by name and bucket.
    TracedLength,
    /// Those that returned an error.
    TracedErrors,
    /// Bytes mapped and unmapped.
    Mapped,
    Unmapped,
    /// Nanoseconds that rows contradict one another about.
    Unattributed,
    /// Nanoseconds on a CPU in calls of CUDA's driver library that wait for the GPU.
    GpuSync,
    /// The longest of the above: what is counted is the most, not the sum.
    CallMost,
    TracedMost,
}

/// The waker of an interrupt, among tids.
pub(super) const IRQ: u64 = 1 << 40;
/// Wakers and futexes that are no longer told apart.
pub(super) const OTHERS: u64 = (1 << 56) - 1;

const SUB_BITS: u32 = 56;
const SUB: u64 = (1 << SUB_BITS) - 1;

/// A key.
#[inline]
pub(super) const fn key(kind: Kind, sub: u64) -> u64 {
    (kind as u64) << SUB_BITS | sub & SUB
}

#[inline]
fn is_most(key: u64) -> bool {
    key >> SUB_BITS >= Kind::CallMost as u64
}

/// Whether a key counts lengths by bucket, or is the longest: what only single threads are told by.
#[inline]
pub(super) fn is_length(key: u64) -> bool {
    let kind = key >> SUB_BITS;
    kind == Kind::Runqueue as u64 || kind == Kind::CallLength as u64 || is_most(key)
}

/// The state whose time a key counts.
#[inline]
pub(super) fn state_of(key: u64) -> Option<State> {
    State::ALL.get(usize::try_from(key).ok()?).copied()
}

/// The keys of one kind, and what is beyond the kind.
pub(super) fn of_kind(entries: &[(u64, u64)], kind: Kind) -> impl Iterator<Item = (u64, u64)> + '_ {
    let from = entries.partition_point(|(at, _)| *at < key(kind, 0));
    entries[from..]
        .iter()
        .take_while(move |(at, _)| at >> SUB_BITS == kind as u64)
        .map(|(at, value)| (at & SUB, *value))
}

/// Counters of a bin.
#[derive(Clone, Debug, Default)]
pub(super) struct Bag {
    /// The first keys, in place: most bins have no more.
    few: [(u64, u64); FEW],
    used: u8,
    more: Option<Box<More>>,
}

/// Keys that are looked for one after the other.
const FEW: usize = 10;

/// Counters of further keys.
#[derive(Clone, Debug, Default)]
struct More {
    hot: IntMap<u64, u64>,
    /// How many more than [`MOST_ENTRIES`] there may be before rare ones are looked for: lengths and calls stay apart
    /// however many they are.
    apart: usize,
    /// Those of a bin that is over.
    settled: Vec<(u64, u64)>,
}

impl Bag {
    /// Adds; answers whether keys that were told apart are no longer.
    #[inline]
    pub(super) fn add(&mut self, key: u64, value: u64) -> bool {
        let used = usize::from(self.used);
        if let Some((_, sum)) = self.few[..used].iter_mut().find(|(known, _)| *known == key) {
            put(key, sum, value);
            return false;
        }
        if used < FEW {
            self.few[used] = (key, value);
            self.used += 1;
            return false;
        }
        let more = self.more.get_or_insert_default();
        let forgets = more.hot.len() >= MOST_ENTRIES + more.apart && more.forget_rare();
        put(key, more.hot.entry(key).or_default(), value);
        forgets
    }

    /// The bin is over: puts what was counted into less room. More may be added all the same.
    pub(super) fn settle(&mut self) {
        if let Some(more) = &mut self.more {
            more.settled.reserve_exact(more.hot.len());
            more.settled.extend(std::mem::take(&mut more.hot));
        }
    }

    /// Has each key, perhaps more than once, seen with what was counted.
    #[inline]
    pub(super) fn each(&self, mut each: impl FnMut(u64, u64)) {
        for &(key, value) in &self.few[..usize::from(self.used)] {
            each(key, value);
        }
        if let Some(more) = &self.more {
            more.settled.iter().for_each(|&(key, value)| each(key, value));
            more.hot.iter().for_each(|(&key, &value)| each(key, value));
        }
    }

    /// The same one by one.
    #[inline]
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let more = self.more.iter().flat_map(|more| {
            more.settled.iter().copied().chain(more.hot.iter().map(|(key, value)| (*key, *value)))
        });
        self.few[..usize::from(self.used)].iter().copied().chain(more)
    }
}

impl More {
    /// Adds futexes and wakers beyond the most frequent up to one; false where there are none.
    fn forget_rare(&mut self) -> bool {
        let before = self.hot.len();
        for kind in [Kind::FutexTime, Kind::FutexWaits, Kind::Waker] {
            let is_kind = |key: u64| key >> SUB_BITS == kind as u64;
            let of_kind = self.hot.iter().filter(|(key, _)| is_kind(**key));
            let mut values: Vec<u64> = of_kind.map(|(_, value)| *value).collect();
            if values.len() <= MOST_ENTRIES / 8 {
                continue;
            }
            values.sort_unstable_by(|a, b| b.cmp(a));
            let least = values[MOST_ENTRIES / 8];
            let mut rare = 0;
            self.hot.retain(|key, value| {
                let kept = !is_kind(*key) || *value > least;
                rare += if kept { 0 } else { *value };
                kept
            });
            *self.hot.entry(key(kind, OTHERS)).or_default() += rare;
        }
        // As many again, so that looking for them costs each key little.
        self.apart = self.hot.len();
        self.hot.len() < before
    }
}

#[inline]
fn put(key: u64, sum: &mut u64, value: u64) {
    *sum = if is_most(key) { (*sum).max(value) } else { sum.wrapping_add(value) };
}

/// The sums of a window that slides over bins, in the order of their keys: what enters is added, what leaves is
/// added negated, modulo 2^64.
#[derive(Clone, Debug, Default)]
pub(super) struct Sliding(Vec<(u64, u64)>);

impl Sliding {
    #[inline]
    pub(super) fn add(&mut self, key: u64, value: u64) {
        match self.0.binary_search_by_key(&key, |(known, _)| *known) {
            Ok(place) => {
                let sum = self.0[place].1.wrapping_add(value);
                self.0[place].1 = sum;
                if sum == 0 {
                    self.0.remove(place);
                }
            }
            Err(place) if value != 0 => self.0.insert(place, (key, value)),
            Err(_) => {}
        }
    }

    /// In the order of their keys.
    pub(super) fn entries(&self) -> &[(u64, u64)] {
        &self.0
    }
}

/// Counters of several bins together, put in order at the end.
#[derive(Debug, Default)]
pub(super) struct Sums(Vec<(u64, u64)>);

impl Sums {
    /// Adds what is in the order of its keys.
    pub(super) fn extend(&mut self, entries: &[(u64, u64)]) {
        self.0.extend_from_slice(entries);
    }

    #[inline]
    pub(super) fn add(&mut self, key: u64, value: u64) {
        self.0.push((key, value));
    }

    /// The sums in the order of their keys; none is left.
    pub(super) fn take(&mut self) -> Vec<(u64, u64)> {
        let mut entries = std::mem::take(&mut self.0);
        // Stable: it takes what is in order already for what it is.
        entries.sort_by_key(|(key, _)| *key);
        entries.dedup_by(|(next, value), (kept, sum)| {
            let same = next == kept;
            if same {
                put(*kept, sum, *value);
            }
            same
        });
        entries
    }
}

/// The bucket of a length: exact below 512 ns.
#[inline]
pub(super) fn bucket(ns: u64) -> u64 {
    let bits = 64 - ns.leading_zeros();
    let shift = bits.saturating_sub(PRECISION + 1);
    (u64::from(shift) << PRECISION) + (ns >> shift)
}

/// The longest length of a bucket.
fn longest(bucket: u64) -> u64 {
    let octave = bucket >> PRECISION;
    if octave < 2 {
        return bucket;
    }
    let shift = octave - 1;
    let start = (bucket & ((1 << PRECISION) - 1)) + (1 << PRECISION);
    ((start + 1) << shift) - 1
}

/// A distribution from counts by bucket, in order, and the longest.
pub(super) fn latency(buckets: &[(u64, u64)], max_ns: u64) -> Latency {
    if buckets.iter().all(|(_, count)| *count == 0) {
        return Latency::default();
    }
    let counts: Vec<_> = buckets.iter().map(|(bucket, count)| (longest(*bucket), *count)).collect();
    Latency::of_counts(&counts, Some(max_ns))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sums(bag: &Bag) -> Vec<(u64, u64)> {
        let mut sums = Sums::default();
        bag.entries().for_each(|(key, value)| sums.add(key, value));
        sums.take()
    }

    #[test]
    fn what_has_one_key_is_put_together() {
        let mut bag = Bag::default();
        for round in 0..1000 {
            bag.add(key(Kind::Mapped, 0), 1);
            bag.add(key(Kind::CallMost, 0), round);
        }
        assert_eq!(sums(&bag), [(key(Kind::Mapped, 0), 1000), (key(Kind::CallMost, 0), 999)]);
        bag.settle();
        bag.add(key(Kind::Mapped, 0), 1);
        assert_eq!(sums(&bag), [(key(Kind::Mapped, 0), 1001), (key(Kind::CallMost, 0), 999)]);
    }

    #[test]
    fn beyond_a_limit_rare_wakers_are_one() {
        let mut bag = Bag::default();
        bag.add(key(Kind::Waker, 7), 50);
        for tid in 0..10_000 {
            bag.add(key(Kind::Waker, 100 + tid), 1);
        }
        let counters = sums(&bag);
        let wakers: Vec<_> = of_kind(&counters, Kind::Waker).collect();
        assert!(wakers.len() <= MOST_ENTRIES, "{}", wakers.len());
        assert_eq!(wakers[0], (7, 50));
        assert_eq!(wakers.iter().map(|(_, count)| count).sum::<u64>(), 10_050);
    }

    #[test]
    fn lengths_stay_apart_however_many_they_are() {
        let mut bag = Bag::default();
        for bucket in 0..3 * MOST_ENTRIES as u64 {
            assert!(!bag.add(key(Kind::CallLength, bucket), 1));
        }
        for tid in 0..6 * MOST_ENTRIES as u64 {
            bag.add(key(Kind::Waker, tid), 1);
        }
        let counters = sums(&bag);
        assert_eq!(of_kind(&counters, Kind::CallLength).count(), 3 * MOST_ENTRIES);
        assert_eq!(
            of_kind(&counters, Kind::Waker).map(|(_, count)| count).sum::<u64>(),
            6 * MOST_ENTRIES as u64
        );
        assert!(of_kind(&counters, Kind::Waker).count() < 5 * MOST_ENTRIES);
    }

    proptest! {
        #[test]
        fn a_bucket_tells_a_length_to_four_parts_in_a_thousand(ns in 0_u64..1 << 50) {
            let told = longest(bucket(ns));
            prop_assert!(told >= ns && (told - ns) as f64 <= ns as f64 / 256.0, "{ns} {told}");
        }

        #[test]
        fn percentiles_are_those_of_the_lengths_in_order(mut lengths in prop::collection::vec(0_u64..1 << 40, 1..200)) {
            let mut sums = Sums::default();
            for &ns in &lengths {
                sums.add(key(Kind::Runqueue, bucket(ns)), 1);
            }
            lengths.sort_unstable();
            let max = *lengths.last().unwrap();
            let entries = sums.take();
            let buckets: Vec<_> = of_kind(&entries, Kind::Runqueue).collect();
            let told = latency(&buckets, max);
            for (percent, told) in [(50, told.p50_ns), (95, told.p95_ns), (99, told.p99_ns)] {
                let exact = lengths[(lengths.len() * percent).div_ceil(100) - 1];
                prop_assert!(told.unwrap().abs_diff(exact) as f64 <= exact as f64 / 256.0);
            }
        }
    }
}
