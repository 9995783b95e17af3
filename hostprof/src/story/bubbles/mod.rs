//! The bubble ledger: each nanosecond that a GPU is idle while a request is in flight, blamed on what the thread that gives
//! it work did then.
//!
//! Reads that thread's stretches and episodes as they come, and beside them the GPU's samples and the thread's calls of
//! CUDA's library, each once and row by row; yields [`GpuBubbles`]. It attributes time. A GPU that copies has no work in
//! this sense: its engines for copies are not counted.

mod blame;
mod calls;
mod join;
mod launcher;
mod model;
mod recent;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, rc::Rc};

use self::{
    blame::Within,
    join::{Join, Lead},
    launcher::{Candidate, candidates, choose},
    recent::{Behind, Recent},
};
pub use self::{
    calls::Calls,
    join::Streams,
    launcher::Evidence,
    model::{BlamedOn, Bubble, GpuBubbles, IdleAccount, Launcher, Overlap, WaitedOn},
};
use super::{model::Who, scene::Episode, scope::Scope};
use crate::{
    ledger::{Lives, Piece, Spans},
    probe::syscalls,
    table::{OffCpuRow, ThreadRow},
};

/// What a launching thread waited for, at most so many told of each state and call.
const WAITED_FOR: usize = 10;

/// The ledgers of all GPUs under way.
pub struct Bubbles<'a> {
    threads: &'a [ThreadRow],
    by_requests: bool,
    scope: Rc<Spans>,
    recent: Recent,
    followed: Vec<bool>,
    gpus: Vec<Followed>,
}

/// A GPU and the threads that may launch on it, the likeliest first.
struct Followed {
    gpu: u32,
    candidates: Vec<Candidate>,
    joins: Vec<Join>,
    gpu_sync_known: bool,
    other_processes: u64,
}

impl<'a> Bubbles<'a> {
    /// Begins. `withheld` are times of which nothing is said; `streams` opens what is read beside a thread on a GPU.
    ///
    /// # Errors
    ///
    /// Those of `streams`.
    pub fn new<E>(
        threads: &'a [ThreadRow],
        gpus: &[u32],
        scope: &Scope,
        withheld: Spans,
        evidence: &Evidence,
        mut streams: impl FnMut(u32, &ThreadRow) -> Result<Streams, E>,
    ) -> Result<Self, E> {
        let (whole, withheld) = (Rc::new(scope.whole.clone()), Rc::new(withheld));
        let mut followed = vec![false; threads.len()];
        let mut all = Vec::new();
        for &gpu in gpus {
            let candidates = candidates(threads, gpu, evidence);
            let mut joins = Vec::new();
            for Candidate { thread, .. } in &candidates {
                followed[*thread] = true;
                let streams = streams(gpu, &threads[*thread])?;
                joins.push(Join::new(*thread, streams, whole.clone(), withheld.clone()));
            }
            all.push(Followed {
                gpu,
                candidates,
                joins,
                gpu_sync_known: evidence.waits_known,
                other_processes: evidence.others_on_gpu.get(&gpu).map_or(0, |of| of.len() as u64),
            });
        }
        Ok(Self {
            threads,
            by_requests: scope.by_requests,
            scope: whole,
            recent: Recent::new(threads),
            followed,
            gpus: all,
        })
    }

    /// Takes a stretch of a thread's time, in the order of the thread's time.
    pub fn piece(&mut self, piece: Piece) {
        if self.followed.get(piece.thread).is_some_and(|followed| *followed) {
            self.joins(piece.thread).for_each(|join| join.piece(piece));
        }
    }

    /// Takes a row of a thread, in file order, after the stretches that it settled.
    pub fn off_cpu(&mut self, row: &OffCpuRow, thread: usize, lives: &Lives) {
        let episode = Episode::of(row, lives);
        self.recent.push(thread, episode);
        if self.followed[thread] {
            let behind = self.recent.behind(thread, &episode);
            self.joins(thread).for_each(|join| join.episode(&episode, behind.clone()));
        }
    }

    fn joins(&mut self, thread: usize) -> impl Iterator<Item = &mut Join> {
        self.gpus.iter_mut().flat_map(|gpu| &mut gpu.joins).filter(move |join| join.thread == thread)
    }

    /// Ends: the ledgers of the GPUs that had samples.
    pub fn finish(self) -> Vec<GpuBubbles> {
        let (threads, scope_ns) = (self.threads, self.scope.total_ns());
        let scope = if self.by_requests { "requests" } else { "recording" };
        let told = self.gpus.into_iter().filter_map(|gpu| gpu.finish(threads, scope, scope_ns));
        told.filter(|told| told.account.sampled_ns > 0).collect()
    }
}

