//! Whether a recording shows the pattern that its label claims.
//!
//! A signature is a list of conditions from one table ([`table`]); each holds a metric ([`metric`]) of
//! what was observed ([`observed`]) between two bounds. The program's own pattern name is never looked
//! at: only its counts and the ledger are.

pub mod metric;
pub mod observed;
pub mod table;

use std::fmt;

pub use self::{
    metric::Metric,
    observed::Observed,
    table::{Condition, conditions},
};
pub use crate::Pattern;

/// One condition of a signature beside what was observed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    pub condition: Condition,
    /// `None` where the recording has nothing to measure it by; the condition is then missed.
    pub observed: Option<f64>,
}

impl Finding {
    pub fn ok(&self) -> bool {
        self.observed.is_some_and(|value| self.condition.holds(value))
    }

    /// The observed value as text.
    pub fn observed_text(&self) -> String {
        self.observed.map_or_else(|| "none".to_owned(), metric::number)
    }
}

/// What a recording is under one label.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub pattern: Pattern,
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Whether every condition holds.
    pub fn accepted(&self) -> bool {
        self.findings.iter().all(Finding::ok)
    }

    /// The conditions that do not hold.
    pub fn missed(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|f| !f.ok())
    }
}

/// One line a condition: `intended | observed | ok/miss`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let word = if finding.ok() { "ok" } else { "miss" };
            writeln!(
                f,
                "{:<46} | {:>14} | {:>10} | {word}",
                finding.condition.metric.text(),
                finding.condition.to_string(),
                finding.observed_text()
            )?;
        }
        Ok(())
    }
}

/// Holds a recording against the signature of `pattern`.
pub fn judge(pattern: Pattern, observed: &Observed) -> Verdict {
    let findings = conditions(pattern)
        .map(|condition| Finding { condition, observed: condition.metric.value(observed) })
        .collect();
    Verdict { pattern, findings }
}

/// Every recording judged under every label.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// What was recorded, and the verdicts in the order of [`Pattern::ALL`].
    pub rows: Vec<(Pattern, Vec<Verdict>)>,
}

/// Judges each recording under all four labels.
pub fn judge_all(recordings: &[(Pattern, Observed)]) -> Matrix {
    let rows = recordings
        .iter()
        .map(|(recorded, observed)| {
            (*recorded, Pattern::ALL.iter().map(|label| judge(*label, observed)).collect())
        })
        .collect();
    Matrix { rows }
}

impl Matrix {
    /// Whether all four patterns were recorded and exactly the right labels are accepted.
    pub fn is_diagonal(&self) -> bool {
        Pattern::ALL.iter().all(|p| self.rows.iter().any(|(recorded, _)| recorded == p))
            && self.wrong().next().is_none()
    }

    /// The pairs judged wrongly: a right label refused or a wrong one accepted.
    pub fn wrong(&self) -> impl Iterator<Item = (Pattern, &Verdict)> {
        self.rows.iter().flat_map(|(recorded, verdicts)| {
            verdicts
                .iter()
                .filter(|v| v.accepted() != (v.pattern == *recorded))
                .map(|verdict| (*recorded, verdict))
        })
    }
}

/// A row for each recording, a column for each label, then the findings behind each wrong pair.
impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16}", "recording")?;
        for label in Pattern::ALL {
            write!(f, "{:>16}", format!("as {}", label.name().trim_end_matches("-heavy")))?;
        }
        writeln!(f)?;
        for (recorded, verdicts) in &self.rows {
            write!(f, "{recorded:<16}")?;
            for verdict in verdicts {
                let word = match verdict.missed().count() {
                    0 => "accepted".to_owned(),
                    missed => format!("{missed} of {} miss", verdict.findings.len()),
                };
                write!(f, "{word:>16}")?;
            }
            writeln!(f)?;
        }
        for (recorded, verdict) in self.wrong() {
            writeln!(f, "\n{recorded} judged as {}:\n{verdict}", verdict.pattern)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
