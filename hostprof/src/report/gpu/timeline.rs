//! What PM sampling counted: how busy the units of a GPU were, and how long it had nothing to do.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use serde::Serialize;

use super::text::{CELLS, line, percent};
use crate::{
    humane::{count, duration, plural, share},
    ledger::{IdleGap, IdleGaps, Mean, idle_ns},
    lengths::{Latency, Lengths},
    recording::{Recording, RecordingError},
    story::{GpuBubbles, PhaseActivity, PhaseFold, Scope, Story, ToldPhase},
    table::GpuPmRow,
};

/// A gap that is told of apart: longer than what launching takes.
const LONG_NS: u64 = 1_000_000;

/// A GPU's. Shares are means over the sampled time, 0 to 1, null where the GPU could not count them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    pub gpu: u32,
    pub samples: u64,
    /// The length of most intervals: the first's.
    pub interval_ns: u64,
    /// All intervals together.
    pub sampled_ns: u64,
    pub gr_active: Option<f64>,
    pub sm_active: Option<f64>,
    pub tensor_active: Option<f64>,
    pub dram_read: Option<f64>,
    pub dram_write: Option<f64>,
    /// Time in which the GPU had no work.
    pub idle_ns: u64,
    /// Stretches of intervals that were idle for more than half.
    pub gaps: Latency,
    /// Of these, those over a millisecond, and what they are together.
    pub long_gaps: u64,
    pub long_gaps_ns: u64,
    /// What it counted while requests were in some phase; null where none were recorded.
    pub phases: Option<PhaseActivity>,
    /// Means over equal parts of the recording, for a drawing; null where there was no sample.
    pub history: TimelineHistory,
}

/// As `history`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TimelineHistory {
    pub gr_active: Vec<Option<f64>>,
    pub sm_active: Vec<Option<f64>>,
    pub tensor_active: Vec<Option<f64>>,
    pub dram: Vec<Option<f64>>,
}

/// Columns that are drawn, then those that are told alone.
const DRAWN: usize = 4;

fn values(row: &GpuPmRow) -> [Option<f64>; 6] {
    let dram = row.dram_read.zip(row.dram_write).map(|(read, write)| read + write);
    [row.gr_active, row.sm_active, row.tensor_active, dram, row.dram_read, row.dram_write]
}

struct Fold {
    samples: u64,
    interval_ns: u64,
    sampled_ns: u64,
    idle_ns: u64,
    means: [Mean; 6],
    gaps: IdleGaps,
    lengths: Lengths,
    long: (u64, u64),
    cells: [[Mean; DRAWN]; CELLS],
}

impl Fold {
    fn new() -> Self {
        Self {
            samples: 0,
            interval_ns: 0,
            sampled_ns: 0,
            idle_ns: 0,
            means: [Mean::default(); 6],
            gaps: IdleGaps::default(),
            lengths: Lengths::default(),
            long: (0, 0),
            cells: [[Mean::default(); DRAWN]; CELLS],
        }
    }

    fn push(&mut self, row: &GpuPmRow, window: (u64, u64)) {
        if self.samples == 0 {
            self.interval_ns = row.dur_ns;
        }
        self.samples += 1;
        self.sampled_ns += row.dur_ns;
        self.idle_ns += idle_ns(row);
        let values = values(row);
        for (mean, value) in self.means.iter_mut().zip(values) {
            mean.add(value, row.dur_ns);
        }
        let length = window.1.saturating_sub(window.0).max(1);
        let at = u128::from(row.ts_mono_ns.saturating_sub(window.0)) * CELLS as u128 / u128::from(length);
        for (mean, value) in self.cells[(at as usize).min(CELLS - 1)].iter_mut().zip(values) {
            mean.add(value, row.dur_ns);
        }
        if let Some(gap) = self.gaps.push(row) {
            self.gap(gap);
        }
    }

    fn gap(&mut self, gap: IdleGap) {
        self.lengths.add(gap.idle_ns);
        if gap.idle_ns > LONG_NS {
            self.long = (self.long.0 + 1, self.long.1 + gap.idle_ns);
        }
    }

    fn finish(mut self, gpu: u32) -> Timeline {
        if let Some(gap) = std::mem::take(&mut self.gaps).finish() {
            self.gap(gap);
        }
        let history = |column: usize| self.cells.iter().map(|cell| cell[column].get()).collect();
        let [gr_active, sm_active, tensor_active, _, dram_read, dram_write] = self.means.map(Mean::get);
        Timeline {
            gpu,
            samples: self.samples,
            interval_ns: self.interval_ns,
            sampled_ns: self.sampled_ns,
            gr_active,
            sm_active,
            tensor_active,
            dram_read,
            dram_write,
            idle_ns: self.idle_ns,
            gaps: self.lengths.latency(),
            long_gaps: self.long.0,
            long_gaps_ns: self.long.1,
            phases: None,
            history: TimelineHistory {
                gr_active: history(0),
                sm_active: history(1),
                tensor_active: history(2),
                dram: history(3),
            },
        }
    }
}

