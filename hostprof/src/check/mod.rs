//! Whether a recording is true: each thread replayed, and compared with the kernel's own counters.
//!
//! Reads rows of `thread`, `loss`, `off_cpu_count`, `off_cpu`, `page_fault`, `syscall`, `gpu_ioctl`, `cuda_call` and `step`, in file order and one at a time; yields a
//! verdict that names each thread for which a rule did not hold, with what was expected and what was found.
//! It keeps a fixed amount for each thread and CPU. It cannot see what leaves no trace in a counter: an
//! episode that was open before the thread's first switch.

mod calls;
mod counted;
mod recording;
mod row;
mod rules;
mod tally;
mod text;
pub mod tolerance;

use std::collections::BTreeMap;

use serde::Serialize;

use self::calls::LANES;
pub use self::calls::{Call, Lane};
pub(crate) use self::recording::each;
use self::tally::{Displaced, Tally};
pub use self::{
    recording::check,
    rules::{Breach, Rule},
};
use crate::{
    humane::plural,
    ledger::{Ledger, end_of},
    table::{LossRow, OffCpuCountRow, OffCpuRow, PageFaultRow, State, ThreadRow},
};

/// At most so many tids with rows but no thread row are named.
const STRANGERS: usize = 100;

/// What the recording is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every rule holds.
    Pass,
    /// A rule does not hold, and no recorded loss explains it.
    Fail,
    /// Records were lost, or there was nothing to compare.
    Undecided,
}

/// The threads of which something did not hold, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ThreadFinding {
    pub tid: u32,
    pub tgid: u32,
    pub comm: String,
    pub begin_mono_ns: u64,
    /// What did not hold.
    pub breaches: Vec<Breach>,
}

/// Records lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// All of them.
    pub dropped: u64,
    /// By probe and reason.
    pub by_probe: Vec<ProbeLoss>,
    /// Context switches whose records were lost, by gaps in the kernel's count of each thread.
    pub switches: u64,
    /// Records lost of which no thread's gap tells.
    pub unplaced: u64,
}

/// Records lost by one probe for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeLoss {
    pub probe: String,
    pub reason: String,
    pub dropped: u64,
}

impl Loss {
    /// Sums the rows of the `loss` table and the gaps of the threads.
    pub fn of(loss: &[LossRow], threads: &[ThreadRow]) -> Self {
        let mut sums: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for row in loss.iter().filter(|row| row.dropped > 0) {
            *sums.entry((&row.probe, &row.reason)).or_default() += row.dropped;
        }
        // Gaps are told by thread and again as rows of the table.
        let gaps = |(_, reason): &(&str, &str)| *reason == "sequence";
        let others: u64 = sums.iter().filter(|(key, _)| !gaps(key)).map(|(_, dropped)| dropped).sum();
        let switches = threads.iter().map(|row| row.lost_switches).sum();
        Self {
            dropped: sums.values().sum(),
            unplaced: others.saturating_sub(switches),
            by_probe: sums
                .into_iter()
                .map(|((probe, reason), dropped)| ProbeLoss {
                    probe: probe.to_owned(),
                    reason: reason.to_owned(),
                    dropped,
                })
                .collect(),
            switches,
        }
    }

    /// Whether nothing was lost.
    pub fn is_none(&self) -> bool {
        self.dropped == 0 && self.switches == 0
    }
}

/// What `check` found.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// The verdict.
    pub verdict: Verdict,
    /// Why it is no pass, in a sentence; empty for one.
    pub reason: String,
    /// Threads in the recording.
    pub threads_seen: usize,
    /// Those whose kernel counters could be compared.
    pub threads_compared: usize,
    /// Rows of `off_cpu`.
    pub episodes: u64,
    /// Episodes that were counted and not recorded: the sum over `off_cpu_count`.
    pub counted: u64,
    /// Rows of `syscall`, `gpu_ioctl`, `cuda_call` and `step`.
    pub calls_seen: u64,
    /// Those whose time off the CPU could be compared with the rows within.
    pub calls_compared: u64,
    /// Whether page faults were compared: not without their probe.
    pub page_faults_compared: bool,
    /// What was lost.
    pub loss: Loss,
    /// Threads for which a rule does not hold.
    pub failures: Vec<ThreadFinding>,
    /// The same of threads with lost records, or in a recording that lost such: the loss may explain it.
    pub undecided: Vec<ThreadFinding>,
    /// Rows of tids with no thread row, by tid; at most 100 of them.
    pub strangers: BTreeMap<u32, u64>,
}