impl Followed {
    fn finish(self, threads: &[ThreadRow], scope: &'static str, scope_ns: u64) -> Option<GpuBubbles> {
        let looked_at = self.candidates.len() as u64;
        let mut ended: Vec<_> = self.joins.into_iter().map(Join::finish).collect();
        let leads: Vec<Lead> = ended.iter().map(|(_, lead, ..)| *lead).collect();
        let at = choose(&leads);
        let candidate = self.candidates.into_iter().nth(at)?;
        let (blame, lead, waits, others) = ended.swap_remove(at);
        let call = |within: Within| call(within, &waits, &others);
        let (account, overlap, gaps) = (blame.account, blame.overlap, blame.gaps.latency());
        let (cells, longest) = blame.finish();
        let blamed = cells.into_iter().map(|(part, within, cell)| BlamedOn {
            state: part.word(),
            call: call(within),
            idle_ns: cell.idle_ns,
            least_ns: cell.least_ns,
            most_ns: cell.most_ns,
            in_gaps_ns: cell.in_gaps_ns,
            gaps: cell.gaps.latency(),
            waited_for: waited_for(threads, cell.behind),
        });
        Some(GpuBubbles {
            gpu: self.gpu,
            scope,
            scope_ns,
            blame: blamed.collect(),
            launcher: told(threads, &candidate, at, lead, looked_at),
            account,
            gaps,
            longest: longest
                .into_iter()
                .map(|(bubble, within)| Bubble { call: call(within), ..bubble })
                .collect(),
            overlap,
            gpu_sync_known: self.gpu_sync_known,
            other_processes: self.other_processes,
        })
    }
}

fn told(threads: &[ThreadRow], candidate: &Candidate, at: usize, lead: Lead, looked_at: u64) -> Launcher {
    let better = match at {
        0 => "",
        _ => "; a likelier one was not on a CPU when the GPU began to work",
    };
    Launcher {
        who: who(threads, candidate.thread),
        tgid: threads[candidate.thread].tgid,
        rule: candidate.rule,
        why: format!("{}{better}", candidate.why),
        confidence: candidate.confidence * lead.ratio().unwrap_or(1.0),
        candidates: looked_at,
        starts: lead.starts,
        led_ratio: lead.ratio(),
        chance_ratio: lead.chance(),
    }
}

fn who(threads: &[ThreadRow], thread: usize) -> Who {
    let row = &threads[thread];
    Who { tid: row.tid, comm: row.comm.clone(), role: row.role.clone() }
}

/// The call of CUDA's library, the system call, or the one within the other.
fn call(within: Within, waits: &Calls, others: &Calls) -> Option<String> {
    let cuda = within.cuda.map(|(wait, name)| if wait { waits.name(name) } else { others.name(name) });
    let syscall = within.syscall_nr.map(syscalls::name);
    match (cuda, syscall) {
        (Some(cuda), Some(syscall)) => Some(format!("{syscall} in {cuda}")),
        (cuda, syscall) => cuda.map(str::to_owned).or_else(|| syscall.map(Into::into)),
    }
}

fn waited_for(threads: &[ThreadRow], behind: BTreeMap<Behind, u64>) -> Vec<WaitedOn> {
    let mut all: Vec<WaitedOn> = behind
        .into_iter()
        .map(|(behind, idle_ns)| match behind {
            Behind::Thread(thread, part) => {
                WaitedOn { by: "thread", who: Some(who(threads, thread)), state: Some(part.word()), idle_ns }
            }
            Behind::Interrupt => WaitedOn { by: "interrupt", who: None, state: None, idle_ns },
            Behind::Stranger(_) => WaitedOn { by: "not_recorded", who: None, state: None, idle_ns },
            Behind::Unknown => WaitedOn { by: "unknown", who: None, state: None, idle_ns },
        })
        .collect();
    // Strangers are told as one.
    all.sort_by(|one, other| (one.by, &one.who, one.state).cmp(&(other.by, &other.who, other.state)));
    all.dedup_by(|next, kept| {
        let same = (next.by, &next.who, next.state) == (kept.by, &kept.who, kept.state);
        if same {
            kept.idle_ns += next.idle_ns;
        }
        same
    });
    all.sort_by_key(|waited| std::cmp::Reverse(waited.idle_ns));
    all.truncate(WAITED_FOR);
    all
}
