//! The ceiling on hostprof's cost: from what it cost to what is recorded. Pure: it knows no kernel and no clock.
//!
//! What is held below the ceiling is the cost in any second, over what the target used in it. So a second has an
//! allowance, of which what was spent in the last second is taken; the programs may spend the rest by themselves until
//! user space looks again. Steps are taken well below it, since what is recorded still has to be written, and what is
//! detached still runs for some milliseconds.

use std::collections::VecDeque;

use hostprof_common::shed::Budget;

use crate::{
    table::{ShedRow, ShedStep},
    units::MonoNs,
};

/// What the ceiling holds over.
pub const WINDOW_NS: u64 = 1_000_000_000;
/// What tells whether cost goes on as it was.
const RECENT_NS: u64 = 200_000_000;
/// How long a step is given to show.
const SETTLE_NS: u64 = 100_000_000;
/// How long cost must have been low before more is recorded again: at first, and where that was too much, twice as long
/// each time, up to the last.
const PATIENCE_NS: (u64, u64) = (3_000_000_000, 60_000_000_000);

/// What ending itself costs, detaching and writing what was recorded: kept back of the allowance, up to a share of it.
const ENDING_NS: f64 = 3e6;
const ENDING: f64 = 0.3;

/// Shares of the rest. Below this, more may be recorded again.
const CALM: f64 = 0.4;
/// Above this, and if cost goes on like this, less is recorded.
const CLIMB: f64 = 0.6;
/// Above this the programs count all episodes, without waiting for user space.
const COUNT: f64 = 0.75;
/// Above this nothing is recorded any more.
const END: f64 = 0.85;
/// What the programs may spend between two looks, where it is not they who spend.
const LEAST: f64 = 0.05;

/// Where what a step could lower is less than this share, the rest is hostprof's being there at all: it is let be up to
/// [`CONSTANT`] of the ceiling itself.
const LOWERED: f64 = 0.25;
const CONSTANT: f64 = 0.95;

/// The lengths below which episodes are counted, one after the other.
const THRESHOLDS_NS: [u64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];

/// Estimates of what the programs spend, between two looks. A context switch runs as many of them.
const RUNS_A_SWITCH: u64 = 3;
/// A traced call runs as many.
const RUNS_A_CALL: u64 = 2;
/// Least run time of one that is believed.
const LEAST_RUN_NS: u64 = 400;
/// What a record costs user space, from ring to file, some of it after the next look.
const RECORD_NS: u64 = 2_000;

/// What is recorded, from all to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// All that was asked for.
    Everything,
    /// No spans.
    SpansOff,
    /// Shorter episodes are counted, not recorded.
    ShortCounted(u64),
    /// All episodes are counted.
    AllCounted,
    /// Only samples.
    Ended,
}

/// What was used up to an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// When.
    pub at: MonoNs,
    /// Run time of the programs.
    pub bpf_ns: u64,
    /// Runs of them.
    pub runs: u64,
    /// Records read.
    pub records: u64,
    /// CPU time of this process.
    pub own_ns: u64,
    /// CPU time of the target.
    pub target_ns: u64,
}

/// What was used in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stretch {
    length_ns: u64,
    bpf_ns: u64,
    runs: u64,
    records: u64,
    own_ns: u64,
    target_ns: u64,
}

/// A step to another rung.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is recorded from now on.
    pub rung: Rung,
    /// The row of table `shed`.
    pub row: ShedRow,
}

/// What the programs did by themselves since the last look: when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByKernel {
    /// They count all episodes.
    pub counting: Option<MonoNs>,
    /// They record nothing.
    pub ended: Option<MonoNs>,
}

/// The ceiling.
pub struct Ceiling {
    most: f64,
    ladder: Vec<Rung>,
    place: usize,
    /// Oldest first, over a little more than [`WINDOW_NS`].
    history: VecDeque<Used>,
    stepped: MonoNs,
    lowered: Option<MonoNs>,
    calm_since: Option<MonoNs>,
    patience_ns: u64,
    greatest: f64,
    latest: f64,
}

impl Stretch {
    fn between(from: &Used, to: &Used) -> Self {
        Self {
            length_ns: to.at.0.saturating_sub(from.at.0),
            bpf_ns: to.bpf_ns.saturating_sub(from.bpf_ns),
            runs: to.runs.saturating_sub(from.runs),
            records: to.records.saturating_sub(from.records),
            own_ns: to.own_ns.saturating_sub(from.own_ns),
            target_ns: to.target_ns.saturating_sub(from.target_ns),
        }
    }

