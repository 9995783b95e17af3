//! A machine whose cost is known, below a ceiling.

use super::{used::WINDOW_NS, *};
use crate::table::ShedStep;

const LOOK_NS: u64 = WINDOW_NS / LOOKS_A_SECOND;

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
            if step.as_ref().is_some_and(|step| step.rung == Rung::Ended) {
                self.used.own_ns += ENDING_NS as u64;
            }
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
    if rung.threshold_ns() > 50_000 { 3e6 } else { 9.5e6 }
}

#[test]
fn below_the_ceiling_nothing_is_shed() {
    let mut machine = Machine::new(0.01, true);
    machine.run(20.0, 2.0, |_| 8e6);
    assert_eq!(machine.steps(), []);
    assert!((machine.ceiling.greatest_ratio() - 0.004).abs() < 0.0005);
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
        machine.used.own_ns += 600_000;
        machine.used.bpf_ns += 50_000;
        let step = machine.ceiling.look(machine.used, ByKernel::default());
        assert_eq!(step, None);
    }
}

#[test]
fn a_target_that_idles_counts_as_one_cpu() {
    let mut machine = Machine::new(0.01, false);
    machine.run(5.0, 0.0, |_| 3e6);
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
    assert!((window.ratio() - 0.5).abs() < 1e-9);
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
    assert!((4..20).contains(&back), "{back}");
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
    // Of 10 ms, 3 are kept back for ending and 3 for being there.
    assert_eq!((budget.count_above_ns, budget.end_above_ns), (2_800_000, 3_400_000));
    assert_eq!((budget.switch_ns, budget.threshold_ns), (1_500, 0));
    machine.used.runs = 1000;
    machine.run(1.0, 2.0, |_| 4e6);
    let budget = machine.ceiling.budget();
    // With the tenth to come, two CPUs use one second from four tenths ago: 10 ms less 3, 1.8 and the 1.6 it cost.
    assert!(budget.end_above_ns.abs_diff(3_060_000) <= 1, "{budget:?}");
}

#[test]
fn no_second_is_above_the_ceiling_whenever_a_storm_begins_and_the_target_stops() {
    for cpus in [1.0, 2.0, 8.0, 64.0] {
        for tenths in 1..12 {
            let mut machine = Machine::new(0.01, true);
            machine.run(1.3, cpus, |_| 2.5e6);
            let storm = |rung| if rung == Rung::Ended { 2.5e6 } else { 400e6 };
            machine.run(f64::from(tenths) / 10.0, cpus, storm);
            machine.run(2.0, 0.0, |_| 2.5e6);
            let greatest = machine.ceiling.greatest_ratio();
            assert!(greatest <= 0.01, "{cpus} CPUs, {tenths} tenths: {greatest}, {:?}", machine.steps());
        }
    }
}

#[test]
fn what_a_large_target_may_cost_is_spread_over_the_second() {
    let mut machine = Machine::new(0.01, true);
    machine.run(0.5, 64.0, |_| 2e6);
    // Three thousandths of the CPU time of 64 CPUs, most of it between looks.
    machine.run(5.0, 64.0, |_| 192e6);
    assert_eq!(machine.steps(), []);
    assert!((machine.ceiling.greatest_ratio() - 0.003).abs() < 0.0005);
}