/// A check under way.
pub struct Check<'a, F> {
    threads: &'a [ThreadRow],
    state_of: F,
    ledger: Ledger,
    loss: Loss,
    tallies: Vec<Tally>,
    cpus: Vec<CpuOccupant>,
    episodes: u64,
    counted: u64,
    page_faults: bool,
    /// Rows of calls; `None` in a recording without.
    calls: Option<CallCounts>,
    strangers: BTreeMap<u32, u64>,
}

/// Calls so far.
#[derive(Clone, Copy, Default)]
struct CallCounts {
    seen: u64,
    compared: u64,
    /// Whether there are any, by [`Lane`].
    lanes: [bool; LANES],
}

/// Who was switched in on a CPU.
#[derive(Clone, Default)]
struct CpuOccupant {
    /// First of all recorded threads.
    first: Option<(u64, usize)>,
    /// Last of them.
    last: Option<usize>,
}

impl<'a, F: Fn(i32) -> State> Check<'a, F> {
    /// Starts a check. `page_faults` says whether the recording has their probe; `state_of` is the table of
    /// states by system call.
    pub fn new(threads: &'a [ThreadRow], loss: &[LossRow], page_faults: bool, state_of: F) -> Self {
        Self {
            threads,
            state_of,
            ledger: Ledger::new(threads, loss),
            loss: Loss::of(loss, threads),
            tallies: threads.iter().map(|_| Tally::default()).collect(),
            cpus: Vec::new(),
            episodes: 0,
            counted: 0,
            page_faults,
            calls: None,
            strangers: BTreeMap::new(),
        }
    }

    /// Says that the recording has calls: of system calls, of CUDA's driver library, of an engine. Each must be added after the
    /// `off_cpu` rows that end before it.
    pub fn expect_calls(&mut self, system: bool, cuda: bool, engine: bool) {
        self.calls =
            Some(CallCounts { lanes: [system, cuda, cuda, engine, engine], ..CallCounts::default() });
    }

    /// Adds a call, in the order of their ends.
    pub fn call(&mut self, call: &Call) {
        let mut counts = self.calls.unwrap_or_default();
        counts.seen += 1;
        match self.ledger.lives().at(call.tid, call.enter_ns, call.exit_ns) {
            None => self.stranger(call.tid),
            Some(place) => {
                let tally = &mut self.tallies[place];
                let found_ns = tally.windows.within(call);
                if let (Some(told_ns), Some(found_ns)) = (call.off_cpu_ns, found_ns) {
                    counts.compared += 1;
                    if told_ns != found_ns {
                        tally.breaches.add(Rule::CallOffCpu, Some(call.enter_ns), || {
                            (format!("{told_ns} ns in rows of off_cpu"), format!("{found_ns} ns"))
                        });
                    }
                }
            }
        }
        self.calls = Some(counts);
    }

    /// Adds a row. All of them must be added before the first of `off_cpu`.
    pub fn off_cpu_count(&mut self, row: &OffCpuCountRow) {
        self.counted += row.episodes;
        let Some(place) = self.ledger.off_cpu_count(row) else {
            self.stranger(row.tid);
            return;
        };
        let (thread, tally) = (&self.threads[place], &mut self.tallies[place]);
        row::check_count(row, &self.state_of, &mut tally.breaches);
        let end_ns = row.ts_mono_ns.saturating_add(row.dur_ns);
        let (begin_ns, life_end_ns) = (thread.begin_mono_ns, thread.end_mono_ns);
        if row.ts_mono_ns < begin_ns || end_ns > life_end_ns {
            tally.breaches.add(Rule::Life, Some(row.ts_mono_ns), || {
                (format!("{begin_ns} to {life_end_ns}"), format!("{} to {end_ns}", row.ts_mono_ns))
            });
        }
        tally.count_sum(thread, row, end_ns);
    }

    /// Adds a row, in file order.
    pub fn off_cpu(&mut self, row: &OffCpuRow) {
        self.episodes += 1;
        let Some(place) = self.ledger.off_cpu(row) else {
            self.stranger(row.tid);
            return;
        };
        let (thread, tally) = (&self.threads[place], &mut self.tallies[place]);
        let end_ns = end_of(row);
        row::check(row, &self.state_of, &mut tally.breaches);
        check_place(thread, tally, row, end_ns);
        tally.count(thread, row, end_ns);
        if let Some(CallCounts { lanes, .. }) = self.calls {
            tally.windows.add(row.ts_mono_ns, end_ns, lanes);
        }
        if thread.lost_switches == 0 {
            self.leave_cpu(place, row);
        }
        let tally = &mut self.tallies[place];
        tally.last_end_ns = tally.last_end_ns.max(end_ns);
        tally.last_cpu = row.cpu_in;
        tally.displaced = None;
        tally.closed = row.open_end || row.state == State::Exit;
        if let Some(cpu) = row.cpu_in {
            self.enter_cpu(place, cpu, end_ns);
        }
    }

