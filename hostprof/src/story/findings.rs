//! What the slow windows had that the typical ones had not, by name. Attribution: that it caused the delay, an experiment
//! has to show.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    facts::{Contrast, Facts, mean},
    path::{Handoff, On},
    scene::Scene,
    thresholds::{
        BUSY_SHARE, Cause, HOLDER_TYPICAL_SHARE, LEAST_NS, LEAST_OF_EXCESS, LEAST_RATIO, RULES, Rule,
        SLOW_DISK_NS, SPIN_WAIT_SHARE,
    },
};
use crate::{
    humane::{count, duration, percent, plural, share},
    ledger::Part,
    table::State,
};

/// Something that slow windows had.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// Its rule's word.
    pub cause: &'static str,
    pub title: &'static str,
    /// Of which windows.
    pub windows: &'static str,
    /// Time of it in slow windows, and their length, on average.
    pub slow_ns: u64,
    pub slow_length_ns: u64,
    /// The same of typical windows.
    pub typical_ns: u64,
    pub typical_length_ns: u64,
    /// Typical windows have it as well.
    pub steady: bool,
    /// What it rests on, in words.
    pub evidence: Vec<String>,
}

impl Finding {
    fn share(&self) -> f64 {
        self.slow_ns as f64 / self.slow_length_ns.max(1) as f64
    }
}

/// What findings name threads by.
pub struct Names<'a> {
    pub scene: &'a Scene,
    /// A thread by its place: name, tid and role.
    pub name: &'a dyn Fn(usize) -> String,
}

const STOPPED: [State; 3] = [State::Stopped, State::Traced, State::Frozen];
const HELD: [State; 2] = [State::Preempted, State::Runqueue];

/// Looks for every rule in one kind of window; those found, most of the slow windows' time first.
pub fn findings(windows: &'static str, of: &Contrast, names: &Names) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        RULES.iter().filter_map(|rule| finding(rule, windows, of, names)).collect();
    // A stable sort: of the same time the earlier rule stays first.
    found.sort_by(|one, other| other.share().total_cmp(&one.share()));
    found
}

fn finding(rule: &Rule, windows: &'static str, of: &Contrast, names: &Names) -> Option<Finding> {
    if of.slow.is_empty() {
        return None;
    }
    let holder = (rule.cause == Cause::Lock).then(|| holder(of)).flatten();
    let measure = |facts: &Facts| measure(rule.cause, facts, holder);
    let finding = Finding {
        cause: rule.word,
        title: rule.title,
        windows,
        slow_ns: mean(&of.slow, measure),
        slow_length_ns: mean(&of.slow, Facts::len_ns),
        typical_ns: mean(&of.typical, measure),
        typical_length_ns: mean(&of.typical, Facts::len_ns),
        steady: false,
        evidence: Vec::new(),
    };
    let typical_share = finding.typical_ns as f64 / finding.typical_length_ns.max(1) as f64;
    let steady = of.typical.is_empty() || typical_share >= rule.least_share;
    let excess_ns = finding.slow_length_ns.saturating_sub(finding.typical_length_ns);
    let carried_ns = finding.slow_ns.saturating_sub(finding.typical_ns);
    let more = finding.slow_ns as f64 >= LEAST_RATIO * finding.typical_ns as f64
        && carried_ns as f64 >= LEAST_OF_EXCESS * excess_ns as f64;
    if finding.slow_ns < LEAST_NS || finding.share() < rule.least_share || !(steady || more) {
        return None;
    }
    let evidence = evidence(rule, &finding, of, holder, names);
    Some(Finding { steady: steady && !of.typical.is_empty(), evidence, ..finding })
}

