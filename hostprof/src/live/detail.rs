//! One thread in depth.

use super::{
    bins::{Slices, Window},
    counters::{Kind, OTHERS, of_kind},
    picture::{FutexWait, ThreadDetail},
    rolling::Rolling,
    window::{Summed, add_open, call, empty_slices, on_cpu, settle},
};
use crate::units::{Tgid, Tid};

/// The thread of that tid in a window; `None` where none lives in it.
pub(super) fn detail(
    rolling: &Rolling,
    window: &Window,
    slices: &Slices,
    tid: Tid,
    threads: &[Summed<'_>],
) -> Option<ThreadDetail> {
    let Summed { track, sum } = threads.iter().rfind(|thread| thread.track.life.tid == tid.0)?;
    let mut timeline = empty_slices(slices);
    on_cpu(&mut timeline, track);
    track.states(window, |spent, at, ns| {
        spent.add(&mut timeline[slices.of(at)].times, ns.cast_signed());
    });
    track.sum(window, false, |state, from, to| add_open(&mut timeline, slices, state, from, to));
    settle(&mut timeline);
    let counters = &sum.counters;
    let mut calls: Vec<_> =
        of_kind(counters, Kind::CallTime).map(|(nr, ns)| call(counters, nr, ns)).collect();
    calls.sort_by_key(|call| std::cmp::Reverse(call.total_ns));
    let mut wakers: Vec<_> =
        of_kind(counters, Kind::Waker).map(|(waker, wakeups)| rolling.waker(waker, wakeups)).collect();
    wakers.sort_by_key(|waker| std::cmp::Reverse(waker.wakeups));
    let mut futexes: Vec<FutexWait> = of_kind(counters, Kind::FutexTime)
        .map(|(address, waited_ns)| {
            let waits = of_kind(counters, Kind::FutexWaits).find(|(at, _)| *at == address);
            FutexWait {
                tgid: Tgid(track.life.tgid),
                address,
                waited_ns,
                waits: waits.map_or(0, |(_, waits)| waits),
                now: sum.futex_now == Some(address),
                others: others(threads, track.life.tgid, tid.0, address),
            }
        })
        .collect();
    futexes.sort_by_key(|futex| std::cmp::Reverse(futex.waited_ns));
    Some(ThreadDetail { tid, slices: timeline, calls, wakers, futexes })
}

/// Other threads of the process that waited for the same futex.
fn others(threads: &[Summed<'_>], tgid: u32, tid: u32, address: u64) -> Vec<Tid> {
    if address == OTHERS {
        return Vec::new();
    }
    let waited = |thread: &&Summed<'_>| {
        of_kind(&thread.sum.counters, Kind::FutexTime).any(|(at, ns)| at == address && ns > 0)
    };
    let of_process =
        threads.iter().filter(|thread| thread.track.life.tgid == tgid && thread.track.life.tid != tid);
    of_process.filter(waited).map(|thread| Tid(thread.track.life.tid)).collect()
}
