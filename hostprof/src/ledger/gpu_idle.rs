//! When a GPU had nothing to do: idle times, from what it counted over short intervals.

use crate::table::GpuPmRow;

/// Below this share of an interval the GPU is idle rather than busy in it: so a gap's edges are within one interval.
const IDLE: f64 = 0.5;

/// A stretch of time in which the GPU had no work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleGap {
    /// The start of its first interval, CLOCK_MONOTONIC.
    pub start_mono_ns: u64,
    /// The end of its last.
    pub end_mono_ns: u64,
    /// What of it was idle: its ends are intervals in which there was some work.
    pub idle_ns: u64,
}

/// Finds the gaps of one GPU in its rows, which come in the order of time.
#[derive(Clone, Debug, Default)]
pub struct IdleGaps {
    open: Option<IdleGap>,
    end_mono_ns: u64,
}

impl IdleGaps {
    /// Adds a row; returns the gap that it ends. Where rows are missing it is not known what the GPU did: a gap ends there.
    pub fn push(&mut self, row: &GpuPmRow) -> Option<IdleGap> {
        let torn = row.ts_mono_ns > self.end_mono_ns + row.dur_ns;
        let ended = if torn { self.open.take() } else { None };
        self.end_mono_ns = row.ts_mono_ns + row.dur_ns;
        match row.gr_active {
            Some(active) if active < IDLE => {
                let gap =
                    self.open.get_or_insert(IdleGap { start_mono_ns: row.ts_mono_ns, ..IdleGap::default() });
                gap.end_mono_ns = self.end_mono_ns;
                gap.idle_ns += idle_ns(row);
                ended
            }
            _ => ended.or_else(|| self.open.take()),
        }
    }

    /// Whether the last row was in a gap.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The gap that is open at the end.
    pub fn finish(self) -> Option<IdleGap> {
        self.open
    }
}

/// What of an interval the GPU was idle; 0 where it is not told.
pub fn idle_ns(row: &GpuPmRow) -> u64 {
    row.gr_active.map_or(0, |active| ((1.0 - active.clamp(0.0, 1.0)) * row.dur_ns as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: u64, active: f64) -> GpuPmRow {
        GpuPmRow { ts_mono_ns: at * 100, dur_ns: 100, gr_active: Some(active), ..GpuPmRow::default() }
    }

    #[test]
    fn a_gap_is_what_its_intervals_were_idle() {
        let mut gaps = IdleGaps::default();
        let found: Vec<IdleGap> = [1.0, 0.25, 0.0, 0.0, 0.75, 1.0, 0.0]
            .into_iter()
            .enumerate()
            .filter_map(|(at, active)| gaps.push(&row(at as u64, active)))
            .collect();
        assert_eq!(found, [IdleGap { start_mono_ns: 100, end_mono_ns: 400, idle_ns: 275 }]);
        assert_eq!(gaps.finish().map(|gap| gap.idle_ns), Some(100));
    }

    #[test]
    fn a_gap_does_not_reach_over_what_was_lost() {
        let mut gaps = IdleGaps::default();
        assert_eq!(gaps.push(&row(0, 0.0)), None);
        let ended = gaps.push(&row(10, 0.0));
        assert_eq!(ended, Some(IdleGap { start_mono_ns: 0, end_mono_ns: 100, idle_ns: 100 }));
        assert_eq!(gaps.push(&row(11, 1.0)).map(|gap| gap.idle_ns), Some(100));
    }
}
