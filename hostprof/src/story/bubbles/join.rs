//! One thread beside one GPU: its stretches and the GPU's samples, both in the order of time, each met once.
//!
//! When within a sample the GPU was idle is not known: its idle time is spread evenly over it, in whole nanoseconds that
//! sum to it exactly. Keeps one sample, one call and sums.

use std::rc::Rc;

use super::{
    blame::{Blame, Doing, Slice, Within},
    calls::Calls,
    recent::Behind,
};
use crate::{
    ledger::{IdleGaps, Part, Piece, Spans, idle_ns},
    story::scene::Episode,
    table::{GpuPmRow, State},
};

/// What is read beside a thread.
pub struct Streams {
    /// One GPU's, in the order of time.
    pub samples: Box<dyn Iterator<Item = GpuPmRow>>,
    /// The thread's calls that wait for the GPU.
    pub waits: Calls,
    /// All its other calls of CUDA's library.
    pub others: Calls,
}

/// How often the GPU began to work, and whether the thread was on a CPU just before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lead {
    pub starts: u64,
    pub led: u64,
    /// Pairs of samples that were both idle.
    pub idle_pairs: u64,
    pub idle_led: u64,
}

/// A thread and a GPU under way.
pub struct Join {
    pub thread: usize,
    streams: Streams,
    scope: Rc<Spans>,
    withheld: Rc<Spans>,
    sample: Option<Sample>,
    sampled_to_ns: u64,
    gaps: IdleGaps,
    blame: Blame,
    lead: Lead,
    /// The sample before: its end, and whether the GPU was idle and the thread on a CPU.
    before: Option<(u64, bool, bool)>,
    /// The thread's last episode, whose stretches come with the next, and what it waited for.
    call: Option<i32>,
    behind: Vec<(u64, u64, Behind)>,
}

struct Sample {
    row: GpuPmRow,
    start_ns: u64,
    end_ns: u64,
    /// Accounted for up to here.
    at_ns: u64,
    idle_ns: u64,
    on_cpu: bool,
}

impl Sample {
    /// Its idle time up to an instant.
    fn idle_to(&self, ns: u64) -> u64 {
        let part = u128::from(ns - self.start_ns);
        (u128::from(self.idle_ns) * part / u128::from((self.end_ns - self.start_ns).max(1))) as u64
    }
}

impl Join {
    /// Begins; `scope` is the time that counts, `withheld` that of which nothing is said.
    pub fn new(thread: usize, streams: Streams, scope: Rc<Spans>, withheld: Rc<Spans>) -> Self {
        Self {
            thread,
            streams,
            scope,
            withheld,
            sample: None,
            sampled_to_ns: 0,
            gaps: IdleGaps::default(),
            blame: Blame::default(),
            lead: Lead::default(),
            before: None,
            call: None,
            behind: Vec::new(),
        }
    }

    /// Takes an episode of the thread, after the stretches of the one before, and what it waited for in it.
    pub fn episode(&mut self, episode: &Episode, behind: Vec<(u64, u64, Behind)>) {
        self.call = episode.syscall_nr;
        self.behind = behind;
    }

    /// Takes a stretch of the thread's time.
    pub fn piece(&mut self, piece: Piece) {
        let mut at = piece.start_ns;
        while at < piece.end_ns {
            let (wait, until) = self.streams.waits.at(at);
            let (other, other_until) = self.streams.others.at(at);
            let blocked = blocked(piece.part);
            let (behind, behind_until) = if blocked { self.behind_at(at) } else { (None, u64::MAX) };
            let end_ns = piece.end_ns.min(until).min(other_until).min(behind_until);
            let part = match piece.part {
                Part::OnCpu if wait.is_some() => Part::GpuSync,
                part => part,
            };
            let cuda = wait.map(|name| (true, name)).or(other.map(|name| (false, name)));
            let within = Within { syscall_nr: self.call.filter(|_| blocked), cuda };
            self.stretch(at, end_ns, Doing { part, within, behind });
            at = end_ns;
        }
    }

    /// Ends: what samples are left belong to no stretch.
    pub fn finish(mut self) -> (Blame, Lead, Calls, Calls) {
        while self.ready() {
            self.close();
        }
        let gaps = std::mem::take(&mut self.gaps);
        if let Some(gap) = gaps.finish() {
            self.blame.end_gap(gap.start_mono_ns, gap.end_mono_ns);
        }
        let account = &mut self.blame.account;
        let told = account.outside_ns + account.withheld_ns + account.not_recorded_ns + account.blamed_ns;
        account.residue_ns = account.idle_ns as i64 - told as i64;
        (self.blame, self.lead, self.streams.waits, self.streams.others)
    }

