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
    /// A GPU without work.
    GpuIdle,
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
    /// Words of rules that may be why: where one of them is found, of at least [`LEAST_OF_EXPLAINED`] of the share, this one is
    /// told after it.
    pub explained_by: &'static [&'static str],
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
/// Files are read again for want of memory where so many pages a second come back that were evicted shortly before.
pub const REFAULTS_PER_SECOND: f64 = 500.0;
/// Spinning neighbours matter where the path waited for a CPU for this share.
pub const SPIN_WAIT_SHARE: f64 = 0.05;

/// A finding that may be why another was found has at least so much of that one's share.
pub const LEAST_OF_EXPLAINED: f64 = 0.5;
/// What is told after all others: a GPU idles too where something that has a name kept the host from giving it work.
pub const GPU_IDLE: &str = "gpu_idle";

/// All rules; of two that carry the same time the earlier is named first.
pub const RULES: [Rule; 10] = [
    Rule {
        cause: Cause::Stopped,
        word: "stopped",
        title: "a thread that was waited for was stopped",
        measure: "critical path in stopped, traced or frozen",
        least_share: 0.05,
        explained_by: &[],
    },
    Rule {
        cause: Cause::Quota,
        word: "cpu_quota",
        title: "a CPU quota held threads back",
        measure: "critical path, or the busiest thread, in throttled",
        least_share: 0.10,
        explained_by: &[],
    },
    Rule {
        cause: Cause::SlowClient,
        word: "slow_client",
        title: "a client did not take what was sent",
        measure: "critical path in sends to sockets",
        least_share: 0.10,
        explained_by: &[],
    },
    Rule {
        cause: Cause::SlowDisk,
        word: "slow_disk",
        title: "a slow disk was waited for",
        measure: "critical path in major page faults, reads, writes and syncs of files while a disk took 20 ms on average",
        least_share: 0.10,
        explained_by: &[],
    },
    Rule {
        cause: Cause::ColdCache,
        word: "cold_page_cache",
        title: "files were read that were not in memory",
        measure: "critical path, or the busiest thread, in page_fault with major faults; critical path in reads of files",
        least_share: 0.10,
        explained_by: &["slow_disk", "memory_reclaim"],
    },
    Rule {
        cause: Cause::Reclaim,
        word: "memory_reclaim",
        title: "memory had to be made free",
        measure: "share of the time in which tasks waited for memory (PSI), of the target's own cgroup, or of the machine where that tells nothing; what is measured of `cold_page_cache` where 500 pages a second came back to that cgroup that were evicted shortly before",
        least_share: 0.10,
        explained_by: &[],
    },
    Rule {
        cause: Cause::YieldSpin,
        word: "yield_spin",
        title: "a thread spun in sched_yield beside one that waited for a CPU",
        measure: "the thread most in yield, where the path waited for a CPU for 5 % as well",
        least_share: 0.10,
        explained_by: &[],
    },
    Rule {
        cause: Cause::CpuContention,
        word: "cpu_contention",
        title: "others had the CPUs",
        measure: "critical path, or the busiest thread, in preempted and runqueue",
        least_share: 0.25,
        explained_by: &["yield_spin"],
    },
    Rule {
        cause: Cause::Lock,
        word: "lock",
        title: "a futex was waited for that another thread held",
        measure: "critical path, while a thread waited in a futex, in the one that ended that wait: not the one that answers, and on less than 10 % of typical paths so",
        least_share: 0.20,
        explained_by: &[],
    },
    Rule {
        cause: Cause::GpuIdle,
        word: GPU_IDLE,
        title: "the GPU had no work",
        measure: "time in which the target's GPU had no work, by PM sampling; told after all others, which may be why",
        least_share: 0.50,
        explained_by: &[],
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