/// How much of a window is a cause's.
fn measure(cause: Cause, facts: &Facts, holder: Option<usize>) -> u64 {
    let in_states = |states: &'static [State]| {
        facts.on_path(|part, _| matches!(part, Part::Off(state) if states.contains(&state)))
    };
    let or_busiest = |states: &'static [State]| {
        in_states(states).max(facts.most(BUSY_SHARE, states).map_or(0, |(_, ns)| ns))
    };
    match cause {
        Cause::Stopped => in_states(&STOPPED),
        Cause::Quota => or_busiest(&[State::Throttled]),
        Cause::CpuContention => or_busiest(&HELD),
        Cause::SlowClient => facts.on_path(|_, on| on == On::Send),
        Cause::SlowDisk => match facts.beside.disk_await_ns {
            Some(ns) if ns >= SLOW_DISK_NS => facts.on_path(|_, on| on == On::Storage),
            _ => 0,
        },
        Cause::ColdCache => {
            let faulted = |part| part == Part::Off(State::PageFault);
            let waited = facts.on_path(|part, on| on == On::Storage && (faulted(part) || is_read(part)));
            match facts.beside.major_faults {
                0 => waited,
                _ => waited
                    .max(facts.on_path(|part, _| faulted(part)))
                    .max(facts.most(0.0, &[State::PageFault]).map_or(0, |(_, ns)| ns)),
            }
        }
        Cause::Reclaim => (facts.beside.memory_some_ratio.unwrap_or(0.0) * facts.len_ns() as f64) as u64,
        Cause::YieldSpin => {
            let waited = in_states(&HELD) as f64;
            if waited < SPIN_WAIT_SHARE * facts.len_ns() as f64 {
                return 0;
            }
            facts.most(0.0, &[State::Yield]).map_or(0, |(_, ns)| ns)
        }
        Cause::Lock => holder.map_or(0, |holder| held_by(facts, holder)),
    }
}

fn is_read(part: Part) -> bool {
    part == Part::Off(State::Read)
}

/// Time on the path in a thread, but for what other rules name.
fn held_by(facts: &Facts, holder: usize) -> u64 {
    let named = |part: Part| {
        matches!(part, Part::Off(state) if STOPPED.contains(&state) || HELD.contains(&state)
            || matches!(state, State::Throttled | State::PageFault))
    };
    let sums = facts.path_sums().into_iter();
    sums.filter(|((thread, part), _)| *thread == holder && !named(*part)).map(|(_, ns)| ns).sum()
}

/// The thread that slow paths went to from a futex, and typical ones hardly did, with most time.
fn holder(of: &Contrast) -> Option<usize> {
    let mut had: BTreeMap<usize, u64> = BTreeMap::new();
    for facts in &of.slow {
        let mut holders: Vec<usize> = futex_handoffs(facts).map(|handoff| handoff.waker).collect();
        holders.sort_unstable();
        holders.dedup();
        for holder in holders {
            *had.entry(holder).or_default() += held_by(facts, holder);
        }
    }
    let length_ns = mean(&of.typical, Facts::len_ns);
    had.retain(|&holder, _| {
        let typical_ns = mean(&of.typical, |facts| held_by(facts, holder));
        (typical_ns as f64) < HOLDER_TYPICAL_SHARE * length_ns.max(1) as f64
    });
    had.into_iter().max_by_key(|(_, ns)| *ns).map(|(holder, _)| holder)
}

fn futex_handoffs(facts: &Facts) -> impl Iterator<Item = &Handoff> {
    let handoffs = facts.path.iter().flat_map(|path| &path.handoffs);
    handoffs.filter(|handoff| handoff.state == State::Futex)
}

fn evidence(
    rule: &Rule,
    finding: &Finding,
    of: &Contrast,
    holder: Option<usize>,
    names: &Names,
) -> Vec<String> {
    let set = |windows: usize, ns, length_ns| {
        format!("{} of {} ({}) in {windows}", duration(ns), duration(length_ns), share(ns, length_ns))
    };
    let mut lines = vec![format!(
        "{}: {} slow windows on average, {} typical ones; {} of the kind in all",
        rule.measure,
        set(of.slow.len(), finding.slow_ns, finding.slow_length_ns),
        set(of.typical.len(), finding.typical_ns, finding.typical_length_ns),
        count(of.all as u64),
    )];
    let Some(worst) = of.slow.iter().max_by_key(|facts| measure(rule.cause, facts, holder)) else {
        return lines;
    };
    lines.extend(match rule.cause {
        Cause::Stopped => on_path(worst, &STOPPED, names),
        Cause::Quota => quota(worst, names),
        Cause::CpuContention => contention(worst, names),
        Cause::SlowClient => on_path(worst, &[State::Network, State::Write], names),
        Cause::SlowDisk | Cause::ColdCache => storage(worst, names),
        Cause::Reclaim => {
            let refaults = worst.beside.refaults_per_second.map(|rate| {
                format!("pages of files evicted shortly before were read again: {rate:.0} a second")
            });
            refaults.into_iter().collect()
        }
        Cause::YieldSpin => worst
            .most(0.0, &[State::Yield])
            .map(|(thread, ns)| format!("{} was {} in yield", (names.name)(thread), duration(ns)))
            .into_iter()
            .collect(),
        Cause::Lock => holder.map(|holder| held(worst, holder, names)).unwrap_or_default(),
    });
    lines
}

