//! A thread's life cut into stretches, each in one state, with no gap and no overlap.

use super::Lives;
use crate::table::{LossRow, OffCpuRow, State, ThreadRow, Word as _};

/// What a stretch of a thread's time was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// On a CPU.
    OnCpu,
    /// Rows contradict one another, or are known to be lost.
    Unattributed,
    /// On a CPU, in a wait for the GPU. No stretch that rows of `off_cpu` settle.
    GpuSync,
    /// Off the CPU. `Runqueue` is the time from a wakeup to the switch-in.
    Off(State),
}

impl Part {
    /// Its word, as reports have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::OnCpu => "on_cpu",
            Self::Unattributed => "unattributed",
            Self::GpuSync => "gpu_sync",
            Self::Off(state) => state.word(),
        }
    }
}

/// A stretch of a thread's time in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The thread's place among the thread rows.
    pub thread: usize,
    pub part: Part,
    /// `CLOCK_MONOTONIC`.
    pub start_ns: u64,
    /// `CLOCK_MONOTONIC`; later than `start_ns`.
    pub end_ns: u64,
}

impl Piece {
    /// Its length.
    pub fn len_ns(&self) -> u64 {
        self.end_ns - self.start_ns
    }
}

/// Replays rows into stretches. A stretch is handed out when the thread's next row shows that nothing
/// contradicts it, so each thread is at most one row behind.
pub struct Replay {
    lives: Lives,
    cursors: Vec<Cursor>,
    /// Times in which records were lost: sorted, apart.
    lost: Vec<(u64, u64)>,
}

struct Cursor {
    begin_ns: u64,
    end_ns: u64,
    /// Handed out up to here.
    at_ns: u64,
    /// Records of this thread were lost.
    lossy: bool,
    pending: Option<Episode>,
}

/// A row, cut to its thread's life.
#[derive(Clone, Copy)]
struct Episode {
    start_ns: u64,
    wake_ns: u64,
    end_ns: u64,
    before_wake: Part,
    after_wake: Part,
}

impl Replay {
    /// Prepares to replay the threads of a recording; `loss` tells where records are missing.
    pub fn new(threads: &[ThreadRow], loss: &[LossRow]) -> Self {
        let cursors = threads
            .iter()
            .map(|row| Cursor {
                begin_ns: row.begin_mono_ns,
                end_ns: row.end_mono_ns.max(row.begin_mono_ns),
                at_ns: row.begin_mono_ns,
                lossy: row.lost_switches > 0,
                pending: None,
            })
            .collect();
        Self { lives: Lives::new(threads), cursors, lost: merged(loss) }
    }

    /// The thread of a tid at a time.
    pub fn lives(&self) -> &Lives {
        &self.lives
    }

    /// Adds a row, in file order, and answers which thread row it belongs to.
    pub fn off_cpu(&mut self, row: &OffCpuRow, mut each: impl FnMut(Piece)) -> Option<usize> {
        let (start_ns, end_ns) = (row.ts_mono_ns, end_of(row));
        let thread = self.lives.at(row.tid, start_ns, end_ns)?;
        let cursor = &mut self.cursors[thread];
        let mut episode = Episode::of(row).cut(cursor.begin_ns, cursor.end_ns);
        let mut emit = |part, start_ns, end_ns| {
            if start_ns < end_ns {
                each(Piece { thread, part, start_ns, end_ns });
            }
        };
        if let Some(pending) = cursor.pending.take() {
            let contested_ns = episode.start_ns.clamp(pending.start_ns, pending.end_ns);
            pending.cut(cursor.begin_ns, contested_ns).emit(&mut emit);
            emit(Part::Unattributed, contested_ns, pending.end_ns);
            cursor.at_ns = pending.end_ns;
            episode = episode.cut(pending.end_ns, cursor.end_ns);
        }
        // A new thread does not run before its first wait for a CPU.
        let unborn = row.state == State::Runqueue && cursor.at_ns == cursor.begin_ns;
        let lost = cursor.lossy && overlaps(&self.lost, cursor.at_ns, episode.start_ns);
        let gap = if unborn || lost { Part::Unattributed } else { Part::OnCpu };
        emit(gap, cursor.at_ns, episode.start_ns);
        cursor.at_ns = episode.start_ns;
        cursor.pending = Some(episode);
        Some(thread)
    }

