//! The last few episodes of every thread, in a fixed amount of memory: enough to walk back from a wakeup that was just
//! met to what it was waited for, and no further.

use std::collections::VecDeque;

use crate::{
    ledger::{Part, Window},
    story::{
        path::{Episodes, path},
        scene::{Episode, Waker},
    },
    table::ThreadRow,
};

/// Episodes kept of a thread.
const KEPT: usize = 16;

/// What a wait of the launching thread was for, at some time in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Behind {
    /// A recorded thread, by its place, and what that one did.
    Thread(usize, Part),
    /// A timer, a device, a packet.
    Interrupt,
    /// A thread that is not recorded.
    Stranger(u32),
    /// Not seen.
    Unknown,
}

/// Threads' last episodes.
pub struct Recent {
    tracks: Vec<Track>,
}

struct Track {
    episodes: VecDeque<Episode>,
    begin_ns: u64,
    end_ns: u64,
    /// Whether earlier episodes were let go.
    cut: bool,
}

impl Recent {
    /// Begins, with none.
    pub fn new(threads: &[ThreadRow]) -> Self {
        let track = |row: &ThreadRow| Track {
            episodes: VecDeque::new(),
            begin_ns: row.begin_mono_ns,
            end_ns: row.end_mono_ns,
            cut: false,
        };
        Self { tracks: threads.iter().map(track).collect() }
    }

    /// Adds one, in the order of their ends.
    pub fn push(&mut self, thread: usize, episode: Episode) {
        let Some(track) = self.tracks.get_mut(thread) else { return };
        if track.episodes.len() == KEPT {
            track.episodes.pop_front();
            track.cut = true;
        }
        track.episodes.push_back(episode);
    }

    /// What a blocked thread waited for until it was woken: stretches that tile the wait, in the order of time. The episode
    /// is its last.
    pub fn behind(&self, thread: usize, episode: &Episode) -> Vec<(u64, u64, Behind)> {
        let by_itself = match episode.waker {
            Waker::Interrupt => Behind::Interrupt,
            Waker::Stranger(tid) => Behind::Stranger(tid),
            Waker::Thread(_) | Waker::Unknown => Behind::Unknown,
        };
        let wait = Window { start_ns: episode.start_ns, end_ns: episode.wake_ns };
        let steps = path(self, thread, wait).steps;
        let told = steps.iter().rev().map(|step| {
            let behind = match (step.thread == thread, step.part) {
                (true, _) => by_itself,
                (false, Part::Unattributed) => Behind::Unknown,
                (false, part) => Behind::Thread(step.thread, part),
            };
            (step.start_ns, step.end_ns, behind)
        });
        told.collect()
    }
}

impl Episodes for Recent {
    fn before(&self, thread: usize, ns: u64) -> Option<&Episode> {
        self.tracks.get(thread)?.episodes.iter().rev().find(|episode| episode.start_ns < ns)
    }

    /// Of a thread some of whose episodes were let go nothing is known before those kept: as if it had not lived.
    fn life(&self, thread: usize) -> (u64, u64) {
        let track = &self.tracks[thread];
        (if track.cut { u64::MAX } else { track.begin_ns }, track.end_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ledger::Lives,
        story::path::tests::{row, threads},
        table::{State, WakeSource},
    };

    #[test]
    fn a_wait_is_told_by_what_its_wakers_did_meanwhile() {
        let threads = threads(3);
        let lives = Lives::new(&threads);
        let mut recent = Recent::new(&threads);
        // t1 waits for t2, which waits for t3, which a packet wakes.
        let mut rows = [
            row(3, State::Network, [100, 400, 420], None),
            row(2, State::Futex, [50, 500, 510], Some(3)),
            row(1, State::Futex, [200, 700, 750], Some(2)),
        ];
        rows[0].wake_source = Some(WakeSource::Irq);
        for row in &rows {
            recent.push(lives.at(row.tid, row.ts_mono_ns, row.ts_mono_ns).unwrap(), Episode::of(row, &lives));
        }
        let last = Episode::of(&rows[2], &lives);
        let thread = |at, part| Behind::Thread(at, part);
        let runqueue = Part::Off(State::Runqueue);
        assert_eq!(
            recent.behind(0, &last),
            [
                (200, 400, thread(2, Part::Off(State::Network))),
                (400, 420, thread(2, runqueue)),
                (420, 500, thread(2, Part::OnCpu)),
                (500, 510, thread(1, runqueue)),
                (510, 700, thread(1, Part::OnCpu)),
            ]
        );
        let alone = Episode { waker: Waker::Interrupt, ..last };
        recent.push(0, alone);
        assert_eq!(recent.behind(0, &alone), [(200, 700, Behind::Interrupt)]);
    }

    #[test]
    fn nothing_is_said_of_a_time_whose_episodes_were_let_go() {
        let threads = threads(2);
        let lives = Lives::new(&threads);
        let mut recent = Recent::new(&threads);
        for at in 0..KEPT as u64 + 4 {
            let row = row(2, State::Sleep, [500 + at * 10, 505 + at * 10, 505 + at * 10], None);
            recent.push(1, Episode::of(&row, &lives));
        }
        let waits = row(1, State::Futex, [100, 900, 900], Some(2));
        recent.push(0, Episode::of(&waits, &lives));
        let behind = recent.behind(0, &Episode::of(&waits, &lives));
        assert_eq!(behind.first(), Some(&(100, 540, Behind::Unknown)));
        assert!(behind.windows(2).all(|pair| pair[0].1 == pair[1].0), "{behind:?}");
        assert_eq!(behind.last(), Some(&(695, 900, Behind::Thread(1, Part::OnCpu))));
    }
}
