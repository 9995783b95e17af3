//! Which thread gives a GPU its work: by the calls that threads made where those are known, else by role or CPU time. Of
//! those that come into question it is the one that was on a CPU whenever the GPU began to work.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::join::Lead;
use crate::{
    humane::{count, duration, plural},
    table::{CudaCallRow, CudaKind, ThreadRow},
};

/// Threads of one GPU that are followed at most.
const CANDIDATES: usize = 4;
/// Fewer starts of the GPU tell nothing.
const FEWEST_STARTS: u64 = 50;
/// By how much more of them another must have led to be taken instead.
const LEADS_BY: f64 = 0.1;
/// Roles that launch, those of processes that do nothing else first.
const ROLES: [&str; 3] = ["worker", "engine_core", "decode"];

/// What is known of who uses GPUs.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// A thread that was named.
    pub named: Option<u32>,
    /// The target's processes on each GPU.
    pub on_gpu: BTreeMap<u32, BTreeSet<u32>>,
    /// Other processes there.
    pub others_on_gpu: BTreeMap<u32, BTreeSet<u32>>,
    /// Whether waits in CUDA's library were recorded.
    pub waits_known: bool,
    /// Processes that called the driver.
    pub drivers: BTreeSet<u32>,
    /// Processes that launched, where launches were counted.
    pub launching: BTreeSet<u32>,
    /// Launches and all calls of CUDA's library that are known one by one, by thread.
    calls: BTreeMap<usize, (u64, u64)>,
}

impl Evidence {
    /// None so far, but for a thread that may be named.
    pub fn new(named: Option<u32>) -> Self {
        Self { named, ..Self::default() }
    }

    /// Counts a call of a thread.
    pub fn call(&mut self, thread: usize, row: &CudaCallRow) {
        let (launches, calls) = self.calls.entry(thread).or_default();
        *launches += u64::from(row.kind == CudaKind::Launch);
        *calls += 1;
    }
}

/// A thread that may launch.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub thread: usize,
    pub rule: &'static str,
    pub why: String,
    pub confidence: f64,
}

/// Those of a GPU, the likeliest first.
pub fn candidates(threads: &[ThreadRow], gpu: u32, evidence: &Evidence) -> Vec<Candidate> {
    if let Some(tid) = evidence.named {
        let lived = |&at: &usize| threads[at].end_mono_ns.saturating_sub(threads[at].begin_mono_ns);
        let named = (0..threads.len()).filter(|&at| threads[at].tid == tid).max_by_key(lived);
        return named
            .map(|thread| Candidate { thread, rule: "named", why: "named".to_owned(), confidence: 1.0 })
            .into_iter()
            .collect();
    }
    let within = |tgids: &BTreeSet<u32>| -> Vec<usize> {
        (0..threads.len()).filter(|&at| tgids.contains(&threads[at].tgid)).collect()
    };
    let on_gpu = evidence.on_gpu.get(&gpu).map(&within).unwrap_or_default();
    let mut of: Vec<usize> = on_gpu;
    if of.is_empty() {
        of = within(&evidence.drivers);
    }
    if of.is_empty() {
        of = (0..threads.len()).collect();
    }
    let mut found = by_launches(&of, evidence);
    if found.is_empty() {
        found = by_calls(threads, &of, evidence);
    }
    if found.is_empty() {
        found = by_role(threads, &of);
        found.extend(by_cpu_time(threads, &of, &found));
    }
    found.truncate(CANDIDATES);
    found
}

fn by_launches(of: &[usize], evidence: &Evidence) -> Vec<Candidate> {
    let launches = |thread: usize| evidence.calls.get(&thread).map_or(0, |(launches, _)| *launches);
    let all: u64 = of.iter().map(|&thread| launches(thread)).sum();
    ranked(of, launches, |thread, launches| Candidate {
        thread,
        rule: "launch_calls",
        why: format!("made {} of {}", count(launches), plural(all, "launch")),
        confidence: 0.99,
    })
}

fn by_calls(threads: &[ThreadRow], of: &[usize], evidence: &Evidence) -> Vec<Candidate> {
    let launches =
        |thread: usize| evidence.launching.is_empty() || evidence.launching.contains(&threads[thread].tgid);
    let calls = |thread: usize| match evidence.calls.get(&thread) {
        Some((_, calls)) if launches(thread) => *calls,
        _ => 0,
    };
    ranked(of, calls, |thread, calls| Candidate {
        thread,
        rule: "cuda_calls",
        why: format!("made {} of CUDA's library, in a process that launches", plural(calls, "call")),
        confidence: 0.9,
    })
}

fn by_role(threads: &[ThreadRow], of: &[usize]) -> Vec<Candidate> {
    let place = |thread: &usize| {
        let role = threads[*thread].role.as_deref()?;
        ROLES.iter().position(|known| *known == role)
    };
    let mut found: Vec<usize> = of.iter().copied().filter(|thread| place(thread).is_some()).collect();
    found.sort_by_key(|thread| (place(thread), Reverse(cpu_ns(&threads[*thread]))));
    // One is left to the busiest thread of another role.
    found.truncate(CANDIDATES - 1);
    let told = |thread: usize| {
        let row = &threads[thread];
        let role = row.role.as_deref().unwrap_or_default();
        Candidate {
            thread,
            rule: "role",
            why: format!("threads of role {role} launch"),
            confidence: row.role_confidence.unwrap_or(0.5),
        }
    };
    found.into_iter().map(told).collect()
}

