//! Episodes that were counted and not recorded, since hostprof's cost neared its ceiling: when each was is not known.

use std::ops::Range;

use super::{Track, key_of};
use crate::{
    ledger::Part,
    live::{
        bins::BIN_NS,
        counters::{Kind, key},
        group::{GroupBins, part_of},
        sums::Counts,
    },
    table::OffCpuCountRow,
};

impl Track {
    /// Adds what of counted episodes lies in `kept`, and to its group. Their time is spread evenly from the first to the
    /// last of them; where a bin has no more time on a CPU that it could be taken from, the next ones have it.
    pub fn counted(&mut self, row: &OffCpuCountRow, kept: &Range<u64>, group: &mut GroupBins) {
        let end = row.ts_mono_ns + row.dur_ns;
        let waited = row.state.once_runnable();
        for (state, ns, nr) in [(row.state, row.blocked_ns, row.syscall_nr), (waited, row.runqueue_ns, None)]
        {
            let of = key_of(Part::Off(state));
            let by =
                |at: u64| u128::from(ns) * u128::from(at - row.ts_mono_ns) / u128::from(row.dur_ns.max(1));
            let (mut at, mut owed) = (row.ts_mono_ns, 0);
            while at < end {
                let number = at / BIN_NS;
                let next = ((number + 1) * BIN_NS).min(end);
                owed += (by(next) - by(at)) as u64;
                at = next;
                if !kept.contains(&(number * BIN_NS).max(row.ts_mono_ns)) {
                    owed = 0;
                    continue;
                }
                let part = owed.min(self.on_cpu_ns(number));
                owed -= part;
                group.add(number, of, part);
                self.with(number, |adding| {
                    adding.add(of, part);
                    if let Some(nr) = nr {
                        adding.add(key(Kind::CallTime, nr as u64), part);
                    }
                });
            }
        }
        if kept.contains(&end) {
            let involuntary = if row.voluntary { 0 } else { row.episodes };
            let counts = Counts { rows: 0, switches: row.episodes, involuntary };
            self.with(end / BIN_NS, |adding| adding.count(&counts));
        }
    }

    /// The time of a bin that was spent on a CPU, by what is known of it.
    fn on_cpu_ns(&mut self, number: u64) -> u64 {
        let begun = self.life.begin_ns.clamp(number * BIN_NS, (number + 1) * BIN_NS);
        let off = self
            .bins
            .at(number)
            .bag
            .entries()
            .filter(|(key, _)| matches!(part_of(*key), Some(Part::Off(_) | Part::Unattributed)));
        let off_ns = off.fold(0_u64, |sum, (_, ns)| sum.wrapping_add(ns));
        ((number + 1) * BIN_NS - begun).saturating_sub(off_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        live::{Life, Parts, Rolling, Window},
        table::{OffCpuRow, State},
        units::Tid,
    };

    const MS: u64 = 1_000_000;

    fn rolling() -> Rolling {
        let mut rolling = Rolling::new(0..u64::MAX);
        rolling.begin(Life { tid: 7, tgid: 7, ..Life::default() });
        rolling
    }

    fn counted(ts_ms: u64, dur_ms: u64, blocked_ms: u64) -> OffCpuCountRow {
        OffCpuCountRow {
            ts_mono_ns: ts_ms * MS,
            dur_ns: dur_ms * MS,
            tid: 7,
            tgid: 7,
            state: State::Futex,
            syscall_nr: Some(202),
            voluntary: true,
            episodes: 40,
            blocked_ns: blocked_ms * MS,
            runqueue_ns: 10 * MS,
        }
    }

    fn times(rolling: &mut Rolling, from_ms: u64, to_ms: u64) -> (u64, u64, u64, u64) {
        let window = Window { from: from_ms * MS, to: to_ms * MS };
        let picture = rolling.picture(&window, Some(Tid(7)), Parts::ALL);
        let times = &picture.all.times;
        assert_eq!(times.total_ns(), picture.all.wall_ns);
        assert_eq!(times, &picture.roles[0].share.times);
        (
            times.on_cpu_ns / MS,
            times.off(State::Futex) / MS,
            times.off(State::Runqueue) / MS,
            picture.all.switches,
        )
    }

    #[test]
    fn counted_time_is_off_the_cpu_and_spread_over_its_second() {
        let mut rolling = rolling();
        rolling.off_cpu_count(&counted(100, 1000, 500));
        assert_eq!(times(&mut rolling, 0, 2000), (1490, 500, 10, 40));
        assert_eq!(times(&mut rolling, 100, 600), (245, 250, 5, 0));
        assert_eq!(times(&mut rolling, 1000, 1200), (149, 50, 1, 40));
    }

    #[test]
    fn it_takes_no_time_that_a_row_tells_of() {
        let mut rolling = rolling();
        rolling.off_cpu(&OffCpuRow {
            ts_mono_ns: 100 * MS,
            tid: 7,
            tgid: 7,
            state: State::Sleep,
            blocked_ns: 500 * MS,
            ..OffCpuRow::default()
        });
        rolling.off_cpu_count(&counted(0, 1000, 400));
        let window = Window { from: 0, to: 1000 * MS };
        let picture = rolling.picture(&window, None, Parts::ALL);
        let times = &picture.all.times;
        assert_eq!((times.off(State::Sleep), times.off(State::Futex)), (500 * MS, 400 * MS));
        assert_eq!((times.off(State::Runqueue), times.on_cpu_ns), (10 * MS, 90 * MS));
        assert_eq!(times.total_ns(), 1000 * MS);
    }
}