    fn behind_at(&self, ns: u64) -> (Option<Behind>, u64) {
        let next = self.behind.partition_point(|(_, end_ns, _)| *end_ns <= ns);
        match self.behind.get(next) {
            Some(&(start_ns, end_ns, behind)) if start_ns <= ns => (Some(behind), end_ns),
            Some(&(start_ns, ..)) => (Some(Behind::Unknown), start_ns),
            None => (Some(Behind::Unknown), u64::MAX),
        }
    }

    fn stretch(&mut self, start_ns: u64, end_ns: u64, doing: Doing) {
        while self.ready() {
            let Some(sample) = &self.sample else { return };
            let (from, to) = (start_ns.max(sample.start_ns), end_ns.min(sample.end_ns));
            let ends = sample.end_ns <= end_ns;
            if from < to {
                self.fill(from, Slice::NotRecorded);
                self.fill(to, Slice::Of(doing));
            }
            if !ends {
                return;
            }
            self.close();
        }
    }

    /// Whether there is a sample under way, or a next.
    fn ready(&mut self) -> bool {
        while self.sample.is_none() {
            let Some(row) = self.streams.samples.next() else { return false };
            if row.gr_active.is_none() {
                continue;
            }
            let end_ns = row.ts_mono_ns.saturating_add(row.dur_ns).max(self.sampled_to_ns);
            let start_ns = row.ts_mono_ns.max(self.sampled_to_ns);
            self.sampled_to_ns = end_ns;
            let idle_ns = idle_ns(&row);
            self.sample = Some(Sample { row, start_ns, end_ns, at_ns: start_ns, idle_ns, on_cpu: false });
        }
        true
    }

    /// Accounts for the sample under way up to an instant.
    fn fill(&mut self, to_ns: u64, slice: Slice) {
        let Some(sample) = &mut self.sample else { return };
        let from_ns = sample.at_ns;
        if to_ns <= from_ns {
            return;
        }
        sample.at_ns = to_ns;
        if let Slice::Of(doing) = slice {
            sample.on_cpu |= matches!(doing.part, Part::OnCpu | Part::GpuSync);
        }
        let (blame, withheld) = (&mut self.blame, &self.withheld);
        let mut add =
            |slice, from, to| blame.slice(slice, to - from, sample.idle_to(to) - sample.idle_to(from));
        let missing = matches!(slice, Slice::Of(Doing { part: Part::Unattributed, .. }));
        self.scope.cut(from_ns, to_ns, |from, to, within| {
            if !within {
                add(Slice::Outside, from, to);
            } else if missing {
                add(Slice::Withheld, from, to);
            } else {
                withheld.cut(from, to, |from, to, withheld| {
                    add(if withheld { Slice::Withheld } else { slice }, from, to);
                });
            }
        });
    }

    /// Ends the sample under way.
    fn close(&mut self) {
        let Some(end_ns) = self.sample.as_ref().map(|sample| sample.end_ns) else { return };
        self.fill(end_ns, Slice::NotRecorded);
        let Some(sample) = self.sample.take() else { return };
        if let Some(gap) = self.gaps.push(&sample.row) {
            self.blame.end_gap(gap.start_mono_ns, gap.end_mono_ns);
        }
        let idle = self.gaps.is_open();
        self.blame.end_sample(&sample.row, sample.idle_ns, idle);
        if let Some((before_ns, true, on_cpu)) = self.before
            && sample.row.ts_mono_ns <= before_ns.saturating_add(sample.row.dur_ns)
        {
            let led = u64::from(on_cpu || sample.on_cpu);
            let lead = &mut self.lead;
            let (pairs, of) = if idle {
                (&mut lead.idle_pairs, &mut lead.idle_led)
            } else {
                (&mut lead.starts, &mut lead.led)
            };
            *pairs += 1;
            *of += led;
        }
        self.before = Some((sample.end_ns, idle, sample.on_cpu));
    }
}

/// Whether a stretch is a wait that another ends, not one for a CPU.
fn blocked(part: Part) -> bool {
    matches!(part, Part::Off(state) if !state.is_runnable() && state != State::Runqueue)
}
