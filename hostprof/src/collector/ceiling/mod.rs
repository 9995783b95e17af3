//! The ceiling on hostprof's cost: from what it cost to what is recorded. Pure: it knows no kernel and no clock.
//!
//! What is held below the ceiling is the cost in any second, over what the target used in it. A second is not over yet
//! while its cost is spent, and the target may stop. So what counts is each stretch up to now, of a second or less: it
//! may have cost the ceiling's share of what the target has used in it so far, or of one second. Where each of them
//! holds, so does every second, whatever comes. Of that the programs may spend by themselves what is left until user
//! space looks again. Kept back is what comes after in the same second: being there, and ending.

mod rung;
mod used;

use std::collections::VecDeque;

use hostprof_common::shed::Budget;

use self::used::{Stretch, WINDOW_NS};
pub use self::{
    rung::Rung,
    used::{RECORD_NS, Used},
};
use crate::{table::ShedRow, units::MonoNs};

/// How often user space looks.
pub const LOOKS_A_SECOND: u64 = 10;
/// What tells whether cost goes on as it was.
const RECENT_NS: u64 = 200_000_000;
/// How long a step is given to show.
const SETTLE_NS: u64 = 100_000_000;
/// How long cost must have been low before more is recorded again: at first, and where that was too much, twice as long
/// each time, up to the last.
const PATIENCE_NS: (u64, u64) = (3_000_000_000, 60_000_000_000);

/// What ending costs, from the programs' stop to the last record read: kept back of what is allowed.
const ENDING_NS: f64 = 3e6;
/// What hostprof costs in a second in which it records nothing: kept back for what is left of the second.
const BEING_NS: f64 = 3e6;
/// The most that is kept back, as a share of what is allowed.
const KEPT: f64 = 0.9;

/// Shares of the rest. Below this, more may be recorded again.
const CALM: f64 = 0.35;
/// Above this, and if cost goes on like this, less is recorded.
const CLIMB: f64 = 0.5;
/// Above this no step waits for the one before to show.
const HURRY: f64 = 0.75;
/// Shares of what is left until the next look. Above this the programs count all episodes, without waiting for user
/// space.
const COUNT: f64 = 0.7;
/// Above this nothing is recorded any more.
const END: f64 = 0.85;

/// Where what a step could lower is less than this share, the rest is hostprof's being there at all: it is let be up to
/// all that may be spent.
const LOWERED: f64 = 0.25;

/// Estimates of what the programs spend, between two looks. A context switch runs as many of them.
const RUNS_A_SWITCH: u64 = 3;
/// A traced call runs as many.
const RUNS_A_CALL: u64 = 2;
/// What one of them takes, at least, as long as not many were seen: the mean of a few thousand was up to twice that of
/// many, since it counts what interrupts them, a hypervisor too.
const LEAST_RUN_NS: u64 = 500;
/// As many runs are enough to go by.
const ENOUGH_RUNS: u64 = 50_000;

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
#[derive(Debug)]
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

impl Ceiling {
    /// A ceiling of that ratio, from `start` on. `spans` says whether there are any to leave out.
    pub fn new(most: f64, spans: bool, start: Used) -> Self {
        Self {
            most,
            ladder: Rung::ladder(spans),
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

    /// The ratio.
    pub fn most(&self) -> f64 {
        self.most
    }

    /// What was used up to the last look, or the start.
    pub fn last(&self) -> Used {
        self.history.back().copied().unwrap_or_default()
    }

    /// What is recorded.
    pub fn rung(&self) -> Rung {
        self.ladder[self.place]
    }

    /// The ratio of the second up to the last look.
    pub fn latest_ratio(&self) -> f64 {
        self.latest
    }

    /// The greatest ratio that any second had, up to the last look: no less than that, and in the second that is not
    /// over yet as if the target did nothing more in it.
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
        self.greatest = self.stretches().map(|stretch| stretch.ratio()).fold(self.greatest, f64::max);
        let window = self.since(WINDOW_NS);
        self.latest = window.ratio();
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
        let spent = self.spent();
        // What came before the last step tells nothing of what it changed.
        let recent = self.since(RECENT_NS.min(now.0.saturating_sub(self.stepped.0))).as_second();
        let goes_on = recent.cost_ns() as f64 > CLIMB * self.usable_ns(&recent);
        let constant = window.lowered_ns() as f64 <= LOWERED * self.usable_ns(window) && spent < 1.0;
        if goes_on && spent > CLIMB && !constant {
            let settled = now.0.saturating_sub(self.stepped.0) >= SETTLE_NS;
            let due = if self.place < counted { settled || spent > HURRY } else { spent > END };
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

    /// The budget of the programs until the next look, up to which the target is taken to go on as it did.
    pub fn budget(&self) -> Budget {
        let recent = self.since(RECENT_NS);
        let ahead_ns = recent.as_second().target_alone_ns() / LOOKS_A_SECOND;
        let left = |stretch: Stretch| {
            let then = Stretch { target_ns: stretch.target_ns + ahead_ns, ..stretch };
            self.usable_ns(&then) - stretch.cost_ns() as f64
        };
        let left_ns = self.stretches().map(left).fold(f64::INFINITY, f64::min).max(0.0);
        let mean_ns = recent.bpf_ns.checked_div(recent.runs).unwrap_or(0);
        let run_ns = if recent.runs < ENOUGH_RUNS { mean_ns.max(LEAST_RUN_NS) } else { mean_ns * 5 / 4 };
        Budget {
            threshold_ns: self.rung().threshold_ns(),
            count_above_ns: (COUNT * left_ns) as u64,
            end_above_ns: (END * left_ns) as u64,
            switch_ns: RUNS_A_SWITCH * run_ns,
            call_ns: RUNS_A_CALL * run_ns,
            record_ns: RECORD_NS,
            ..Budget::default()
        }
    }

    /// What a stretch up to now may have cost, less what is kept back.
    fn usable_ns(&self, stretch: &Stretch) -> f64 {
        let allowed_ns = self.most * stretch.base_ns() as f64;
        let kept_ns = ENDING_NS + BEING_NS * stretch.rest_of_second();
        allowed_ns - kept_ns.min(KEPT * allowed_ns)
    }

    /// What is spent of that, by the stretch that says most.
    fn spent(&self) -> f64 {
        let spent = |stretch: Stretch| stretch.cost_ns() as f64 / self.usable_ns(&stretch);
        self.stretches().map(spent).fold(0.0, f64::max)
    }

    /// Each stretch from a look, not much more than a second ago, up to the last.
    fn stretches(&self) -> impl Iterator<Item = Stretch> {
        let last = self.last();
        self.history.iter().map(move |from| Stretch::between(from, &last))
    }

    /// What was used in the last `length_ns`, or since the start.
    fn since(&self, length_ns: u64) -> Stretch {
        let Some(last) = self.history.back() else { return Stretch::default() };
        let from = self.history.iter().rev().find(|used| used.at.0 + length_ns <= last.at.0);
        Stretch::between(from.or(self.history.front()).unwrap_or(last), last)
    }

    fn row(&self, at: MonoNs, window: &Stretch, by_kernel: bool) -> ShedRow {
        let (step, threshold_ns, what) = self.rung().told();
        ShedRow {
            ts_mono_ns: at.0,
            step,
            threshold_ns,
            by_kernel,
            overhead_ratio: window.ratio(),
            max_overhead_ratio: self.most,
            bpf_ns: window.bpf_ns,
            own_ns: window.own_ns,
            target_ns: window.target_ns,
            what,
        }
    }
}

#[cfg(test)]
mod tests;