    /// Hands out what is left of every thread.
    pub fn finish(self, mut each: impl FnMut(Piece)) {
        for (thread, cursor) in self.cursors.into_iter().enumerate() {
            let mut emit = |part, start_ns, end_ns| {
                if start_ns < end_ns {
                    each(Piece { thread, part, start_ns, end_ns });
                }
            };
            let mut at_ns = cursor.at_ns;
            if let Some(pending) = cursor.pending {
                pending.emit(&mut emit);
                at_ns = pending.end_ns;
            }
            let lost = cursor.lossy && overlaps(&self.lost, at_ns, cursor.end_ns);
            emit(if lost { Part::Unattributed } else { Part::OnCpu }, at_ns, cursor.end_ns);
        }
    }
}

impl Episode {
    fn of(row: &OffCpuRow) -> Self {
        let start_ns = row.ts_mono_ns;
        let wake_ns = start_ns.saturating_add(row.blocked_ns);
        let runnable = row.state.is_runnable();
        Self {
            start_ns,
            wake_ns,
            end_ns: end_of(row),
            // A thread that stayed runnable was never blocked: a row that says so contradicts itself.
            before_wake: if runnable { Part::Unattributed } else { Part::Off(row.state) },
            after_wake: Part::Off(row.state.once_runnable()),
        }
    }

    fn cut(self, from_ns: u64, to_ns: u64) -> Self {
        let cut = |ns: u64| ns.min(to_ns).max(from_ns);
        Self { start_ns: cut(self.start_ns), wake_ns: cut(self.wake_ns), end_ns: cut(self.end_ns), ..self }
    }

    fn emit(self, emit: &mut impl FnMut(Part, u64, u64)) {
        emit(self.before_wake, self.start_ns, self.wake_ns);
        emit(self.after_wake, self.wake_ns, self.end_ns);
    }
}

/// When the thread was switched in again.
pub(crate) fn end_of(row: &OffCpuRow) -> u64 {
    row.ts_mono_ns.saturating_add(row.blocked_ns).saturating_add(row.runqueue_ns)
}

/// What a row adds to which states: the rule of the `off_cpu` table, in one place.
pub(super) fn recorded(row: &OffCpuRow) -> [(State, u64); 2] {
    if row.state.is_runnable() {
        [(row.state, row.runqueue_ns), (row.state, 0)]
    } else {
        [(row.state, row.blocked_ns), (State::Runqueue, row.runqueue_ns)]
    }
}

/// The times in which records were lost: sorted, apart.
pub(crate) fn merged<'a>(loss: impl IntoIterator<Item = &'a LossRow>) -> Vec<(u64, u64)> {
    apart(
        loss.into_iter()
            .filter(|row| row.dropped > 0)
            .map(|row| (row.start_mono_ns, row.end_mono_ns.max(row.start_mono_ns)))
            .collect(),
    )
}

/// Spans of time, sorted, those that touch made one.
pub(crate) fn apart(mut spans: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    spans.sort_unstable();
    spans.dedup_by(|next, kept| {
        let touch = next.0 <= kept.1;
        if touch {
            kept.1 = kept.1.max(next.1);
        }
        touch
    });
    spans
}

/// Whether records were lost at a time: of a thread that lacks some, it is not known what that was.
pub(crate) fn overlaps(spans: &[(u64, u64)], start_ns: u64, end_ns: u64) -> bool {
    let after = spans.partition_point(|span| span.1 < start_ns);
    spans.get(after).is_some_and(|span| span.0 <= end_ns)
}