    fn cost_ns(&self) -> u64 {
        self.bpf_ns + self.own_ns
    }

    /// The part of it that recording less would lower.
    fn lowered_ns(&self) -> u64 {
        self.bpf_ns + self.records * RECORD_NS
    }

    /// What the target used without the programs.
    fn target_alone_ns(&self) -> u64 {
        self.target_ns.saturating_sub(self.bpf_ns)
    }

    /// What the cost of a second is held against. In the first, the target is taken to go on as it began.
    fn base_ns(&self) -> u64 {
        let alone_ns = self.target_alone_ns() as f64;
        let whole_ns = match self.length_ns {
            WINDOW_NS.. => alone_ns,
            length_ns => alone_ns * WINDOW_NS as f64 / length_ns.max(RECENT_NS) as f64,
        };
        (whole_ns as u64).max(WINDOW_NS)
    }
}

impl Ceiling {
    /// A ceiling of that ratio, from `start` on. `spans` says whether there are any to leave out.
    pub fn new(most: f64, spans: bool, start: Used) -> Self {
        let mut ladder = vec![Rung::Everything];
        if spans {
            ladder.push(Rung::SpansOff);
        }
        ladder.extend(THRESHOLDS_NS.map(Rung::ShortCounted));
        ladder.extend([Rung::AllCounted, Rung::Ended]);
        Self {
            most,
            ladder,
            place: 0,
            history: VecDeque::from([start]),
            stepped: start.at,
            lowered: None,
            calm_since: None,
            patience_ns: PATIENCE_NS.0,
            greatest: 0.0,
            latest: 0.0,
        }
    }

    /// What is recorded.
    pub fn rung(&self) -> Rung {
        self.ladder[self.place]
    }

    /// The ratio of the second up to the last look.
    pub fn latest_ratio(&self) -> f64 {
        self.latest
    }

    /// The greatest ratio that any second had, up to the last look.
    pub fn greatest_ratio(&self) -> f64 {
        self.greatest
    }

    /// The first row of table `shed`: what recording begins with.
    pub fn first_row(&self) -> ShedRow {
        self.row(self.stepped, &Stretch::default(), false)
    }

    /// Takes a look: what was used up to now, and what the programs did by themselves. Answers with the step that
    /// follows, if one does.
    pub fn look(&mut self, used: Used, by_kernel: ByKernel) -> Option<Step> {
        self.history.push_back(used);
        while self.history.get(1).is_some_and(|next| next.at.0 + WINDOW_NS <= used.at.0) {
            self.history.pop_front();
        }
        let window = self.since(WINDOW_NS);
        self.latest = ratio(&window);
        self.greatest = self.greatest.max(self.latest);
        let (at, place, kernel) = self.next(used.at, &window, by_kernel)?;
        let up = place > self.place;
        if up && self.lowered.is_some_and(|lowered| used.at.0 - lowered.0 < 2 * self.patience_ns) {
            self.patience_ns = (2 * self.patience_ns).min(PATIENCE_NS.1);
        }
        self.lowered = if up { None } else { Some(used.at) };
        self.place = place;
        self.stepped = used.at;
        self.calm_since = None;
        Some(Step { rung: self.rung(), row: self.row(at, &window, kernel) })
    }