/// The threads that were on the path in some states.
fn on_path(facts: &Facts, states: &[State], names: &Names) -> Vec<String> {
    let sums = facts.path_sums().into_iter();
    sums.filter(|((_, part), _)| matches!(part, Part::Off(state) if states.contains(state)))
        .map(|((thread, part), ns)| {
            format!("worst window: {} was {} in {}", (names.name)(thread), duration(ns), part.word())
        })
        .collect()
}

fn quota(facts: &Facts, names: &Names) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some((thread, ns)) = facts.most(BUSY_SHARE, &[State::Throttled]) {
        lines.push(format!(
            "worst window: {} was {} in throttled, of {}",
            (names.name)(thread),
            duration(ns),
            duration(facts.len_ns())
        ));
    }
    if let (Some(quota), Some(ratio)) = (&facts.beside.quota, facts.beside.throttled_periods_ratio) {
        lines.push(format!("cgroup {quota}, used up in {} of the periods about it", percent(ratio)));
    }
    lines
}

fn contention(facts: &Facts, names: &Names) -> Vec<String> {
    let held = facts.most(BUSY_SHARE, &HELD).map(|(thread, _)| thread);
    let on_path = facts
        .path_sums()
        .into_iter()
        .filter(|((_, part), _)| matches!(part, Part::Off(state) if HELD.contains(state)))
        .max_by_key(|(_, ns)| *ns)
        .map(|((thread, _), _)| thread);
    let Some(thread) = held.or(on_path) else { return Vec::new() };
    let parts = facts.threads.iter().find(|(of, _)| *of == thread).map(|(_, parts)| &parts[..]);
    let ns_of = |state| {
        let parts = parts.unwrap_or_default().iter();
        parts.filter(|(part, _)| *part == Part::Off(state)).map(|(_, ns)| ns).sum::<u64>()
    };
    let (preempted, runqueue) = (ns_of(State::Preempted), ns_of(State::Runqueue));
    let waited = preempted + runqueue;
    let mut lines = vec![format!(
        "worst window: {} was {} in preempted and {} in runqueue, of {}",
        (names.name)(thread),
        duration(preempted),
        duration(runqueue),
        duration(facts.len_ns())
    )];
    let had = names.scene.preemptors(thread, facts.window);
    let recorded: u64 = had.iter().map(|(_, ns)| ns).sum();
    let mut who: Vec<String> = had
        .iter()
        .take(3)
        .map(|(thread, ns)| format!("{} {}", (names.name)(*thread), share(*ns, waited)))
        .collect();
    who.push(format!("programs that are not recorded {}", share(waited.saturating_sub(recorded), waited)));
    lines.push(format!("who ran there meanwhile: {}", who.join(" · ")));
    if let Some(busy) = facts.beside.cpu_busy_ratio {
        lines.push(format!("the machine's CPUs were {} busy about it", percent(busy)));
    }
    lines
}

fn storage(facts: &Facts, names: &Names) -> Vec<String> {
    let mut lines = on_path(facts, &[State::PageFault, State::Read, State::Write, State::Fsync], names);
    if facts.beside.major_faults > 0 {
        lines.push(format!("{} in rows that overlap it", plural(facts.beside.major_faults, "major fault")));
    }
    if let (Some(disk), Some(ns)) = (&facts.beside.disk, facts.beside.disk_await_ns) {
        lines.push(format!("{disk} took {} a read or write on average about it", duration(ns)));
    }
    lines
}

