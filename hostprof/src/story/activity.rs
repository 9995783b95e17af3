//! What the units of a GPU did while requests were in some phase: from samples that lie whole within its windows. One that
//! reaches over an edge says nothing of either side, and fewer than two say too little.

use serde::Serialize;

use super::{model::ToldPhase, scope::Scope};
use crate::{
    humane::{percent, plural},
    ledger::{Mean, Spans},
    table::GpuPmRow,
};

/// Fewer samples say too little.
const FEWEST: u64 = 2;
const COLUMNS: usize = 5;

/// Means over samples, 0 to 1; null where there are fewer than two, and where the GPU could not count them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Activity {
    /// Samples that lie within whole.
    pub samples: u64,
    /// These together.
    pub sampled_ns: u64,
    pub gr_active: Option<f64>,
    pub sm_active: Option<f64>,
    pub tensor_active: Option<f64>,
    pub dram_read: Option<f64>,
    pub dram_write: Option<f64>,
}

impl Activity {
    /// Whether there are enough samples to say something.
    pub fn is_resolvable(&self) -> bool {
        self.samples >= FEWEST
    }

    fn values(&self) -> [Option<f64>; COLUMNS] {
        [self.gr_active, self.sm_active, self.tensor_active, self.dram_read, self.dram_write]
    }

    /// In words, without what the GPU could not count.
    pub fn words(&self) -> String {
        let samples = plural(self.samples, "PM sample");
        if !self.is_resolvable() {
            return format!("{samples} within: not resolvable");
        }
        let names = ["active", "SM", "tensor", "DRAM read", "written"];
        let told = names.into_iter().zip(self.values());
        let told: Vec<String> =
            told.filter_map(|(name, value)| Some(format!("{name} {}", percent(value?)))).collect();
        format!("{samples} within: {}", told.join(" · "))
    }
}

/// From one activity to another: differences of shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Change {
    pub gr_active: Option<f64>,
    pub sm_active: Option<f64>,
    pub tensor_active: Option<f64>,
    pub dram_read: Option<f64>,
    pub dram_write: Option<f64>,
}

impl Change {
    fn of(from: &Activity, to: &Activity) -> Option<Self> {
        if !from.is_resolvable() || !to.is_resolvable() {
            return None;
        }
        let (from, to) = (from.values(), to.values());
        let change = |at: usize| Some(to[at]? - from[at]?);
        let [gr_active, sm_active, tensor_active, dram_read, dram_write] = [0, 1, 2, 3, 4].map(change);
        Some(Self { gr_active, sm_active, tensor_active, dram_read, dram_write })
    }
}

/// A GPU in each phase of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PhaseActivity {
    /// While some request was in its prefill, whatever others were in; `decode` likewise.
    pub prefill: Activity,
    pub decode: Activity,
    /// While some were in their prefill and none in its decode; `decode_alone` the other way round.
    pub prefill_alone: Activity,
    pub decode_alone: Activity,
    /// While some were in each.
    pub both: Activity,
    /// Samples with some of a phase that reach over an edge: they count nowhere.
    pub straddling: u64,
    /// From `prefill_alone` to `decode_alone`; null where one of them is not resolvable.
    pub change_alone: Option<Change>,
    /// From `prefill` to `decode`, which have the samples of `both` in common; null as above.
    pub change: Option<Change>,
}

#[derive(Clone, Debug, Default)]
struct Fold {
    samples: u64,
    sampled_ns: u64,
    means: [Mean; COLUMNS],
}

impl Fold {
    fn add(&mut self, row: &GpuPmRow) {
        self.samples += 1;
        self.sampled_ns += row.dur_ns;
        let values = [row.gr_active, row.sm_active, row.tensor_active, row.dram_read, row.dram_write];
        for (mean, value) in self.means.iter_mut().zip(values) {
            mean.add(value, row.dur_ns);
        }
    }

    fn finish(self) -> Activity {
        let enough = self.samples >= FEWEST;
        let [gr_active, sm_active, tensor_active, dram_read, dram_write] =
            self.means.map(|mean| mean.get().filter(|_| enough));
        Activity {
            samples: self.samples,
            sampled_ns: self.sampled_ns,
            gr_active,
            sm_active,
            tensor_active,
            dram_read,
            dram_write,
        }
    }
}

/// One GPU under way.
#[derive(Default)]
pub struct PhaseFold {
    prefill: Fold,
    decode: Fold,
    prefill_alone: Fold,
    decode_alone: Fold,
    both: Fold,
    straddling: u64,
    /// Windows asked for.
    windows: Vec<((u64, u64), Fold)>,
}

impl PhaseFold {
    /// Begins; also of these windows.
    pub fn new(windows: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let windows = windows.into_iter().map(|window| (window, Fold::default())).collect();
        Self { windows, ..Self::default() }
    }