    /// When the next step is taken, which, and whether the programs took it.
    fn next(&mut self, now: MonoNs, window: &Stretch, by_kernel: ByKernel) -> Option<(MonoNs, usize, bool)> {
        let (counted, ended) = (self.ladder.len() - 2, self.ladder.len() - 1);
        if self.place == ended {
            return None;
        }
        if let Some(at) = by_kernel.ended {
            return Some((at, ended, true));
        }
        if let Some(at) = by_kernel.counting.filter(|_| self.place < counted) {
            return Some((at, counted, true));
        }
        let usable_ns = self.usable_ns(window);
        let spent = window.cost_ns() as f64 / usable_ns;
        // What came before the last step tells nothing of what it changed.
        let recent = self.since(RECENT_NS.min(now.0.saturating_sub(self.stepped.0)));
        let recent_ns = recent.target_alone_ns().max(recent.length_ns) as f64;
        // Of that stretch, by the second's rate.
        let usable_recent_ns = recent_ns * usable_ns / window.base_ns() as f64;
        let goes_on = recent.cost_ns() as f64 > CLIMB * usable_recent_ns;
        let lowered = window.lowered_ns() as f64 / usable_ns;
        let constant = lowered <= LOWERED && ratio(window) < CONSTANT * self.most;
        if goes_on && spent > CLIMB && !constant {
            let settled = now.0.saturating_sub(self.stepped.0) >= SETTLE_NS;
            let due = if self.place < counted { settled || spent > COUNT } else { spent > END };
            return due.then_some((now, self.place + 1, false));
        }
        if spent > CALM {
            self.calm_since = None;
            return None;
        }
        let calm_since = *self.calm_since.get_or_insert(now);
        // What was detached cannot be attached again: the right to do so was given up.
        let back = self.place > 0 && self.ladder[self.place - 1] != Rung::Everything
            || self.place == 1 && self.ladder[1] != Rung::SpansOff;
        let long = now.0 - calm_since.0 >= self.patience_ns;
        (back && long).then(|| (now, self.place - 1, false))
    }

    /// The budget of the programs until the next look.
    pub fn budget(&self) -> Budget {
        let window = self.since(WINDOW_NS);
        let usable_ns = self.usable_ns(&window);
        let lowered = window.lowered_ns() as f64 / usable_ns;
        let least_ns = if lowered > LOWERED { 0.0 } else { LEAST * usable_ns };
        let left = |share: f64| share * usable_ns - window.cost_ns() as f64;
        let recent = self.since(RECENT_NS);
        let run_ns = recent.bpf_ns.checked_div(recent.runs).unwrap_or(0).max(LEAST_RUN_NS);
        Budget {
            threshold_ns: self.rung().threshold_ns(),
            count_above_ns: left(COUNT).max(least_ns) as u64,
            end_above_ns: left(END).max(2.0 * least_ns) as u64,
            switch_ns: RUNS_A_SWITCH * run_ns,
            call_ns: RUNS_A_CALL * run_ns,
            record_ns: RECORD_NS,
            ..Budget::default()
        }
    }

    /// What a second may cost, less what is kept back.
    fn usable_ns(&self, window: &Stretch) -> f64 {
        let allowed_ns = self.most * window.base_ns() as f64;
        allowed_ns - ENDING_NS.min(ENDING * allowed_ns)
    }

    /// What was used in the last `length_ns`, or since the start.
    fn since(&self, length_ns: u64) -> Stretch {
        let Some(last) = self.history.back() else { return Stretch::default() };
        let from = self.history.iter().rev().find(|used| used.at.0 + length_ns <= last.at.0);
        Stretch::between(from.or(self.history.front()).unwrap_or(last), last)
    }

    fn row(&self, at: MonoNs, window: &Stretch, by_kernel: bool) -> ShedRow {
        let (step, threshold_ns, what) = match self.rung() {
            Rung::Everything => (ShedStep::Everything, None, "all that was asked for is recorded".to_owned()),
            Rung::SpansOff => (ShedStep::SpansOff, None, "no system calls one by one".to_owned()),
            Rung::ShortCounted(ns) => {
                let what = format!("off-CPU episodes below {} are counted, not recorded", length(ns));
                (ShedStep::ShortCounted, Some(ns), what)
            }
            Rung::AllCounted => {
                (ShedStep::AllCounted, None, "all off-CPU episodes are counted, none recorded".to_owned())
            }
            Rung::Ended => (ShedStep::Ended, None, "threads are recorded no more, only samples".to_owned()),
        };
        ShedRow {
            ts_mono_ns: at.0,
            step,
            threshold_ns,
            by_kernel,
            overhead_ratio: ratio(window),
            max_overhead_ratio: self.most,
            bpf_ns: window.bpf_ns,
            own_ns: window.own_ns,
            target_ns: window.target_ns,
            what,
        }
    }
}

impl Rung {
    /// Below which length the programs count an episode.
    pub fn threshold_ns(self) -> u64 {
        match self {
            Self::Everything | Self::SpansOff => 0,
            Self::ShortCounted(ns) => ns,
            Self::AllCounted | Self::Ended => u64::MAX,
        }
    }
}

fn ratio(window: &Stretch) -> f64 {
    window.cost_ns() as f64 / window.base_ns() as f64
}