    /// Adds a row, in file order.
    pub fn page_fault(&mut self, row: &PageFaultRow) {
        let end_ns = row.ts_mono_ns.saturating_add(row.dur_ns);
        let Some(place) = self.ledger.lives().at(row.tid, row.ts_mono_ns, end_ns) else {
            self.stranger(row.tid);
            return;
        };
        self.tallies[place].minor_faults += row.minor;
        self.tallies[place].major_faults += row.major;
    }

    /// Compares all threads and gives the verdict. `ended` says whether the recording has an end: one that
    /// was killed lacks the rows of threads that lived on.
    pub fn finish(mut self, ended: bool) -> Findings {
        for (place, tally) in self.tallies.iter_mut().enumerate() {
            check_end(self.threads, place, tally);
        }
        let accounts = self.ledger.finish();
        let mut compared = 0;
        let (mut failures, mut undecided) = (Vec::new(), Vec::new());
        for ((thread, mut tally), account) in self.threads.iter().zip(self.tallies).zip(&accounts) {
            if thread.lost_switches > 0 && self.loss.dropped < self.loss.switches {
                let (told, all) = (self.loss.dropped, self.loss.switches);
                tally.breaches.add(Rule::LossTold, None, || {
                    let expected = format!("all {all} missing switches of the recording in table loss");
                    (expected, format!("{told} there; {} missing in this thread", thread.lost_switches))
                });
            }
            compared += usize::from(tally.compare(thread, account, self.page_faults));
            let breaches = tally.breaches.into_sorted();
            if breaches.is_empty() {
                continue;
            }
            let finding = ThreadFinding {
                tid: thread.tid,
                tgid: thread.tgid,
                comm: thread.comm.clone(),
                begin_mono_ns: thread.begin_mono_ns,
                breaches,
            };
            // A gap in a thread's own count tells whose records were lost; where none does, anyone's were.
            let told = self.loss.dropped >= self.loss.switches;
            let explained = told && (thread.lost_switches > 0 || self.loss.unplaced > 0);
            if explained { &mut undecided } else { &mut failures }.push(finding);
        }
        let mut findings = Findings {
            verdict: Verdict::Pass,
            reason: String::new(),
            threads_seen: self.threads.len(),
            threads_compared: compared,
            episodes: self.episodes,
            counted: self.counted,
            calls_seen: self.calls.unwrap_or_default().seen,
            calls_compared: self.calls.unwrap_or_default().compared,
            page_faults_compared: self.page_faults,
            loss: self.loss,
            failures,
            undecided,
            strangers: self.strangers,
        };
        findings.decide(ended);
        findings
    }

    fn stranger(&mut self, tid: u32) {
        if self.strangers.len() < STRANGERS || self.strangers.contains_key(&tid) {
            *self.strangers.entry(tid).or_default() += 1;
        }
    }

    /// The thread was on a CPU until this row: nobody else may have been.
    fn leave_cpu(&mut self, place: usize, row: &OffCpuRow) {
        let Some(cpu) = row.cpu_out else { return };
        let (thread, tally) = (&self.threads[place], &mut self.tallies[place]);
        // Where it was then is not told.
        let since_ns = if tally.rows > 1 { tally.last_end_ns } else { thread.begin_mono_ns };
        if tally.counted.overlaps(since_ns, row.ts_mono_ns) {
            return;
        }
        let displaced = if tally.rows > 1 {
            if tally.last_cpu != Some(cpu) {
                // Where it ran meanwhile is not known; `check_place` has told.
                return;
            }
            tally.displaced
        } else {
            // On the CPU since recording of it began: the first that came to it since displaced it.
            let first = self.cpus.get(usize::from(cpu)).and_then(|cpu| cpu.first);
            first
                .filter(|(at_ns, by)| *at_ns > thread.begin_mono_ns && *by != place)
                .map(|(at_ns, by)| Displaced { at_ns, by })
        };
        let Some(displaced) = displaced else { return };
        let stayed_ns = row.ts_mono_ns.saturating_sub(displaced.at_ns);
        if stayed_ns > tolerance::CPU_OVERLAP_NS {
            let expected = displacement(self.threads, cpu, displaced);
            self.tallies[place].breaches.add(Rule::CpuExclusive, Some(displaced.at_ns), || {
                (expected, format!("switched out {stayed_ns} ns later"))
            });
        }
    }

    /// The thread is on a CPU from now on: whoever was must have left.
    fn enter_cpu(&mut self, place: usize, cpu: u16, at_ns: u64) {
        let cpu = usize::from(cpu);
        if self.cpus.len() <= cpu {
            self.cpus.resize(cpu + 1, CpuOccupant::default());
        }
        let occupant = &mut self.cpus[cpu];
        occupant.first.get_or_insert((at_ns, place));
        let before = occupant.last.replace(place);
        if let Some(before) = before.filter(|before| *before != place) {
            let tally = &mut self.tallies[before];
            if !tally.closed && tally.last_cpu == Some(cpu as u16) {
                tally.displaced.get_or_insert(Displaced { at_ns, by: place });
            }
        }
    }
}

