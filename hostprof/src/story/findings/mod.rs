//! What the slow windows had that the typical ones had not, by name. Attribution: that it caused the delay, an experiment
//! has to show.

mod evidence;
mod thresholds;

use std::collections::BTreeMap;

use serde::Serialize;

use self::evidence::evidence;
use self::thresholds::{
    BUSY_SHARE, GPU_IDLE, HOLDER_TYPICAL_SHARE, LEAST_NS, LEAST_OF_EXCESS, LEAST_OF_EXPLAINED, LEAST_RATIO,
    REFAULTS_PER_SECOND, SLOW_DISK_NS, SPIN_WAIT_SHARE,
};
pub use self::thresholds::{Cause, RULES, Rule};
use super::{
    facts::{Contrast, Facts, mean},
    path::{Handoff, On},
    scene::Scene,
};
use crate::{
    ledger::{Part, Window},
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

/// Looks for every rule in one kind of window; those found, in the order of the rules.
pub fn findings(windows: &'static str, of: &Contrast, names: &Names) -> Vec<Finding> {
    RULES.iter().filter_map(|rule| finding(rule, windows, of, names)).collect()
}

/// Puts findings in order: most of the slow windows' time first, but what another explains after that one.
pub fn in_order(mut found: Vec<Finding>) -> Vec<Finding> {
    // A stable sort: of the same time the earlier rule stays first.
    found.sort_by(|one, other| other.share().total_cmp(&one.share()));
    let is_explained = |of: &Finding| {
        let by = RULES.iter().find(|rule| rule.word == of.cause).map_or(&[][..], |rule| rule.explained_by);
        let explains =
            |other: &Finding| by.contains(&other.cause) && other.share() >= LEAST_OF_EXPLAINED * of.share();
        found.iter().any(explains)
    };
    let ranks: Vec<u8> =
        found.iter().map(|of| if of.cause == GPU_IDLE { 2 } else { u8::from(is_explained(of)) }).collect();
    let mut ranked: Vec<(u8, Finding)> = ranks.into_iter().zip(found).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, finding)| finding).collect()
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
    let more = carried_ns >= LEAST_NS
        && finding.slow_ns as f64 >= LEAST_RATIO * finding.typical_ns as f64
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
        Cause::ColdCache => read_from_storage(facts),
        Cause::Reclaim => reclaim(facts),
        Cause::YieldSpin => {
            let waited = in_states(&HELD) as f64;
            if waited < SPIN_WAIT_SHARE * facts.len_ns() as f64 {
                return 0;
            }
            facts.most(0.0, &[State::Yield]).map_or(0, |(_, ns)| ns)
        }
        Cause::Lock => holder.map_or(0, |holder| held_by(facts, holder)),
        Cause::GpuIdle => facts.beside.gpu_idle_ns.unwrap_or(0),
    }
}

/// Time in which what was waited for, or a thread that computes, waited for pages of files.
fn read_from_storage(facts: &Facts) -> u64 {
    let faulted = |part| part == Part::Off(State::PageFault);
    let waited = facts.on_path(|part, on| on == On::Storage && (faulted(part) || is_read(part)));
    match facts.beside.major_faults {
        0 => waited,
        _ => waited
            .max(facts.on_path(|part, _| faulted(part)))
            .max(facts.most(0.0, &[State::PageFault]).map_or(0, |(_, ns)| ns)),
    }
}

/// PSI counts the wait for a page that is read again only where the page had been in use for long; so refaults tell too.
fn reclaim(facts: &Facts) -> u64 {
    let waited = (facts.beside.memory_some_ratio.unwrap_or(0.0) * facts.len_ns() as f64) as u64;
    match facts.beside.refaults_per_second {
        Some(rate) if rate >= REFAULTS_PER_SECOND => waited.max(read_from_storage(facts)),
        _ => waited,
    }
}

fn is_read(part: Part) -> bool {
    part == Part::Off(State::Read)
}

/// Time on the path in a thread while another waited for it in a futex, but for what other rules name.
fn held_by(facts: &Facts, holder: usize) -> u64 {
    let named = |part: Part| {
        matches!(part, Part::Off(state) if STOPPED.contains(&state) || HELD.contains(&state)
            || matches!(state, State::Throttled | State::PageFault))
    };
    let waits: Vec<Window> =
        futex_handoffs(facts).filter(|of| of.waker == holder).map(Handoff::wait).collect();
    let steps = facts.path.iter().flat_map(|path| &path.steps);
    let held = steps.filter(|step| step.thread == holder && !named(step.part));
    held.map(|step| waits.iter().map(|wait| step.within(wait)).max().unwrap_or(0)).sum()
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
    // Without typical paths none is unusual.
    let length_ns = mean(&of.typical, Facts::len_ns);
    had.retain(|&holder, _| {
        let typical_ns = mean(&of.typical, |facts| held_by(facts, holder));
        (typical_ns as f64) < HOLDER_TYPICAL_SHARE * length_ns as f64
    });
    had.into_iter().max_by_key(|(_, ns)| *ns).map(|(holder, _)| holder)
}

/// Waits for a futex that another thread ended than the one that answers: that one holds nothing its own answer waits
/// for; it gives threads of a pool their work, for which those wait in a futex.
fn futex_handoffs(facts: &Facts) -> impl Iterator<Item = &Handoff> {
    let handoffs = facts.path.iter().flat_map(|path| &path.handoffs);
    // A path begins in the thread that answers.
    let answers = facts.path.as_ref().and_then(|path| path.handoffs.first()).map(|first| first.waiter);
    handoffs.filter(move |handoff| handoff.state == State::Futex && Some(handoff.waker) != answers)
}

#[cfg(test)]
mod tests;
