//! Counters by key, as many keys as are met: what a thread, or all calls, come to in a bin of time.
//!
//! Lengths are counted in buckets of 256 to an octave, so that a percentile is told to four parts in a thousand.

use super::bins::Bin;
use crate::{
    hash::IntMap,
    ledger::StateTimes,
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
    /// Nanoseconds on a CPU in calls of CUDA's driver library that wait for the GPU.
    GpuSync,
    /// Episodes that ended.
    Switches,
    /// Those that were involuntary.
    Involuntary,
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
    /// Rows that ended.
    Rows,
    /// Waits for a CPU after a wakeup.
    Waits,
    /// The longest of the above: what is counted is the most, not the sum.
    RunqueueMost,
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
pub(super) fn key(kind: Kind, sub: u64) -> u64 {
    (kind as u64) << SUB_BITS | sub & SUB
}

#[inline]
fn is_most(key: u64) -> bool {
    key >> SUB_BITS >= Kind::RunqueueMost as u64
}

/// What a thread's time was spent on, where that is not plain time on a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    /// Off the CPU.
    Off(State),
    /// On it, waiting for the GPU.
    GpuSync,
}

impl Spent {
    /// What a key counts the time of.
    #[inline]
    pub(super) fn of(at: u64) -> Option<Self> {
        state_of(at).map(Self::Off).or_else(|| (at == key(Kind::GpuSync, 0)).then_some(Self::GpuSync))
    }

    /// Adds to a sum, or takes from it.
    #[inline]
    pub(super) fn add(self, times: &mut StateTimes, ns: i64) {
        let sum = match self {
            Self::Off(state) => &mut times.off_ns[state.index()],
            Self::GpuSync => &mut times.gpu_sync_ns,
        };
        *sum = sum.saturating_add_signed(ns);
    }
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
    /// What is still being counted, where that is a few keys.
    few: Vec<(u64, u64)>,
    /// The same of many.
    hot: IntMap<u64, u64>,
    /// What was counted when the bin was over.
    settled: Vec<(u64, u64)>,
}

/// Keys that are looked for one after the other.
const FEW: usize = 16;

impl Bag {
    #[inline]
    pub(super) fn add(&mut self, key: u64, value: u64) {
        if let Some((_, sum)) = self.few.iter_mut().find(|(known, _)| *known == key) {
            put(key, sum, value);
        } else if self.few.len() < FEW {
            self.few.push((key, value));
        } else {
            if self.hot.len() >= MOST_ENTRIES {
                self.forget_rare();
            }
            put(key, self.hot.entry(key).or_default(), value);
        }
    }

    /// The bin is over: puts what was counted into less room. More may be added all the same.
    pub(super) fn settle(&mut self) {
        self.settled.reserve_exact(self.few.len() + self.hot.len());
        self.settled.extend(std::mem::take(&mut self.few));
        self.settled.extend(std::mem::take(&mut self.hot));
    }

    /// Adds futexes and wakers beyond the most frequent up to one.
    fn forget_rare(&mut self) {
        for kind in [Kind::FutexTime, Kind::FutexWaits, Kind::Waker] {
            let is_kind = |key: u64| key >> SUB_BITS == kind as u64;
            let mut values: Vec<u64> =
                self.hot.iter().filter(|(key, _)| is_kind(**key)).map(|(_, value)| *value).collect();
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
    }

    /// Each key, perhaps more than once, with what was counted.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let few = self.settled.iter().chain(&self.few).copied();
        few.chain(self.hot.iter().map(|(key, value)| (*key, *value)))
    }
}

/// A bin with nothing but counters.
impl Bin for (u64, Bag) {
    fn new(number: u64) -> Self {
        (number, Bag::default())
    }

    fn number(&self) -> u64 {
        self.0
    }

    fn settle(&mut self) {
        self.1.settle();
    }
}

fn put(key: u64, sum: &mut u64, value: u64) {
    *sum = if is_most(key) { (*sum).max(value) } else { *sum + value };
}

/// The sums of a window that slides over bins: what enters is added, what leaves taken away.
#[derive(Clone, Debug, Default)]
pub(super) struct Sliding(Vec<(u64, u64)>);

impl Sliding {
    pub(super) fn add(&mut self, key: u64, value: u64) {
        match self.0.binary_search_by_key(&key, |(known, _)| *known) {
            Ok(place) => self.0[place].1 += value,
            Err(place) => self.0.insert(place, (key, value)),
        }
    }

    pub(super) fn take(&mut self, key: u64, value: u64) {
        if let Ok(place) = self.0.binary_search_by_key(&key, |(known, _)| *known) {
            self.0[place].1 = self.0[place].1.saturating_sub(value);
            if self.0[place].1 == 0 {
                self.0.remove(place);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
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
    /// These, and more to come.
    pub(super) fn of(entries: &[(u64, u64)]) -> Self {
        Self(entries.to_vec())
    }

    #[inline]
    pub(super) fn add(&mut self, key: u64, value: u64) {
        self.0.push((key, value));
    }

    /// The sums in the order of their keys; none is left.
    pub(super) fn take(&mut self) -> Vec<(u64, u64)> {
        let mut entries = std::mem::take(&mut self.0);
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

/// Distributions added up.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    buckets: IntMap<u64, i64>,
    max_ns: u64,
}

impl Lengths {
    pub(super) fn count(&mut self, bucket: u64, count: i64) {
        *self.buckets.entry(bucket).or_default() += count;
    }

    pub(super) fn most(&mut self, max_ns: u64) {
        self.max_ns = self.max_ns.max(max_ns);
    }

    /// Adds others.
    pub(super) fn add(&mut self, other: &Self) {
        other.buckets.iter().for_each(|(bucket, count)| self.count(*bucket, *count));
        self.most(other.max_ns);
    }

    pub(super) fn latency(&self) -> Latency {
        let counted = |(bucket, count): (&u64, &i64)| Some((*bucket, u64::try_from(*count).ok()?));
        let mut buckets: Vec<(u64, u64)> =
            self.buckets.iter().filter_map(counted).filter(|(_, count)| *count > 0).collect();
        buckets.sort_unstable();
        latency(&buckets, self.max_ns)
    }
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
            bag.add(key(Kind::Switches, 0), 1);
            bag.add(key(Kind::RunqueueMost, 0), round);
        }
        assert_eq!(sums(&bag), [(key(Kind::Switches, 0), 1000), (key(Kind::RunqueueMost, 0), 999)]);
        bag.settle();
        bag.add(key(Kind::Switches, 0), 1);
        assert_eq!(sums(&bag), [(key(Kind::Switches, 0), 1001), (key(Kind::RunqueueMost, 0), 999)]);
    }

    #[test]
    fn beyond_a_limit_rare_wakers_are_one() {
        let mut bag = Bag::default();
        bag.add(key(Kind::Waker, 7), 50);
        (0..10_000).for_each(|tid| bag.add(key(Kind::Waker, 100 + tid), 1));
        let counters = sums(&bag);
        let wakers: Vec<_> = of_kind(&counters, Kind::Waker).collect();
        assert!(wakers.len() <= MOST_ENTRIES, "{}", wakers.len());
        assert_eq!(wakers[0], (7, 50));
        assert_eq!(wakers.iter().map(|(_, count)| count).sum::<u64>(), 10_050);
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