    /// Adds a sample.
    pub fn push(&mut self, row: &GpuPmRow, scope: &Scope) {
        let (start, end) = (row.ts_mono_ns, row.ts_mono_ns.saturating_add(row.dur_ns));
        for ((from, to), fold) in &mut self.windows {
            if *from <= start && end <= *to {
                fold.add(row);
            }
        }
        let within = |spans: &Spans| (spans.cover(start, end), spans.meet(start, end));
        let (prefill, some_prefill) = within(&scope.prefill);
        let (decode, some_decode) = within(&scope.decode);
        if prefill {
            self.prefill.add(row);
        }
        if decode {
            self.decode.add(row);
        }
        match (prefill, decode) {
            (true, true) => self.both.add(row),
            (true, false) if !some_decode => self.prefill_alone.add(row),
            (false, true) if !some_prefill => self.decode_alone.add(row),
            _ => self.straddling += u64::from(some_prefill || some_decode),
        }
    }

    /// What it comes to, and each window.
    pub fn finish(self) -> (PhaseActivity, Vec<Activity>) {
        let [prefill, decode, prefill_alone, decode_alone, both] =
            [self.prefill, self.decode, self.prefill_alone, self.decode_alone, self.both].map(Fold::finish);
        let told = PhaseActivity {
            change_alone: Change::of(&prefill_alone, &decode_alone),
            change: Change::of(&prefill, &decode),
            prefill,
            decode,
            prefill_alone,
            decode_alone,
            both,
            straddling: self.straddling,
        };
        (told, self.windows.into_iter().map(|(_, fold)| fold.finish()).collect())
    }
}

/// A GPU in a phase of one request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GpuActivity {
    pub gpu: u32,
    #[serde(flatten)]
    pub activity: Activity,
}

impl ToldPhase {
    /// Adds what PM sampling counted of a GPU in this phase.
    pub fn counted(&mut self, gpu: u32, activity: Activity) {
        self.gpus.push(format!("GPU {gpu}: {}", activity.words()));
        self.gpu_pm.push(GpuActivity { gpu, activity });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sample of 10 ns.
    fn row(at: u64, sm_active: f64) -> GpuPmRow {
        GpuPmRow { ts_mono_ns: at, dur_ns: 10, sm_active: Some(sm_active), ..GpuPmRow::default() }
    }

    fn folded(rows: &[GpuPmRow]) -> (PhaseActivity, Vec<Activity>) {
        let scope = Scope {
            by_requests: true,
            whole: Spans::new([(0, 200)]),
            prefill: Spans::new([(0, 35), (60, 100)]),
            decode: Spans::new([(35, 80), (100, 200)]),
        };
        let mut fold = PhaseFold::new([(0, 20), (5, 30)]);
        for row in rows {
            fold.push(row, &scope);
        }
        fold.finish()
    }

    #[test]
    fn a_phase_is_told_by_the_samples_that_lie_within_it() {
        let rows: Vec<GpuPmRow> = [
            (0, 0.2),
            (10, 0.4),
            // Reaches over the first token.
            (30, 9.0),
            (40, 0.7),
            (50, 0.7),
            // In both.
            (60, 0.5),
            (70, 0.3),
            // Prefill alone again.
            (80, 0.6),
            (300, 9.0),
        ]
        .map(|(at, sm)| row(at, sm))
        .into();
        let (told, windows) = folded(&rows);
        let near = |told: &Activity, samples, mean: f64| {
            assert_eq!(told.samples, samples);
            assert!((told.sm_active.unwrap() - mean).abs() < 1e-9, "{told:?}");
        };
        near(&told.prefill_alone, 3, 0.4);
        near(&told.decode_alone, 2, 0.7);
        near(&told.both, 2, 0.4);
        near(&told.prefill, 5, 0.4);
        near(&told.decode, 4, 0.55);
        assert_eq!(told.straddling, 1);
        assert!((told.change_alone.unwrap().sm_active.unwrap() - 0.3).abs() < 1e-9);
        assert_eq!(told.change_alone.unwrap().gr_active, None, "not counted");
        assert_eq!((windows[0].samples, windows[1].samples), (2, 1));
        assert_eq!(windows[0].words(), "2 PM samples within: SM 30.0%");
    }

    #[test]
    fn one_sample_resolves_nothing() {
        let (told, windows) = folded(&[row(10, 0.4), row(40, 0.7), row(110, 0.9)]);
        assert_eq!((told.prefill_alone.samples, told.prefill_alone.sm_active), (1, None));
        assert_eq!((told.decode_alone.samples, told.change_alone, told.change), (2, None, None));
        assert_eq!(windows[0].words(), "1 PM sample within: not resolvable");
    }
}
