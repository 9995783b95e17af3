//! What a test executable prints at its end.

use std::ops::AddAssign;

/// How many tests passed, failed and were ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub ignored: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

impl Counts {
    /// Reads the last summary, `test result: ok. 3 passed; 0 failed; 1 ignored; …`; `None` without one, as
    /// when the executable was killed.
    pub fn parse(output: &str) -> Option<Self> {
        // Not at a line's start after a test that printed without ending its line.
        let (_, summary) = output.rsplit_once("test result: ")?;
        let summary = summary.lines().next()?;
        let (_, counts) = summary.split_once(". ")?;
        let field = |name| {
            counts
                .split(';')
                .find_map(|field| field.trim().strip_suffix(name)?.trim_end().parse::<u64>().ok())
        };
        Some(Self { passed: field("passed")?, failed: field("failed")?, ignored: field("ignored")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read() {
        let output = "running 4 tests\ntest a ... ok\n\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.01s\n\n";
        assert_eq!(Counts::parse(output), Some(Counts { passed: 3, failed: 0, ignored: 1 }));
        let output = "noisetest result: FAILED. 3 passed; 12 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.21s\n";
        assert_eq!(Counts::parse(output), Some(Counts { passed: 3, failed: 12, ignored: 0 }));
    }

    #[test]
    fn an_executable_that_was_killed_has_no_summary() {
        assert_eq!(Counts::parse("running 4 tests\ntest a ... "), None);
        assert_eq!(Counts::parse(""), None);
        assert_eq!(Counts::parse("test result: ok."), None);
    }
}
