//! One thread in depth.

use super::{
    bins::{Slices, Window},
    counters::{Kind, OTHERS},
    picture::{FutexWait, ThreadDetail},
    rolling::Rolling,
    window::{Bars, Summed, call},
};
use crate::units::{Tgid, Tid};

/// The thread of that tid in a window; `None` where none lives in it.
pub(super) fn detail(
    rolling: &Rolling,
    window: &Window,
    slices: &Slices,
    tid: Tid,
    (threads, lost): (&[Summed<'_>], &[(u64, u64)]),
) -> Option<ThreadDetail> {
    let Summed { track, sum } = threads.iter().rfind(|thread| thread.track.life.tid == tid.0)?;
    let mut timeline = Bars::new(slices);
    timeline.live(track, window);
    track.parts(window, |part, at, ns| timeline.add(part, at, ns));
    track.sum(window, lost, |part, from, to| timeline.add_open(part, from, to));
    let lengths = track.lengths(window);
    let mut calls: Vec<_> =
        track.of_kind(sum, Kind::CallTime).map(|(nr, ns)| call(&lengths, nr, ns)).collect();
    calls.sort_by_key(|call| std::cmp::Reverse(call.total_ns));
    let mut wakers: Vec<_> =
        track.of_kind(sum, Kind::Waker).map(|(waker, wakeups)| rolling.waker(waker, wakeups)).collect();
    wakers.sort_by_key(|waker| std::cmp::Reverse(waker.wakeups));
    let mut futexes: Vec<FutexWait> = track
        .of_kind(sum, Kind::FutexTime)
        .map(|(address, waited_ns)| {
            let waits = track.of_kind(sum, Kind::FutexWaits).find(|(at, _)| *at == address);
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
    let slices = timeline.finish();
    Some(ThreadDetail { tid, slices, calls, wakers, futexes })
}

/// Other threads of the process that waited for the same futex.
fn others(threads: &[Summed<'_>], tgid: u32, tid: u32, address: u64) -> Vec<Tid> {
    if address == OTHERS {
        return Vec::new();
    }
    let waited = |thread: &&Summed<'_>| {
        thread.track.of_kind(&thread.sum, Kind::FutexTime).any(|(at, ns)| at == address && ns > 0)
    };
    let of_process =
        threads.iter().filter(|thread| thread.track.life.tgid == tgid && thread.track.life.tid != tid);
    of_process.filter(waited).map(|thread| Tid(thread.track.life.tid)).collect()
}