/// What must hold between a row, its thread's life and the row before.
fn check_place(thread: &ThreadRow, tally: &mut Tally, row: &OffCpuRow, end_ns: u64) {
    let at = Some(row.ts_mono_ns);
    let (begin_ns, life_end_ns) = (thread.begin_mono_ns, thread.end_mono_ns);
    if row.ts_mono_ns < begin_ns || end_ns > life_end_ns {
        tally.breaches.add(Rule::Life, at, || {
            (format!("{begin_ns} to {life_end_ns}"), format!("{} to {end_ns}", row.ts_mono_ns))
        });
    }
    let last_end_ns = tally.last_end_ns;
    if tally.rows > 0 && row.ts_mono_ns < last_end_ns {
        tally.breaches.add(Rule::Overlap, at, || {
            (format!("switched out at {last_end_ns} or later"), format!("at {}", row.ts_mono_ns))
        });
    }
    let mut open = |holds: bool, expected: &str, found: &str| {
        if !holds {
            tally.breaches.add(Rule::Open, at, || (expected.to_owned(), found.to_owned()));
        }
    };
    open(!tally.closed, "no row after one that was open at the end, or an exit", "one");
    if row.open_start {
        let first = tally.rows == 0 && row.ts_mono_ns == begin_ns;
        open(first, "open_start only in the first row, from the thread's beginning", "elsewhere");
    }
    if row.open_end {
        open(end_ns == life_end_ns, "open_end up to the end of the recording", "before it");
    }
    let leaves = row.open_start || row.state == State::Runqueue || row.cpu_out.is_some();
    open(leaves, "the CPU it was switched out on", "none");
    let ends = row.open_end || row.state == State::Exit;
    open(ends != row.cpu_in.is_some(), "the CPU it was switched in on, unless it never was", "otherwise");
    if row.state == State::Exit {
        open(end_ns == row.ts_mono_ns, "an exit of no length", "a longer one");
    }
    if let (Some(ran_on), Some(out_on), 0) = (tally.last_cpu, row.cpu_out, thread.lost_switches)
        && ran_on != out_on
        && !tally.counted.overlaps(last_end_ns, row.ts_mono_ns)
    {
        tally.breaches.add(Rule::CpuSame, at, || {
            (format!("CPU {ran_on}, where it was switched in"), format!("CPU {out_on}"))
        });
    }
}

/// A thread that was on a CPU to the end must have had it to itself.
fn check_end(threads: &[ThreadRow], place: usize, tally: &mut Tally) {
    let thread = &threads[place];
    if thread.lost_switches > 0
        || tally.closed
        || tally.counted.overlaps(tally.last_end_ns, thread.end_mono_ns)
    {
        return;
    }
    let (Some(displaced), Some(cpu)) = (tally.displaced, tally.last_cpu) else { return };
    if thread.end_mono_ns > displaced.at_ns + tolerance::CPU_OVERLAP_NS {
        tally.breaches.add(Rule::CpuExclusive, Some(displaced.at_ns), || {
            (displacement(threads, cpu, displaced), "no switch-out to the end".to_owned())
        });
    }
}

fn displacement(threads: &[ThreadRow], cpu: u16, displaced: Displaced) -> String {
    let by = &threads[displaced.by];
    format!("gone from CPU {cpu} when {} (tid {}) came to it at {}", by.comm, by.tid, displaced.at_ns)
}

impl Findings {
    fn decide(&mut self, ended: bool) {
        let lossless = self.loss.is_none();
        let (verdict, reason) = if !self.failures.is_empty() {
            (
                Verdict::Fail,
                format!("a rule does not hold for {}", plural(self.failures.len() as u64, "thread")),
            )
        } else if !ended {
            (Verdict::Undecided, "the recording has no end: it was killed, or goes on".to_owned())
        } else if !self.strangers.is_empty() && lossless {
            (
                Verdict::Fail,
                format!("rows of {} with no thread row", plural(self.strangers.len() as u64, "tid")),
            )
        } else if !lossless {
            let lost = self.loss.dropped.max(self.loss.switches);
            (Verdict::Undecided, format!("{} lost", plural(lost, "record")))
        } else if self.threads_compared == 0 {
            (Verdict::Undecided, "no thread has counters to compare with".to_owned())
        } else {
            (Verdict::Pass, String::new())
        };
        self.verdict = verdict;
        self.reason = reason;
    }
}
