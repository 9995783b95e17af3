//! How much a peer saw and lost, from what it prints: one that saw nothing cost nothing and proves nothing.

use crate::bench::parse::number_before;

/// What a peer says of its own recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Samples, calls or counts, as the peer has it.
    pub events: u64,
    /// What it says it lost: perf's chunks, bpftrace's events.
    pub lost: u64,
}

/// `perf record`, on stderr: `(205434 samples)`, `lost 4 chunks!`.
pub fn perf(stderr: &str) -> Option<Seen> {
    let captured = stderr.lines().find(|line| line.contains("Captured and wrote"))?;
    // perf leaves the samples out where there is none.
    let events = number_before(captured, "samples)").unwrap_or_default() as u64;
    Some(Seen { events, lost: number_before(stderr, "chunks!").unwrap_or_default() as u64 })
}

/// `strace -c`, its file: the sum of the calls, in the last line.
pub fn strace(summary: &str) -> Option<Seen> {
    let total = summary.lines().rev().find(|line| line.trim_end().ends_with("total"))?;
    let events = total.split_whitespace().nth(3)?.parse().ok()?;
    Some(Seen { events, lost: 0 })
}

/// bpftrace's histograms: `[2, 4)   25193 |@@@|`; `Lost 12 events`.
pub fn bpftrace(output: &str) -> Option<Seen> {
    let counts = output.lines().filter(|line| line.starts_with('[') && line.contains('|'));
    let count = |line: &str| number_before(line, "|").map(|count| count as u64);
    let lost = output
        .lines()
        .filter(|line| line.starts_with("Lost "))
        .filter_map(|line| number_before(line, "events"));
    let seen = Seen { events: counts.filter_map(count).sum(), lost: lost.map(|lost| lost as u64).sum() };
    output.contains("Attaching").then_some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perf_tells_its_samples_and_lost_chunks() {
        let quiet = "[ perf record: Woken up 11 times to write data ]\n[ perf record: Captured and wrote 21.943 MB p.data (205434 samples) ]\n";
        assert_eq!(perf(quiet), Some(Seen { events: 205_434, lost: 0 }));
        let lossy = "Warning:\nProcessed 1186418 events and lost 4 chunks!\n\nCheck IO/CPU overload!\n[ perf record: Captured and wrote 114.793 MB p.data (1102585 samples) ]\n";
        assert_eq!(perf(lossy), Some(Seen { events: 1_102_585, lost: 4 }));
        assert_eq!(perf("[ perf record: Captured and wrote 0.1 MB p.data ]"), Some(Seen::default()));
        assert_eq!(perf("event syntax error: 'sched:sched_switch'"), None);
    }

    #[test]
    fn strace_tells_its_calls() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall\n------ ----------- ----------- --------- --------- ----------------\n 87.17    0.012865          12      1002      1000 futex\n------ ----------- ----------- --------- --------- ----------------\n100.00    0.014759           6      2147      1001 total\n";
        assert_eq!(strace(summary), Some(Seen { events: 2147, lost: 0 }));
        assert_eq!(strace(""), None);
    }

    #[test]
    fn bpftrace_tells_the_sum_of_its_histogram() {
        let output = "Attaching 4 probes...\n\n@usecs: \n[1]                39376 |@@@@@@|\n[2, 4)             25193 |@@    |\n[1K, 2K)               5 |      |\nLost 12 events\n";
        assert_eq!(bpftrace(output), Some(Seen { events: 64_574, lost: 12 }));
        assert_eq!(bpftrace("ERROR: could not attach"), None);
    }
}
