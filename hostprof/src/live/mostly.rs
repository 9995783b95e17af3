//! What threads mostly waited for, in one line: attribution, not cause.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    counters::{IRQ, Kind, OTHERS},
    picture::Waiting,
    rolling::Rolling,
    window::Summed,
};
use crate::{
    hash::IntMap,
    ledger::StateTimes,
    table::{State, Word as _},
};

/// The least share of its time that a thread runs, or would, to be at work.
const AT_WORK: f64 = 0.01;

/// Of the threads that are at work; where none is, of all.
pub(super) fn mostly(rolling: &Rolling, threads: &[Summed<'_>]) -> Option<Waiting> {
    let at_work: Vec<&Summed<'_>> = threads.iter().filter(|thread| is_at_work(&thread.sum.times)).collect();
    let of = if at_work.is_empty() { threads.iter().collect() } else { at_work };
    let mut times = StateTimes::default();
    for thread in &of {
        times.add(&thread.sum.times);
    }
    let state = *State::ALL.iter().rev().max_by_key(|state| times.off(**state))?;
    if times.off(state) == 0 {
        return None;
    }
    let ratio = times.off(state) as f64 / times.total_ns().max(1) as f64;
    let mut by_group = vec![0; rolling.groups.len()];
    let (mut futexes, mut wakers): (IntMap<(u32, u64), u64>, IntMap<u64, u64>) = Default::default();
    for thread in &of {
        let waited = thread.sum.times.off(state);
        if waited == 0 {
            continue;
        }
        by_group[thread.track.group] += waited;
        if state == State::Futex {
            for (address, ns) in thread.track.of_kind(&thread.sum, Kind::FutexTime) {
                *futexes.entry((thread.track.life.tgid, address)).or_default() += ns;
            }
        }
        for (waker, count) in thread.track.of_kind(&thread.sum, Kind::Waker) {
            *wakers.entry(waker).or_default() += count;
        }
    }
    let mut roles: BTreeMap<&str, u64> = BTreeMap::new();
    for (group, waited) in rolling.groups.iter().zip(by_group) {
        *roles.entry(&group.role).or_default() += waited;
    }
    let role = roles.into_iter().max_by_key(|(role, ns)| (*ns, std::cmp::Reverse(*role)));
    let role = role.map(|(role, _)| role.to_owned()).unwrap_or_default();
    let mut text = state.word().to_owned();
    if state == State::Futex
        && let Some(((_, address), _)) =
            futexes.iter().max_by_key(|(key, ns)| (**ns, std::cmp::Reverse(**key)))
        && *address != OTHERS
    {
        let _ = write!(text, " {address:#x}");
    }
    let _ = write!(text, " ({:.0} %)", ratio * 100.0);
    if !role.is_empty() {
        let _ = write!(text, ", mostly {role}");
    }
    if let Some((waker, _)) = wakers.iter().max_by_key(|(waker, count)| (**count, std::cmp::Reverse(**waker)))
    {
        let waker = match *waker {
            IRQ => "interrupts".to_owned(),
            OTHERS => "many".to_owned(),
            tid => {
                let waker = rolling.waker(tid, 0);
                format!("{}/{tid}", waker.comm)
            }
        };
        let _ = write!(text, ", woken by {waker}");
    }
    Some(Waiting { state, ratio, role, text })
}

fn is_at_work(times: &StateTimes) -> bool {
    let ready = times.off(State::Runqueue) + times.off(State::Preempted) + times.off(State::Throttled);
    (times.on_cpu_ns + ready) as f64 >= AT_WORK * times.total_ns().max(1) as f64
}