fn by_cpu_time(threads: &[ThreadRow], of: &[usize], known: &[Candidate]) -> Vec<Candidate> {
    let others: Vec<usize> =
        of.iter().copied().filter(|thread| known.iter().all(|known| known.thread != *thread)).collect();
    ranked(
        &others,
        |thread| cpu_ns(&threads[thread]),
        |thread, ns| Candidate {
            thread,
            rule: "cpu_time",
            why: format!("was on a CPU for {}, long for a thread of the processes on the GPU", duration(ns)),
            confidence: 0.4,
        },
    )
}

/// Threads by a measure that is not 0, greatest first.
fn ranked(
    of: &[usize],
    measure: impl Fn(usize) -> u64,
    told: impl Fn(usize, u64) -> Candidate,
) -> Vec<Candidate> {
    let mut measured: Vec<(usize, u64)> =
        of.iter().map(|&thread| (thread, measure(thread))).filter(|(_, measure)| *measure > 0).collect();
    measured.sort_by_key(|&(thread, measure)| (Reverse(measure), thread));
    measured.into_iter().take(CANDIDATES).map(|(thread, measure)| told(thread, measure)).collect()
}

/// Time on a CPU between the kernel's two readings.
fn cpu_ns(row: &ThreadRow) -> u64 {
    row.sum_exec_ns_first.zip(row.sum_exec_ns_last).map_or(0, |(first, last)| last.saturating_sub(first))
}

impl Lead {
    /// The share of the GPU's starts before which the thread was on a CPU.
    pub fn ratio(&self) -> Option<f64> {
        (self.starts >= FEWEST_STARTS).then(|| self.led as f64 / self.starts as f64)
    }

    /// The share of pairs of idle samples in which it was.
    pub fn chance(&self) -> Option<f64> {
        (self.idle_pairs >= FEWEST_STARTS).then(|| self.idle_led as f64 / self.idle_pairs as f64)
    }
}

/// The place of the one to take: the likeliest, unless another was there before far more of the GPU's starts.
pub fn choose(leads: &[Lead]) -> usize {
    let ratio = |at: usize| leads[at].ratio().unwrap_or(0.0);
    let best = (0..leads.len()).rev().max_by(|&one, &other| ratio(one).total_cmp(&ratio(other))).unwrap_or(0);
    if leads.is_empty() || ratio(best) <= ratio(0) + LEADS_BY { 0 } else { best }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: u32, tgid: u32, role: Option<&str>, cpu_ns: u64) -> ThreadRow {
        ThreadRow {
            tid,
            tgid,
            role: role.map(str::to_owned),
            role_confidence: role.map(|_| 0.95),
            sum_exec_ns_first: Some(10),
            sum_exec_ns_last: Some(10 + cpu_ns),
            end_mono_ns: 100,
            ..ThreadRow::default()
        }
    }

    fn engine() -> [ThreadRow; 4] {
        [
            thread(1, 1, Some("api_server"), 900),
            thread(2, 2, Some("engine_core"), 500),
            thread(3, 2, None, 700),
            thread(4, 2, None, 0),
        ]
    }

    fn rules(evidence: &Evidence) -> Vec<(u32, &'static str)> {
        let threads = engine();
        candidates(&threads, 0, evidence).iter().map(|of| (threads[of.thread].tid, of.rule)).collect()
    }

    #[test]
    fn calls_come_before_roles_and_roles_before_cpu_time() {
        let mut evidence =
            Evidence { on_gpu: [(0, [2].into())].into(), drivers: [1, 2].into(), ..Evidence::default() };
        assert_eq!(rules(&evidence), [(2, "role"), (3, "cpu_time")]);
        let wait = CudaCallRow { kind: CudaKind::Sync, ..CudaCallRow::default() };
        evidence.call(0, &wait);
        evidence.call(2, &wait);
        assert_eq!(rules(&evidence), [(3, "cuda_calls")], "of the processes on the GPU");
        evidence.call(1, &CudaCallRow::default());
        assert_eq!(rules(&evidence), [(2, "launch_calls")]);
        evidence.named = Some(4);
        assert_eq!(rules(&evidence), [(4, "named")]);
        evidence.named = Some(5);
        assert!(rules(&evidence).is_empty());
    }

    #[test]
    fn where_nothing_tells_the_gpus_processes_all_come_into_question() {
        let evidence = Evidence { on_gpu: [(1, [2].into())].into(), ..Evidence::default() };
        assert_eq!(rules(&evidence), [(2, "role"), (1, "cpu_time"), (3, "cpu_time")]);
        assert_eq!(rules(&Evidence { drivers: [1].into(), ..Evidence::default() }), [(1, "cpu_time")]);
    }

    #[test]
    fn another_is_taken_only_where_it_was_there_far_more_often() {
        let lead = |led, starts| Lead { starts, led, ..Lead::default() };
        assert_eq!(choose(&[lead(95, 100), lead(100, 100)]), 0);
        assert_eq!(choose(&[lead(30, 100), lead(80, 100), lead(99, 100)]), 2);
        assert_eq!(choose(&[lead(0, 10), lead(10, 10)]), 0, "too few");
        assert_eq!(choose(&[]), 0);
        assert_eq!((lead(30, 60).ratio(), lead(3, 6).ratio()), (Some(0.5), None));
    }
}