fn length(ns: u64) -> String {
    if ns < 1_000_000 { format!("{} µs", ns / 1_000) } else { format!("{} ms", ns / 1_000_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK_NS: u64 = 100_000_000;

    /// A target that keeps two CPUs busy, and what hostprof costs it by what is recorded.
    struct Machine {
        ceiling: Ceiling,
        used: Used,
        rows: Vec<ShedRow>,
    }

    impl Machine {
        fn new(most: f64, spans: bool) -> Self {
            let used = Used { at: MonoNs(5_000_000_000), ..Used::default() };
            Self { ceiling: Ceiling::new(most, spans, used), used, rows: Vec::new() }
        }

        /// Runs for a time at a cost in nanoseconds a second by rung; `target` as many CPUs busy.
        fn run(&mut self, seconds: f64, target: f64, cost: impl Fn(Rung) -> f64) {
            for _ in 0..(seconds * 1e9 / LOOK_NS as f64) as u64 {
                let by_kernel = self.until_look(target, &cost);
                let step = self.ceiling.look(self.used, by_kernel);
                self.rows.extend(step.map(|step| step.row));
            }
        }

        /// The programs up to the next look, which a step of their own brings about.
        fn until_look(&mut self, target: f64, cost: impl Fn(Rung) -> f64) -> ByKernel {
            const SLICE_NS: u64 = 1_000_000;
            let (budget, mut spent_ns) = (self.ceiling.budget(), 0);
            for _ in 0..LOOK_NS / SLICE_NS {
                let cost_ns = (cost(self.ceiling.rung()) * SLICE_NS as f64 / 1e9) as u64;
                self.used.at.0 += SLICE_NS;
                self.used.bpf_ns += cost_ns / 2;
                self.used.own_ns += cost_ns / 2;
                self.used.target_ns += (target * SLICE_NS as f64) as u64;
                spent_ns += cost_ns;
                if self.ceiling.rung() == Rung::Ended {
                    continue;
                }
                if spent_ns > budget.end_above_ns {
                    return ByKernel { ended: Some(self.used.at), counting: None };
                }
                if spent_ns > budget.count_above_ns && budget.threshold_ns != u64::MAX {
                    return ByKernel { counting: Some(self.used.at), ended: None };
                }
            }
            ByKernel::default()
        }

        fn steps(&self) -> Vec<ShedStep> {
            self.rows.iter().map(|row| row.step).collect()
        }
    }

    /// What an episode of 50 µs each 50 µs costs.
    fn short_waits(rung: Rung) -> f64 {
        if rung.threshold_ns() > 50_000 { 4e6 } else { 11.5e6 }
    }

    #[test]
    fn below_the_ceiling_nothing_is_shed() {
        let mut machine = Machine::new(0.01, true);
        machine.run(20.0, 2.0, |_| 9e6);
        assert_eq!(machine.steps(), []);
        assert!((machine.ceiling.greatest_ratio() - 0.0045).abs() < 0.001);
    }

    #[test]
    fn spans_go_first_and_then_episodes_by_their_length() {
        let mut machine = Machine::new(0.01, true);
        machine.run(3.0, 2.0, short_waits);
        assert_eq!(machine.steps(), [ShedStep::SpansOff, ShedStep::ShortCounted, ShedStep::ShortCounted]);
        assert_eq!(machine.rows[2].threshold_ns, Some(100_000));
        assert!(machine.ceiling.greatest_ratio() < 0.01, "{}", machine.ceiling.greatest_ratio());
    }

    #[test]
    fn a_cost_just_above_all_that_is_allowed_is_counted_at_once() {
        let mut machine = Machine::new(0.01, true);
        machine.run(5.0, 2.0, |rung| if rung.threshold_ns() > 50_000 { 1e6 } else { 60e6 });
        let (at, row) = machine.rows.iter().enumerate().find(|(_, row)| row.by_kernel).unwrap();
        assert_eq!((row.step, row.ts_mono_ns < 5_500_000_000), (ShedStep::AllCounted, true));
        assert_eq!(machine.rows[at + 1].threshold_ns, Some(10_000_000), "and then less is");
        assert!(machine.ceiling.greatest_ratio() < 0.01, "{}", machine.ceiling.greatest_ratio());
    }

    #[test]
    fn what_no_step_would_lower_is_let_be() {
        let mut machine = Machine::new(0.01, true);
        for _ in 0..100 {
            machine.used.at.0 += LOOK_NS;
            machine.used.own_ns += 850_000;
            machine.used.bpf_ns += 50_000;
            let step = machine.ceiling.look(machine.used, ByKernel::default());
            assert_eq!(step, None);
        }
    }

    #[test]
    fn a_target_that_idles_counts_as_one_cpu() {
        let mut machine = Machine::new(0.01, false);
        machine.run(5.0, 0.0, |_| 4e6);
        assert_eq!(machine.steps(), []);
        machine.run(5.0, 0.0, |_| 8e6);
        assert_ne!(machine.steps(), []);
    }

    #[test]
    fn the_programs_own_cost_is_no_use_of_the_target() {
        let window = Stretch {
            length_ns: WINDOW_NS,
            bpf_ns: 1_000_000_000,
            target_ns: 3_000_000_000,
            ..Stretch::default()
        };
        assert_eq!(window.base_ns(), 2_000_000_000);
        assert!((ratio(&window) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn more_is_recorded_again_once_cost_was_low_for_long_but_never_spans() {
        let mut machine = Machine::new(0.01, true);
        machine.run(2.0, 2.0, short_waits);
        let low = machine.rows.len();
        machine.run(10.0, 2.0, |_| 1e6);
        let back: Vec<_> = machine.rows[low..].iter().map(|row| (row.step, row.threshold_ns)).collect();
        assert_eq!(back, [(ShedStep::ShortCounted, Some(10_000)), (ShedStep::SpansOff, None)]);
        machine.run(100.0, 2.0, |_| 1e6);
        assert_eq!(machine.rows.len(), low + 2, "spans are gone for good");
    }

    #[test]
    fn a_step_back_that_was_too_much_is_tried_again_ever_later() {
        let mut machine = Machine::new(0.01, false);
        machine.run(300.0, 2.0, short_waits);
        let back = machine.rows.windows(2).filter(|rows| rows[1].threshold_ns < rows[0].threshold_ns).count();
        assert!((4..12).contains(&back), "{back}");
        assert!(machine.ceiling.greatest_ratio() < 0.01, "{}", machine.ceiling.greatest_ratio());
    }

    #[test]
    fn where_even_counting_costs_too_much_recording_ends_for_good() {
        let mut machine = Machine::new(0.01, true);
        machine.run(5.0, 2.0, |rung| if rung == Rung::Ended { 1e6 } else { 25e6 });
        assert_eq!(machine.steps().last(), Some(&ShedStep::Ended));
        assert!(machine.ceiling.greatest_ratio() < 0.01, "{}", machine.ceiling.greatest_ratio());
        let rows = machine.rows.len();
        machine.run(200.0, 2.0, |_| 1e6);
        assert_eq!(machine.rows.len(), rows);
    }

    #[test]
    fn what_the_programs_did_by_themselves_is_a_step_at_its_time() {
        let mut machine = Machine::new(0.01, true);
        machine.used.at.0 += LOOK_NS;
        let counting = ByKernel { counting: Some(MonoNs(5_010_000_000)), ended: None };
        let step = machine.ceiling.look(machine.used, counting).unwrap();
        assert_eq!((step.rung, step.row.ts_mono_ns), (Rung::AllCounted, 5_010_000_000));
        assert!(step.row.by_kernel);
        machine.used.at.0 += LOOK_NS;
        let ended = ByKernel { ended: Some(MonoNs(5_030_000_000)), ..counting };
        assert_eq!(machine.ceiling.look(machine.used, ended).unwrap().rung, Rung::Ended);
    }

    #[test]
    fn the_programs_may_spend_what_is_left_of_the_allowance() {
        let mut machine = Machine::new(0.01, true);
        let budget = machine.ceiling.budget();
        assert_eq!((budget.count_above_ns, budget.end_above_ns), (5_250_000, 5_950_000));
        assert_eq!((budget.switch_ns, budget.threshold_ns), (1_200, 0));
        machine.used.runs = 1000;
        machine.run(1.0, 2.0, |_| 4e6);
        let budget = machine.ceiling.budget();
        // 1 % of 2 s less the programs' 2 ms; of that less 3 ms, 85 %; less 4 ms.
        assert_eq!(budget.end_above_ns, 10_433_000);
    }
}
