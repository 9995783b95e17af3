//! From where on something is a finding: the one table of it. `docs/story.md` shows it.

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A thread that was stopped, frozen or held by a debugger.
    Stopped,
    /// A CPU quota.
    Quota,
    /// A client that takes no more.
    SlowClient,
    /// A disk that is slow.
    SlowDisk,
    /// Files that are not in memory.
    ColdCache,
    /// Memory that had to be made free.
    Reclaim,
    /// A thread that spins giving its CPU up.
    YieldSpin,
    /// Others on the CPUs.
    CpuContention,
    /// A lock that another thread held.
    Lock,
}

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub cause: Cause,
    /// Its word in JSON.
    pub word: &'static str,
    /// What is said of it.
    pub title: &'static str,
    /// What is measured.
    pub measure: &'static str,
    /// The least share of slow windows' time, on average.
    pub least_share: f64,
}

/// The least time, of a slow window and beyond a typical one's, that is worth a word.
pub const LEAST_NS: u64 = 5_000_000;
/// Slow windows must have so many times as much of it as typical ones…
pub const LEAST_RATIO: f64 = 2.0;
/// …and this share of what they took longer must be its; or typical windows have the rule's share of it as well.
pub const LEAST_OF_EXCESS: f64 = 0.25;
/// A thread that ran or wanted to for less of a window sets no pace.
pub const BUSY_SHARE: f64 = 0.5;
/// A disk is slow whose reads or writes take so long on average.
pub const SLOW_DISK_NS: u64 = 20_000_000;
/// A thread that holds a lock is on less of typical windows' paths than this.
pub const HOLDER_TYPICAL_SHARE: f64 = 0.1;
/// Spinning neighbours matter where the path waited for a CPU for this share.
pub const SPIN_WAIT_SHARE: f64 = 0.05;

/// All rules; of two that carry the same time the earlier is named first.
pub const RULES: [Rule; 9] = [
    Rule {
        cause: Cause::Stopped,
        word: "stopped",
        title: "a thread that was waited for was stopped",
        measure: "critical path in stopped, traced or frozen",
        least_share: 0.05,
    },
    Rule {
        cause: Cause::Quota,
        word: "cpu_quota",
        title: "a CPU quota held threads back",
        measure: "critical path, or the busiest thread, in throttled",
        least_share: 0.10,
    },
    Rule {
        cause: Cause::SlowClient,
        word: "slow_client",
        title: "a client did not take what was sent",
        measure: "critical path in sends to sockets",
        least_share: 0.10,
    },
    Rule {
        cause: Cause::SlowDisk,
        word: "slow_disk",
        title: "a slow disk was waited for",
        measure: "critical path in major page faults, reads, writes and syncs of files while a disk took 20 ms on average",
        least_share: 0.10,
    },
    Rule {
        cause: Cause::ColdCache,
        word: "cold_page_cache",
        title: "files were read that were not in memory",
        measure: "critical path, or the busiest thread, in page_fault with major faults; critical path in reads of files",
        least_share: 0.10,
    },
    Rule {
        cause: Cause::Reclaim,
        word: "memory_reclaim",
        title: "memory had to be made free",
        measure: "share of the time in which tasks waited for memory (PSI), of the machine or a cgroup of the target",
        least_share: 0.10,
    },
    Rule {
        cause: Cause::YieldSpin,
        word: "yield_spin",
        title: "a thread spun in sched_yield beside one that waited for a CPU",
        measure: "the thread most in yield, where the path waited for a CPU for 5 % as well",
        least_share: 0.10,
    },
    Rule {
        cause: Cause::CpuContention,
        word: "cpu_contention",
        title: "others had the CPUs",
        measure: "critical path, or the busiest thread, in preempted and runqueue",
        least_share: 0.25,
    },
    Rule {
        cause: Cause::Lock,
        word: "lock",
        title: "a futex was waited for that another thread held",
        measure: "critical path in a thread that ended a wait for a futex and is on less than 10 % of typical paths",
        least_share: 0.20,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_rule_as_it_is() {
        let page = include_str!("../../../../docs/story.md");
        for rule in RULES {
            let row = format!("| `{}` | {} | {:.0} % |", rule.word, rule.measure, rule.least_share * 100.0);
            assert!(page.contains(&row), "docs/story.md: {row}");
        }
    }
}
