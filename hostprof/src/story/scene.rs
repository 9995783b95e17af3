//! The episodes of all threads in some stretches of time: what is needed to walk back from a token to what it waited for.

use super::path::Episodes;
use crate::{
    ledger::{Lives, Part, Window, apart, end_of},
    table::{FdKind, OffCpuRow, State, ThreadRow, WakeSource},
};

/// Episodes kept at most, of 72 bytes each; windows that end later than the last kept have no path.
const MOST: usize = 2 << 20;

/// Who ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waker {
    /// A recorded thread, by its place among the thread rows.
    Thread(usize),
    /// A thread that was not recorded.
    Stranger(u32),
    /// A timer, a device, a packet.
    Interrupt,
    /// Not seen, or nobody: the thread stayed runnable.
    Unknown,
}

/// An off-CPU episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Episode {
    pub start_ns: u64,
    pub wake_ns: u64,
    pub end_ns: u64,
    pub state: State,
    pub syscall_nr: Option<i32>,
    pub arg0: Option<u64>,
    pub fd_kind: Option<FdKind>,
    pub major: bool,
    pub waker: Waker,
    pub cpu_out: Option<u16>,
    pub cpu_in: Option<u16>,
}

impl Episode {
    /// From a row; `lives` tells who woke it.
    pub fn of(row: &OffCpuRow, lives: &Lives) -> Self {
        let wake_ns = row.ts_mono_ns.saturating_add(row.blocked_ns);
        let waker = match (row.wake_source, row.waker_tid) {
            (Some(WakeSource::Irq), _) => Waker::Interrupt,
            (Some(_), Some(tid)) => {
                lives.at(tid, wake_ns, wake_ns).map_or(Waker::Stranger(tid), Waker::Thread)
            }
            _ => Waker::Unknown,
        };
        Self {
            start_ns: row.ts_mono_ns,
            wake_ns,
            end_ns: end_of(row),
            state: row.state,
            syscall_nr: row.syscall_nr,
            arg0: row.arg0,
            fd_kind: row.fd_kind,
            major: row.major,
            waker,
            cpu_out: row.cpu_out,
            cpu_in: row.cpu_in,
        }
    }

    /// What its time after the wakeup was.
    pub fn runnable(&self) -> Part {
        Part::Off(self.state.once_runnable())
    }
}

/// Episodes that overlap any of some windows.
pub struct Scene {
    /// Merged, in order.
    spans: Vec<(u64, u64)>,
    /// The first span that begins after the last row's end.
    next: usize,
    /// By thread, in the order of time.
    tracks: Vec<Vec<Episode>>,
    /// When each thread was recorded.
    lives: Vec<(u64, u64)>,
    kept: usize,
    /// From when on episodes are missing.
    full_ns: u64,
}

impl Scene {
    /// Keeps what overlaps these windows.
    pub fn new(threads: &[ThreadRow], windows: impl IntoIterator<Item = Window>) -> Self {
        Self {
            spans: apart(windows.into_iter().map(|window| (window.start_ns, window.end_ns)).collect()),
            next: 0,
            tracks: threads.iter().map(|_| Vec::new()).collect(),
            lives: threads.iter().map(|row| (row.begin_mono_ns, row.end_mono_ns)).collect(),
            kept: 0,
            full_ns: u64::MAX,
        }
    }

    /// Looks at a row of a thread, in file order.
    pub fn off_cpu(&mut self, row: &OffCpuRow, thread: usize, lives: &Lives) {
        let end_ns = end_of(row);
        // Rows come in the order of their ends: the next span is near.
        while self.spans.get(self.next).is_some_and(|span| span.0 <= end_ns) {
            self.next += 1;
        }
        while self.next > 0 && self.spans[self.next - 1].0 > end_ns {
            self.next -= 1;
        }
        if self.next == 0 || self.spans[self.next - 1].1 < row.ts_mono_ns {
            return;
        }
        if self.kept >= MOST {
            self.full_ns = self.full_ns.min(row.ts_mono_ns);
            return;
        }
        self.tracks[thread].push(Episode::of(row, lives));
        self.kept += 1;
    }

    /// Whether all of a window's episodes were kept.
    pub fn holds(&self, window: Window) -> bool {
        window.end_ns < self.full_ns
            && self
                .spans
                .iter()
                .any(|&(start_ns, end_ns)| start_ns <= window.start_ns && window.end_ns <= end_ns)
    }

    /// A thread's episodes that overlap a window, in the order of time.
    pub fn within(&self, thread: usize, window: Window) -> impl Iterator<Item = &Episode> {
        let track = &self.tracks[thread];
        let first = track.partition_point(|episode| episode.end_ns <= window.start_ns);
        track[first..].iter().take_while(move |episode| episode.start_ns < window.end_ns)
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.tracks.len()
    }

    /// How much of a thread's waits for a CPU (`preempted`, `runqueue`) in a window other recorded threads were on the CPU
    /// it waited for: by thread, most first. The rest had a program that is not recorded.
    pub fn preemptors(&self, thread: usize, window: Window) -> Vec<(usize, u64)> {
        let mut had = vec![0; self.threads()];
        for waited in self.within(thread, window) {
            let Some(cpu) = waited.cpu_in.or(waited.cpu_out) else { continue };
            let (from, to) = (waited.wake_ns.max(window.start_ns), waited.end_ns.min(window.end_ns));
            // By a quota, or by its own will: neither is such a wait.
            if from >= to || matches!(waited.state, State::Throttled | State::Yield) {
                continue;
            }
            for (other, had) in had.iter_mut().enumerate().filter(|(other, _)| *other != thread) {
                *had += self.on_cpu(other, cpu, from, to);
            }
        }
        let mut had: Vec<_> = had.into_iter().enumerate().filter(|(_, ns)| *ns > 0).collect();
        had.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
        had
    }

    /// Time that a thread was on a CPU between two instants.
    fn on_cpu(&self, thread: usize, cpu: u16, from: u64, to: u64) -> u64 {
        let track = &self.tracks[thread];
        let mut at = track.partition_point(|episode| episode.end_ns <= from).saturating_sub(1);
        let mut sum = 0;
        while let Some(episode) = track.get(at).filter(|episode| episode.end_ns < to) {
            if episode.cpu_in == Some(cpu) {
                let until = track.get(at + 1).map_or(self.lives[thread].1, |next| next.start_ns);
                sum += until.min(to).saturating_sub(episode.end_ns.max(from));
            }
            at += 1;
        }
        sum
    }
}

impl Episodes for Scene {
    fn before(&self, thread: usize, ns: u64) -> Option<&Episode> {
        let track = self.tracks.get(thread)?;
        let after = track.partition_point(|episode| episode.start_ns < ns);
        track.get(after.checked_sub(1)?)
    }

    fn life(&self, thread: usize) -> (u64, u64) {
        self.lives[thread]
    }
}
