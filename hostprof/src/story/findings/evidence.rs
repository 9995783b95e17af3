//! What a finding rests on, in words: who, on what, with whom, in the worst of the slow windows.

use std::collections::BTreeMap;

use super::{
    Finding, HELD, Names, STOPPED, futex_handoffs, measure,
    thresholds::{BUSY_SHARE, Cause, Rule},
};
use crate::{
    humane::{count, duration, percent, plural, share},
    ledger::Part,
    story::facts::{Contrast, Facts},
    table::State,
};

/// The lines of a rule that holds.
pub(super) fn evidence(
    rule: &Rule,
    finding: &Finding,
    of: &Contrast,
    holder: Option<usize>,
    names: &Names,
) -> Vec<String> {
    let set = |windows: usize, ns, length_ns| {
        let windows = count(windows as u64);
        format!("{} of {} ({}, mean of {windows})", duration(ns), duration(length_ns), share(ns, length_ns))
    };
    let mut lines = vec![
        rule.measure.to_owned(),
        format!(
            "slow windows {}; typical ones {}; {} of the kind in all",
            set(of.slow.len(), finding.slow_ns, finding.slow_length_ns),
            set(of.typical.len(), finding.typical_ns, finding.typical_length_ns),
            count(of.all as u64),
        ),
    ];
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
        Cause::GpuIdle => vec![made_of(worst, names)],
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
    let mut on_path: BTreeMap<usize, u64> = BTreeMap::new();
    for ((thread, part), ns) in facts.path_sums() {
        if matches!(part, Part::Off(state) if HELD.contains(&state)) {
            *on_path.entry(thread).or_default() += ns;
        }
    }
    let path_ns: u64 = on_path.values().sum();
    // What was measured is the greater of the two.
    let busiest = facts.most(BUSY_SHARE, &HELD).filter(|(_, ns)| *ns >= path_ns);
    let Some((thread, _)) =
        busiest.or_else(|| on_path.iter().map(|(of, ns)| (*of, *ns)).max_by_key(|of| of.1))
    else {
        return Vec::new();
    };
    let parts = facts.threads.iter().find(|(of, _)| *of == thread).map(|(_, parts)| &parts[..]);
    let ns_of = |state| {
        let parts = parts.unwrap_or_default().iter();
        parts.filter(|(part, _)| *part == Part::Off(state)).map(|(_, ns)| ns).sum::<u64>()
    };
    let (preempted, runqueue) = (ns_of(State::Preempted), ns_of(State::Runqueue));
    let waited = preempted + runqueue;
    let mut lines = Vec::new();
    if busiest.is_none() && on_path.len() > 1 {
        let threads = plural(on_path.len() as u64, "thread");
        lines.push(format!("worst window: its path was {} in them, in {threads}", duration(path_ns)));
    }
    lines.push(format!(
        "worst window: {} was {} in preempted and {} in runqueue, of {}",
        (names.name)(thread),
        duration(preempted),
        duration(runqueue),
        duration(facts.len_ns())
    ));
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

/// What a window's path was made of, most first.
fn made_of(facts: &Facts, names: &Names) -> String {
    let mut parts: Vec<_> = facts.path_sums().into_iter().collect();
    parts.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    let told = parts.iter().take(4).map(|((thread, part), ns)| {
        format!("{} {} in {}", (names.name)(*thread), duration(*ns), part.word())
    });
    format!(
        "worst window: idle for {}; its path: {}",
        duration(facts.beside.gpu_idle_ns.unwrap_or(0)),
        told.collect::<Vec<_>>().join(" · ")
    )
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