/// Reads the samples of a recording, row by row, and tells the phases of requests what was counted in them.
///
/// # Errors
///
/// The table cannot be read.
pub fn timelines(
    recording: &Recording,
    scope: &Scope,
    story: Option<&mut Story>,
) -> Result<Vec<Timeline>, RecordingError> {
    let config = recording.config();
    let begin_ns = config.started.mono_ns.0;
    let end_ns = config.ended.as_ref().map_or(begin_ns, |ended| ended.at.mono_ns.0);
    let mut told: Vec<&mut ToldPhase> =
        story.into_iter().flat_map(|story| &mut story.told).flat_map(|told| &mut told.phases).collect();
    let windows: Vec<(u64, u64)> =
        told.iter().map(|phase| (phase.account.start_mono_ns, phase.account.end_mono_ns)).collect();
    let begin = || (Fold::new(), PhaseFold::new(windows.iter().copied()));
    let mut folds: BTreeMap<u32, (Fold, PhaseFold)> = BTreeMap::new();
    for rows in recording.rows::<GpuPmRow>()? {
        for row in rows? {
            let (fold, phases) = folds.entry(row.gpu).or_insert_with(begin);
            fold.push(&row, (begin_ns, end_ns));
            if scope.by_requests {
                phases.push(&row, scope);
            }
        }
    }
    let mut timelines = Vec::new();
    for (gpu, (fold, phases)) in folds {
        let (phases, windows) = phases.finish();
        for (phase, activity) in told.iter_mut().zip(windows) {
            phase.counted(gpu, activity);
        }
        timelines.push(Timeline { phases: scope.by_requests.then_some(phases), ..fold.finish(gpu) });
    }
    Ok(timelines)
}

/// Sets one.
pub fn write(out: &mut String, timeline: &Timeline, bubbles: Option<&GpuBubbles>) -> fmt::Result {
    writeln!(
        out,
        "GPU {} counted every {} over {} (PM sampling)",
        timeline.gpu,
        duration(timeline.interval_ns),
        duration(timeline.sampled_ns)
    )?;
    let drawn = |out: &mut String, what, mean: Option<f64>, history: &[Option<f64>]| {
        line(out, what, mean.map(percent), history, 1.0)
    };
    let history = &timeline.history;
    drawn(out, "active", timeline.gr_active, &history.gr_active)?;
    drawn(out, "SM", timeline.sm_active, &history.sm_active)?;
    drawn(out, "tensor", timeline.tensor_active, &history.tensor_active)?;
    let dram = timeline.dram_read.zip(timeline.dram_write);
    drawn(out, "DRAM", dram.map(|(read, write)| read + write), &history.dram)?;
    if let Some((read, write)) = dram {
        writeln!(out, "  DRAM {} read, {} written, of what it could", percent(read), percent(write))?;
    }
    write!(
        out,
        "  idle {}, {} of the time",
        duration(timeline.idle_ns),
        share(timeline.idle_ns, timeline.sampled_ns)
    )?;
    let gaps = &timeline.gaps;
    if let (Some(p50), Some(p99), Some(max)) = (gaps.p50_ns, gaps.p99_ns, gaps.max_ns) {
        write!(
            out,
            "; {} of half an interval or more: p50 {}, p99 {}, longest {}",
            plural(gaps.count, "gap"),
            duration(p50),
            duration(p99),
            duration(max)
        )?;
        if timeline.long_gaps > 0 {
            write!(
                out,
                "; {} over 1 ms, {} together",
                count(timeline.long_gaps),
                duration(timeline.long_gaps_ns)
            )?;
        }
    }
    writeln!(out)?;
    bubbles.map_or(Ok(()), |bubbles| overlap(out, bubbles))
}

/// Sets GPU and launching thread beside each other.
fn overlap(out: &mut String, bubbles: &GpuBubbles) -> fmt::Result {
    let overlap = &bubbles.overlap;
    let all = overlap.total_ns();
    if all == 0 {
        return Ok(());
    }
    let of = match bubbles.scope {
        "requests" => "time with requests in flight",
        _ => "the recording",
    };
    writeln!(
        out,
        "  CPU–GPU overlap, of {} of {of}: GPU active with thread {} on a CPU {} · GPU alone {} · thread alone {} · neither {}",
        duration(all),
        bubbles.launcher.who.tid,
        share(overlap.both_ns, all),
        share(overlap.gpu_only_ns, all),
        share(overlap.cpu_only_ns, all),
        share(overlap.neither_ns, all),
    )?;
    let spins = if bubbles.gpu_sync_known {
        "its waits that spin for the GPU count as not on a CPU"
    } else {
        "its waits that spin for the GPU count as on a CPU: they are not known (--probe cuda)"
    };
    writeln!(out, "    {spins}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_and_gaps_are_told_apart_from_what_is_busy() {
        let mut fold = Fold::new();
        for at in 0..1_000u64 {
            // Of each 100 intervals 20 are idle, and of every other a tenth.
            let active = if at % 100 < 20 { 0.0 } else { 0.9 };
            let row = GpuPmRow {
                ts_mono_ns: 1_000_000 + at * 100_000,
                dur_ns: 100_000,
                gr_active: Some(active),
                dram_read: Some(0.2),
                dram_write: Some(0.1),
                ..GpuPmRow::default()
            };
            fold.push(&row, (1_000_000, 101_000_000));
        }
        let timeline = fold.finish(0);
        assert_eq!((timeline.samples, timeline.sampled_ns), (1_000, 100_000_000));
        assert!(timeline.idle_ns.abs_diff(28_000_000) < 1_000, "{}", timeline.idle_ns);
        assert_eq!((timeline.gaps.count, timeline.long_gaps, timeline.long_gaps_ns), (10, 10, 20_000_000));
        assert_eq!((timeline.sm_active, timeline.dram_read), (None, Some(0.2)));
        let mut text = String::new();
        write(&mut text, &timeline, None).unwrap();
        assert!(text.contains("counted every 100 µs"), "{text}");
        assert!(text.contains("10 gaps") && text.contains("10 over 1 ms, 20.0 ms together"), "{text}");
        assert!(!text.contains("tensor"), "{text}");
    }
}
