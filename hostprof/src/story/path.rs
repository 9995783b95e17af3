//! The critical path of a window: back from its end, by who woke whom, to its beginning.
//!
//! While the thread ran or was runnable, that is the path. Where it was blocked, the path goes on in the thread that woke
//! it, at the wakeup; a wait that no recorded thread ended stays on the path as it is, as far back as somebody waited for
//! that thread: from there on the path is again in the one that waited. So a path covers its window exactly, and says for
//! each instant what the answer waited for then. A spin looks like work: of threads that wait for one another on the CPU,
//! wakeups tell nothing.

use std::collections::BTreeMap;

use super::scene::{Episode, Waker};
use crate::{
    ledger::{Part, Window},
    table::{FdKind, State},
};

/// Steps from one thread to another in one instant, beyond which wakeups contradict one another.
const MOST_HOPS: u32 = 16;

/// What knows threads' episodes.
pub trait Episodes {
    /// The thread's last episode that began before an instant.
    fn before(&self, thread: usize, ns: u64) -> Option<&Episode>;

    /// When a thread was recorded. Before the first episode it ran from then on.
    fn life(&self, thread: usize) -> (u64, u64);
}

/// The waits of a blocked step, by what the call was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum On {
    /// Nothing that findings tell apart.
    Other,
    /// A send to a socket: the other side took no more.
    Send,
    /// A file or block device.
    Storage,
}

/// A stretch of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The thread's place among the thread rows.
    pub thread: usize,
    pub part: Part,
    pub on: On,
    pub start_ns: u64,
    pub end_ns: u64,
}

impl Step {
    /// Its length.
    pub fn len_ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }

    /// How much of it lies in a window.
    pub fn within(&self, window: &Window) -> u64 {
        self.end_ns.min(window.end_ns).saturating_sub(self.start_ns.max(window.start_ns))
    }
}

/// Where a path went from a thread that waited to the one that woke it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handoff {
    pub waiter: usize,
    pub waker: usize,
    pub at_ns: u64,
    /// What the waiter was blocked in.
    pub state: State,
    /// The futex's address, the fd.
    pub arg0: Option<u64>,
    /// How long the waiter had been blocked, of this window.
    pub blocked_ns: u64,
}

impl Handoff {
    /// When the waiter was blocked.
    pub fn wait(&self) -> Window {
        Window { start_ns: self.at_ns - self.blocked_ns, end_ns: self.at_ns }
    }
}

/// A critical path, from its end to its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    pub steps: Vec<Step>,
    pub handoffs: Vec<Handoff>,
}

impl Path {
    /// Its time, by thread and state.
    pub fn sums(&self) -> BTreeMap<(usize, Part), u64> {
        let mut sums = BTreeMap::new();
        for step in &self.steps {
            *sums.entry((step.thread, step.part)).or_default() += step.len_ns();
        }
        sums
    }
}

/// What an episode's call was on.
pub fn on(episode: &Episode) -> On {
    // sendto, sendmsg, sendmmsg: all other calls of the state receive or accept.
    const SENDS: [i32; 3] = [44, 46, 307];
    let socket = episode.fd_kind == Some(FdKind::Socket);
    match episode.state {
        State::Network if episode.syscall_nr.is_some_and(|nr| SENDS.contains(&nr)) => On::Send,
        State::Write if socket => On::Send,
        State::Read | State::Write
            if matches!(episode.fd_kind, Some(FdKind::File | FdKind::Device) | None) =>
        {
            On::Storage
        }
        State::Fsync => On::Storage,
        State::PageFault if episode.major => On::Storage,
        _ => On::Other,
    }
}

