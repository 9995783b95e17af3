//! What this machine can measure, what not and why, and the remedy.
//!
//! A list of checks, each a function of the machine's files; the probes are tried and not guessed at: loaded
//! and attached for a moment, with nothing recorded.

mod environment;
mod gpu;
mod kernel;
mod limits;
mod machine;
mod privileges;
mod probes;
mod sources;
#[cfg(test)]
mod tests;
mod text;

use serde::Serialize;

pub use self::{machine::Machine, text::text};
use crate::recording::Host;

/// Whether something works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Ok,
    /// Not all of it.
    Limited,
    /// It does not.
    Missing,
    /// The question does not arise here.
    NotApplicable,
}

/// What a look at the machine told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    verdict: Verdict,
    what: String,
    remedy: String,
}

impl Seen {
    fn ok(what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, what: what.into(), remedy: String::new() }
    }

    fn not_applicable(what: impl Into<String>) -> Self {
        Self { verdict: Verdict::NotApplicable, ..Self::ok(what) }
    }

    fn limited(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Limited, what: what.into(), remedy: remedy.into() }
    }

    fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Missing, ..Self::limited(what, remedy) }
    }
}

/// Something to look at.
struct Check {
    name: &'static str,
    why: &'static str,
    /// Nothing can be recorded where this is missing.
    needed: bool,
    look: fn(&Machine) -> Seen,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// Whether it works.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// Why it matters.
    pub why: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
    /// Whether nothing can be recorded without.
    pub needed: bool,
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Whether a recording can run.
    pub can_record: bool,
    /// Of the machine.
    pub checks: Vec<Finding>,
    /// Of each probe.
    pub probes: Vec<Finding>,
    /// Of each source that samplers read.
    pub samplers: Vec<Finding>,
    /// CPUs, NUMA nodes, GPUs and the paths between them.
    pub topology: Host,
}

/// Looks at everything.
pub fn examine() -> Diagnosis {
    let machine = Machine::this();
    let checks = run(&machine, checks());
    let probes = probes::examine(&machine);
    let samplers = run(&machine, sources::CHECKS);
    let works = |findings: &[Finding]| {
        findings.iter().all(|finding| !(finding.needed && finding.verdict == Verdict::Missing))
    };
    Diagnosis {
        can_record: works(&checks) && works(&probes),
        checks,
        probes,
        samplers,
        topology: machine.host,
    }
}

/// The checks of the machine, in the order they are told.
fn checks() -> impl Iterator<Item = &'static Check> {
    [kernel::CHECKS, privileges::CHECKS, environment::CHECKS, limits::CHECKS, gpu::CHECKS]
        .into_iter()
        .flatten()
}

fn run<'a>(machine: &Machine, checks: impl IntoIterator<Item = &'a Check>) -> Vec<Finding> {
    let finding = |check: &Check| {
        let seen = (check.look)(machine);
        Finding {
            name: check.name.to_owned(),
            verdict: seen.verdict,
            seen: seen.what,
            why: check.why.to_owned(),
            remedy: seen.remedy,
            needed: check.needed,
        }
    };
    checks.into_iter().map(finding).collect()
}