fn held(facts: &Facts, holder: usize, names: &Names) -> Vec<String> {
    let mut by_futex: BTreeMap<(usize, Option<u64>), u64> = BTreeMap::new();
    for handoff in futex_handoffs(facts).filter(|handoff| handoff.waker == holder) {
        *by_futex.entry((handoff.waiter, handoff.arg0)).or_default() += handoff.blocked_ns;
    }
    let mut lines: Vec<String> = by_futex
        .into_iter()
        .map(|((waiter, address), ns)| {
            let address = address.map_or_else(|| "a futex".to_owned(), |at| format!("futex {at:#x}"));
            let (waiter, holder) = ((names.name)(waiter), (names.name)(holder));
            format!("worst window: {waiter} waited {} for {address}, which {holder} ended", duration(ns))
        })
        .collect();
    let sums = facts.path_sums().into_iter().filter(|((thread, _), _)| *thread == holder);
    let did: Vec<String> = sums.map(|((_, part), ns)| format!("{} {}", part.word(), duration(ns))).collect();
    lines.push(format!("{} meanwhile: {}", (names.name)(holder), did.join(" · ")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::{Replay, Window},
        story::{
            Beside, Handoff, InFlight,
            path::{
                path,
                tests::{row, scene, threads},
            },
        },
        table::{FdKind, OffCpuRow, ThreadRow},
    };

    const MS: u64 = 1_000_000;

    /// Three threads, of which the first answers.
    fn recorded() -> Vec<ThreadRow> {
        threads(3).into_iter().map(|row| ThreadRow { end_mono_ns: 1000 * MS, ..row }).collect()
    }

    fn ms(tid: u32, state: State, times: [u64; 3], waker: Option<u32>) -> OffCpuRow {
        row(tid, state, times.map(|ms| ms * MS), waker)
    }

    /// A window of so many ms from the first on, as the rows have it.
    fn facts(rows: &[OffCpuRow], length: u64) -> Facts {
        let threads = recorded();
        let window = Window { start_ns: 0, end_ns: length * MS };
        let mut marks = crate::ledger::Marks::new(vec![window.start_ns, window.end_ns], threads.len());
        let mut replay = Replay::new(&threads, &[]);
        for row in rows {
            replay.off_cpu(row, |piece| marks.add(piece)).unwrap();
        }
        replay.finish(|piece| marks.add(piece));
        marks.finish();
        Facts {
            window,
            path: Some(path(&scene(&threads, rows), 0, window)),
            threads: (0..3).map(|thread| (thread, marks.window(thread, window))).collect(),
            in_flight: InFlight::default(),
            prefills: InFlight::default(),
            beside: Beside::default(),
        }
    }

    fn idle(tid: u32, until: u64) -> OffCpuRow {
        ms(tid, State::Poll, [0, until, until], None)
    }

    /// The answering thread waits for the second one, which computes.
    fn typical() -> Facts {
        facts(&[idle(3, 900), ms(1, State::Futex, [1, 39, 39], Some(2))], 40)
    }

    fn found(slow: Facts, typical: Vec<Facts>) -> Vec<Finding> {
        let threads = recorded();
        let scene = scene(&threads, &[]);
        let name = |thread: usize| format!("t{}", thread + 1);
        let of = Contrast { slow: vec![slow], typical, all: 10 };
        findings("gaps between tokens", &of, &Names { scene: &scene, name: &name })
    }

    fn first(slow: Facts) -> (&'static str, u64) {
        let found = found(slow, vec![typical(), typical()]);
        let first = found.first().unwrap_or_else(|| panic!("nothing found"));
        (first.cause, first.slow_ns / MS)
    }

    #[test]
    fn a_helper_that_was_stopped_is_named() {
        let rows = [
            idle(3, 900),
            ms(2, State::Stopped, [5, 105, 106], Some(99)),
            ms(1, State::Futex, [1, 139, 139], Some(2)),
        ];
        assert_eq!(first(facts(&rows, 140)), ("stopped", 100));
    }

    #[test]
    fn others_on_the_cpu_of_a_thread_that_is_waited_for_are_named() {
        let held = |at| ms(2, State::Preempted, [at, at, at + 8], None);
        let mut rows = vec![idle(3, 900)];
        rows.extend((1..=7).map(|at| held(at * 10)));
        rows.push(ms(1, State::Futex, [1, 99, 99], Some(2)));
        assert_eq!(first(facts(&rows, 100)), ("cpu_contention", 56));
    }

    #[test]
    fn others_on_the_cpu_of_a_thread_that_spins_with_one_waited_for_are_named() {
        let mut rows: Vec<OffCpuRow> =
            (1..=7).map(|at| ms(3, State::Preempted, [at * 10, at * 10, at * 10 + 8], None)).collect();
        rows.push(ms(1, State::Futex, [1, 99, 99], Some(2)));
        assert_eq!(first(facts(&rows, 100)), ("cpu_contention", 56), "t2 spins, t3 was held");
    }

    #[test]
    fn a_quota_is_named() {
        let rows = [
            idle(3, 900),
            ms(2, State::Throttled, [20, 20, 80], None),
            ms(1, State::Futex, [1, 99, 99], Some(2)),
        ];
        assert_eq!(first(facts(&rows, 100)), ("cpu_quota", 60));
    }

    #[test]
    fn who_held_a_lock_is_named_with_what_it_did() {
        let rows = [
            ms(3, State::Sleep, [2, 80, 80], None),
            ms(2, State::Futex, [5, 90, 90], Some(3)),
            ms(1, State::Futex, [1, 119, 119], Some(2)),
        ];
        let found = found(facts(&rows, 120), vec![typical(), typical()]);
        assert_eq!((found[0].cause, found[0].slow_ns / MS), ("lock", 90));
        let evidence = found[0].evidence.join("\n");
        assert!(evidence.contains("t2 waited 85.0 ms for a futex, which t3 ended"), "{evidence}");
        assert!(evidence.contains("t3 meanwhile: on_cpu 12.0 ms · sleep 78.0 ms"), "{evidence}");
    }

    #[test]
    fn files_that_are_not_in_memory_are_named_and_a_slow_disk_before_them() {
        let fault = OffCpuRow { major: true, ..ms(2, State::PageFault, [10, 60, 60], None) };
        let rows = [idle(3, 900), fault, ms(1, State::Futex, [1, 99, 99], Some(2))];
        let cold = facts(&rows, 100);
        assert_eq!(first(cold.clone()), ("cold_page_cache", 50));
        let disk_await_ns = Some(SLOW_DISK_NS);
        let slow = Facts { beside: Beside { disk_await_ns, ..Beside::default() }, ..cold };
        assert_eq!(first(slow), ("slow_disk", 50));
    }

    #[test]
    fn memory_that_had_to_be_made_free_is_named() {
        let memory_some_ratio = Some(0.6);
        let beside = Beside { memory_some_ratio, refaults_per_second: Some(900.0), ..Beside::default() };
        assert_eq!(first(Facts { beside, ..facts(&[idle(2, 900), idle(3, 900)], 100) }), ("memory_reclaim", 60));
    }

    #[test]
    fn a_neighbour_that_spins_in_sched_yield_is_named() {
        let mut rows: Vec<OffCpuRow> =
            (1..=9).map(|at| ms(3, State::Yield, [at * 10, at * 10, at * 10 + 6], None)).collect();
        rows.push(ms(2, State::Preempted, [20, 20, 40], None));
        rows.push(ms(1, State::Futex, [1, 99, 99], Some(2)));
        assert_eq!(first(facts(&rows, 100)), ("yield_spin", 54));
    }

    #[test]
    fn a_client_that_takes_no_more_is_named() {
        let send = OffCpuRow {
            syscall_nr: Some(44),
            fd_kind: Some(FdKind::Socket),
            ..ms(1, State::Network, [10, 90, 90], None)
        };
        assert_eq!(first(facts(&[idle(2, 900), idle(3, 900), send], 100)), ("slow_client", 80));
    }

    #[test]
    fn where_nothing_was_in_the_way_nothing_is_found() {
        let long = facts(&[idle(3, 900), ms(1, State::Futex, [1, 399, 399], Some(2))], 400);
        assert_eq!(found(long, vec![typical(); 3]), []);
        assert_eq!(found(typical(), vec![]), []);
    }

    #[test]
    fn what_typical_windows_have_as_well_is_named_as_steady() {
        let held = || {
            facts(
                &[
                    idle(3, 900),
                    ms(2, State::Throttled, [10, 10, 60], None),
                    ms(1, State::Futex, [1, 99, 99], Some(2)),
                ],
                100,
            )
        };
        let found = found(held(), vec![held(), held()]);
        assert_eq!((found[0].cause, found[0].steady), ("cpu_quota", true));
    }

    #[test]
    fn handoffs_of_other_waits_hold_no_lock() {
        let handoff = Handoff { waiter: 0, waker: 2, at_ns: 0, state: State::Read, arg0: None, blocked_ns: 9 };
        let mut facts = facts(&[idle(3, 900), ms(1, State::Read, [1, 99, 99], Some(2))], 100);
        facts.path.as_mut().unwrap().handoffs.push(handoff);
        assert_eq!(futex_handoffs(&facts).count(), 0);
    }
}
