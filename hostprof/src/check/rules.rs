//! What must hold of a recording, by name, and what was found not to.

use serde::Serialize;

/// What `check` requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// A row lies within its thread's life.
    Life,
    /// A thread's rows do not overlap.
    Overlap,
    /// A row that was open at the start is its thread's first; one open at the end, or an exit, its last.
    Open,
    /// A thread that stayed runnable was neither blocked nor woken; a waker is named if a task woke.
    Wake,
    /// The state is the one its system call stands for.
    StateSyscall,
    /// A thread that blocked was switched out voluntarily.
    StateVoluntary,
    /// A thread is switched out on the CPU it was switched in on: the kernel moves no running thread.
    CpuSame,
    /// One CPU runs one thread at a time.
    CpuExclusive,
    /// Missing switches are told in table `loss`.
    LossTold,
    /// The switches at which the kernel's counters were read have rows.
    CountedRows,
    /// As many switches as the kernel counted.
    Switches,
    /// As many voluntary switches as the kernel counted.
    Voluntary,
    /// On-CPU and run-queue time together as the kernel summed them, within tolerance.
    Runnable,
    /// On-CPU time as the kernel summed it, within tolerance.
    OnCpu,
    /// Run-queue time as the kernel summed it, within tolerance.
    Runqueue,
    /// As many minor faults as the kernel counted.
    MinorFaults,
    /// As many major faults as the kernel counted.
    MajorFaults,
    /// A call's time off the CPU is that of its thread's rows within it.
    CallOffCpu,
    /// Next to nothing is unattributed.
    Unattributed,
}

impl Rule {
    /// What the rule is about, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Life => "row within the thread's life",
            Self::Overlap => "rows apart",
            Self::Open => "open rows at the edges",
            Self::Wake => "wakeups",
            Self::StateSyscall => "state and system call",
            Self::StateVoluntary => "state and voluntary",
            Self::CpuSame => "switched out where it ran",
            Self::CpuExclusive => "one thread on a CPU",
            Self::LossTold => "loss told",
            Self::CountedRows => "rows at the counters",
            Self::Switches => "switches",
            Self::Voluntary => "voluntary switches",
            Self::Runnable => "on-CPU and run-queue time",
            Self::OnCpu => "on-CPU time",
            Self::Runqueue => "run-queue time",
            Self::MinorFaults => "minor faults",
            Self::MajorFaults => "major faults",
            Self::CallOffCpu => "calls' time off the CPU",
            Self::Unattributed => "unattributed time",
        }
    }
}

/// A rule that did not hold for a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// The rule.
    pub rule: Rule,
    /// How often it did not hold.
    pub count: u64,
    /// What should have been, the first time.
    pub expected: String,
    /// What was, the first time.
    pub found: String,
    /// When, the first time; null for a rule about the whole life.
    pub at_mono_ns: Option<u64>,
}

/// The breaches of one thread: the first of each rule, and how many.
#[derive(Clone, Debug, Default)]
pub(super) struct Breaches(Vec<Breach>);

impl Breaches {
    /// Notes a breach; the texts are made only for the first of a rule.
    pub(super) fn add(
        &mut self,
        rule: Rule,
        at_mono_ns: Option<u64>,
        texts: impl FnOnce() -> (String, String),
    ) {
        if let Some(breach) = self.0.iter_mut().find(|breach| breach.rule == rule) {
            breach.count += 1;
            return;
        }
        let (expected, found) = texts();
        self.0.push(Breach { rule, count: 1, expected, found, at_mono_ns });
    }

    pub(super) fn into_sorted(mut self) -> Vec<Breach> {
        self.0.sort_by_key(|breach| breach.rule);
        self.0
    }
}
