//! The findings as text: a line for each thread and rule that did not hold, then the verdict.

use std::fmt;

use super::{Findings, Rule, ThreadFinding, Verdict};
use crate::humane::{count, plural, printable};

/// At most so many threads are listed of each kind; the rest are counted.
const LISTED: usize = 50;

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, "FAIL", &self.failures)?;
        list(f, "UNDECIDED", &self.undecided)?;
        for (tid, rows) in self.strangers.iter().take(LISTED) {
            writeln!(f, "STRANGER  tid {tid}: {} and no thread row", plural(*rows, "row"))?;
        }
        if !(self.failures.is_empty() && self.undecided.is_empty() && self.strangers.is_empty()) {
            writeln!(f)?;
        }
        writeln!(
            f,
            "threads compared {} of {} seen · {}{}",
            count(self.threads_compared as u64),
            count(self.threads_seen as u64),
            plural(self.episodes, "off-CPU episode"),
            if self.page_faults_compared { "" } else { " · page faults not recorded" },
        )?;
        if self.counted > 0 {
            writeln!(f, "counted  {} more, not recorded one by one", plural(self.counted, "episode"))?;
        }
        if self.calls_seen > 0 {
            writeln!(
                f,
                "calls    off-CPU time compared for {} of {} seen, to the nanosecond: {} other than that of their rows",
                count(self.calls_compared),
                count(self.calls_seen),
                count(self.call_breaches()),
            )?;
        }
        if self.loss.is_none() {
            writeln!(f, "loss     none")?;
        }
        for loss in &self.loss.by_probe {
            let (probe, reason) = (printable(&loss.probe), printable(&loss.reason));
            writeln!(f, "loss     {} of {probe} ({reason})", plural(loss.dropped, "record"))?;
        }
        if self.loss.switches > 0 {
            writeln!(f, "loss     {} missing in threads' counts", plural(self.loss.switches, "switch"))?;
        }
        let verdict = match self.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::Undecided => "undecided",
        };
        let colon = if self.reason.is_empty() { "" } else { ": " };
        writeln!(f, "verdict  {verdict}{colon}{}", self.reason)
    }
}

impl Findings {
    /// Calls whose time off the CPU is not that of their rows.
    fn call_breaches(&self) -> u64 {
        let findings = self.failures.iter().chain(&self.undecided);
        let breaches = findings.flat_map(|finding| &finding.breaches);
        breaches.filter(|breach| breach.rule == Rule::CallOffCpu).map(|breach| breach.count).sum()
    }
}

fn list(f: &mut fmt::Formatter<'_>, kind: &str, findings: &[ThreadFinding]) -> fmt::Result {
    for finding in findings.iter().take(LISTED) {
        for breach in &finding.breaches {
            write!(
                f,
                "{kind}  {} (tid {}, pid {}): {}: expected {}, found {}",
                printable(&finding.comm),
                finding.tid,
                finding.tgid,
                breach.rule.title(),
                breach.expected,
                breach.found,
            )?;
            if let Some(at_ns) = breach.at_mono_ns {
                write!(f, ", at {at_ns}")?;
            }
            match breach.count {
                1 => writeln!(f)?,
                more => writeln!(f, " (the first of {})", count(more))?,
            }
        }
    }
    match findings.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => writeln!(f, "{kind}  and {} (--json lists them)", plural(more as u64, "more thread")),
    }
}