/// Walks back from the end of a window, where `thread` ran.
pub fn path(scene: &impl Episodes, thread: usize, window: Window) -> Path {
    let mut path = Path::default();
    let (mut who, mut at, mut hops) = (thread, window.end_ns, 0);
    // Who waited for the thread the path is in, and from when on.
    let mut waiters: Vec<(usize, u64)> = Vec::new();
    while at > window.start_ns {
        let mut step = |part, on, from: u64, at: &mut u64| {
            let start_ns = from.max(window.start_ns);
            if start_ns < *at {
                path.steps.push(Step { thread: who, part, on, start_ns, end_ns: *at });
                *at = start_ns;
                true
            } else {
                false
            }
        };
        let Some(episode) = scene.before(who, at) else {
            // Before its first episode it ran, if it was there.
            let born_ns = scene.life(who).0;
            step(Part::OnCpu, On::Other, born_ns, &mut at);
            step(Part::Unattributed, On::Other, window.start_ns, &mut at);
            break;
        };
        if step(Part::OnCpu, On::Other, episode.end_ns, &mut at)
            || step(episode.runnable(), On::Other, episode.wake_ns, &mut at)
        {
            hops = 0;
            continue;
        }
        match episode.waker {
            Waker::Thread(waker) if at == episode.wake_ns && waker != who && hops < MOST_HOPS => {
                path.handoffs.push(Handoff {
                    waiter: who,
                    waker,
                    at_ns: at,
                    state: episode.state,
                    arg0: episode.arg0,
                    blocked_ns: at - episode.start_ns.max(window.start_ns),
                });
                waiters.push((who, episode.start_ns));
                who = waker;
                hops += 1;
            }
            _ => {
                // Before the other one waited, this sleep held nobody up.
                let early = waiters.pop_if(|(_, since_ns)| episode.start_ns < *since_ns && hops < MOST_HOPS);
                let from = early.map_or(episode.start_ns, |(_, since_ns)| since_ns);
                let went_back = step(Part::Off(episode.state), on(episode), from, &mut at);
                hops = if went_back { 0 } else { hops + 1 };
                who = early.map_or(who, |(waiter, _)| waiter);
            }
        }
    }
    path
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::{
        ledger::Lives,
        story::Scene,
        table::{OffCpuRow, ThreadRow, WakeSource},
    };

    /// Threads with tids from 1, recorded from 0 to 1000.
    pub fn threads(count: u32) -> Vec<ThreadRow> {
        (1..=count)
            .map(|tid| ThreadRow {
                tid,
                tgid: 1,
                comm: format!("t{tid}"),
                end_mono_ns: 1000,
                ..ThreadRow::default()
            })
            .collect()
    }

    /// An episode: blocked from, woken, running again, by whom.
    pub fn row(tid: u32, state: State, times: [u64; 3], waker: Option<u32>) -> OffCpuRow {
        OffCpuRow {
            ts_mono_ns: times[0],
            tid,
            tgid: 1,
            state,
            blocked_ns: times[1] - times[0],
            runqueue_ns: times[2] - times[1],
            wake_source: waker.map(|_| WakeSource::Task),
            waker_tid: waker,
            ..OffCpuRow::default()
        }
    }

    pub fn scene(threads: &[ThreadRow], rows: &[OffCpuRow]) -> Scene {
        let lives = Lives::new(threads);
        let mut scene = Scene::new(threads, [Window { start_ns: 0, end_ns: 1 << 40 }]);
        for row in rows {
            let thread = lives.at(row.tid, row.ts_mono_ns, end(row)).unwrap();
            scene.off_cpu(row, thread, &lives);
        }
        scene
    }

    fn end(row: &OffCpuRow) -> u64 {
        row.ts_mono_ns + row.blocked_ns + row.runqueue_ns
    }

    fn walked(path: &Path) -> Vec<(usize, &'static str, u64)> {
        path.steps.iter().map(|step| (step.thread, step.part.word(), step.len_ns())).collect()
    }

    #[test]
    fn a_path_goes_from_the_waiter_to_the_waker_and_covers_the_window() {
        let threads = threads(3);
        // t1 waits for t2, which waits for t3, which sleeps until a timer rings.
        let rows = [
            row(3, State::Sleep, [100, 400, 420], None),
            row(2, State::Futex, [50, 500, 510], Some(3)),
            row(1, State::Futex, [200, 700, 750], Some(2)),
        ];
        let path = path(&scene(&threads, &rows), 0, Window { start_ns: 150, end_ns: 800 });
        assert_eq!(
            walked(&path),
            [
                (0, "on_cpu", 50),
                (0, "runqueue", 50),
                (1, "on_cpu", 190),
                (1, "runqueue", 10),
                (2, "on_cpu", 80),
                (2, "runqueue", 20),
                (2, "sleep", 250),
            ]
        );
        assert_eq!(path.steps.iter().map(Step::len_ns).sum::<u64>(), 650);
        let handed: Vec<_> = path.handoffs.iter().map(|at| (at.waiter, at.waker, at.blocked_ns)).collect();
        assert_eq!(handed, [(0, 1, 500), (1, 2, 350)]);
    }

    #[test]
    fn a_wait_that_no_recorded_thread_ended_stays_on_the_path() {
        let threads = threads(1);
        let rows = [row(1, State::Network, [100, 300, 310], Some(99))];
        let path = path(&scene(&threads, &rows), 0, Window { start_ns: 0, end_ns: 400 });
        assert_eq!(
            walked(&path),
            [(0, "on_cpu", 90), (0, "runqueue", 10), (0, "network", 200), (0, "on_cpu", 100)]
        );
    }

    #[test]
    fn a_sleep_is_on_the_path_as_far_back_as_another_thread_waited_for_the_sleeper() {
        let threads = threads(2);
        // t2 slept from 100 on; t1 worked until 400, and waited for a lock that t2 took at 390 for long enough.
        let rows = [
            row(2, State::Futex, [100, 380, 390], None),
            row(1, State::Futex, [400, 450, 460], Some(2)),
            row(2, State::Sleep, [470, 600, 600], None),
            row(1, State::Futex, [500, 650, 650], Some(2)),
        ];
        let path = path(&scene(&threads, &rows), 0, Window { start_ns: 50, end_ns: 700 });
        assert_eq!(
            walked(&path),
            [
                (0, "on_cpu", 50),
                (1, "on_cpu", 50),
                (1, "sleep", 100),
                (0, "on_cpu", 40),
                (0, "runqueue", 10),
                (1, "on_cpu", 60),
                (1, "runqueue", 10),
                (0, "on_cpu", 330),
            ]
        );
    }

    #[test]
    fn threads_that_woke_each_other_in_one_instant_end_in_no_circle() {
        let threads = threads(2);
        let rows =
            [row(1, State::Futex, [100, 300, 300], Some(2)), row(2, State::Futex, [100, 300, 300], Some(1))];
        let path = path(&scene(&threads, &rows), 0, Window { start_ns: 50, end_ns: 350 });
        assert_eq!(path.steps.iter().map(Step::len_ns).sum::<u64>(), 300);
    }

    #[test]
    fn a_path_before_a_threads_making_is_unattributed() {
        let mut threads = threads(1);
        threads[0].begin_mono_ns = 200;
        let path = path(&scene(&threads, &[]), 0, Window { start_ns: 100, end_ns: 300 });
        assert_eq!(walked(&path), [(0, "on_cpu", 100), (0, "unattributed", 100)]);
    }

    #[test]
    fn calls_that_send_and_waits_for_storage_are_told_apart() {
        let episode = |state, syscall_nr, fd_kind, major| {
            let threads = threads(1);
            let row = OffCpuRow { syscall_nr, fd_kind, major, ..row(1, state, [1, 2, 3], None) };
            on(scene(&threads, &[row]).before(0, 9).unwrap())
        };
        assert_eq!(episode(State::Network, Some(44), None, false), On::Send);
        assert_eq!(episode(State::Network, Some(45), None, false), On::Other);
        assert_eq!(episode(State::Write, Some(1), Some(FdKind::Socket), false), On::Send);
        assert_eq!(episode(State::Read, Some(0), Some(FdKind::File), false), On::Storage);
        assert_eq!(episode(State::Read, Some(0), Some(FdKind::Pipe), false), On::Other);
        assert_eq!(episode(State::PageFault, None, None, true), On::Storage);
        assert_eq!(episode(State::PageFault, None, None, false), On::Other);
    }
}
