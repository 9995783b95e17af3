//! `cargo xtask test`: every check and every test, in one table.
//!
//! Tests run as the invoking user, except those of hostprof's `tests/kernel*`, which run as root, one by
//! one. The last line is the sum, alone, whatever happened.

mod libtest;
mod notebook;
mod suite;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{
    lint,
    setup::{self, UserHalf, seconds, tracefs},
    test::libtest::Counts,
    workspace::{Members, Workspace},
};

/// A line of the closing table.
struct Row {
    name: String,
    /// `None` for a lint, which passes or fails as a whole.
    counts: Option<Counts>,
    problem: Option<String>,
    /// Why it was not run; it is then neither passed nor failed.
    not_run: Option<String>,
    took: Duration,
}

impl Row {
    fn of_lint(outcome: &lint::Outcome) -> Self {
        Self {
            name: format!("lint {}", outcome.name),
            counts: None,
            problem: (!outcome.passed).then(|| "see above".to_owned()),
            not_run: None,
            took: outcome.took,
        }
    }

    fn of_notebooks(workspace: &Workspace) -> Self {
        println!("\nnotebooks");
        let started = Instant::now();
        let (counts, problem, not_run) = match notebook::run(workspace) {
            notebook::Outcome::Passed(passed) => (Some(Counts { passed, ..Counts::default() }), None, None),
            notebook::Outcome::Failed(why) => {
                (Some(Counts { failed: 1, ..Counts::default() }), Some(why), None)
            }
            notebook::Outcome::NotRun(why) => (None, None, Some(why)),
        };
        Self { name: "notebooks".to_owned(), counts, problem, not_run, took: started.elapsed() }
    }
}

/// Runs all of these members; with `filter` only the tests with it in their name. Whether all went well.
pub fn run(workspace: &Workspace, members: &[Members], filter: Option<&str>) -> bool {
    let mut rows = Vec::new();
    let completed = run_into(workspace, members, filter, &mut rows);
    let mut sum = Counts::default();
    for row in &rows {
        match row.counts {
            Some(counts) => sum += counts,
            None => sum.failed += u64::from(row.problem.is_some()),
        }
    }
    if let Err(err) = &completed {
        // Here, not in `main`: the sum is the last line.
        eprintln!("error: {err:#}");
        sum.failed += 1;
    }
    print_table(&rows);
    println!("{} passed, {} failed", sum.passed, sum.failed);
    sum.failed == 0
}

fn run_into(
    workspace: &Workspace,
    members: &[Members],
    filter: Option<&str>,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let tools = setup::build(workspace, UserHalf::ProgramsAndTests)?;
    tracefs::provide()?;
    for &members in members {
        if filter.is_none() {
            let outcomes = match members {
                Members::Default => lint::check(workspace, &tools),
                Members::Query => vec![lint::check_query(workspace)],
            };
            rows.extend(outcomes.iter().map(Row::of_lint));
        }
        for suite in suite::build_all(workspace, members)? {
            println!("\n{}", suite.name);
            let outcome = suite.run(workspace, filter)?;
            let counts = Some(outcome.counts);
            rows.push(Row {
                name: suite.name,
                counts,
                problem: outcome.problem,
                not_run: None,
                took: outcome.took,
            });
        }
    }
    if filter.is_none() && members.contains(&Members::Query) {
        rows.push(Row::of_notebooks(workspace));
    }
    if filter.is_some_and(|_| rows.iter().all(|row| row.counts == Some(Counts::default()))) {
        bail!("run tests: none has {} in its name", filter.unwrap_or_default());
    }
    Ok(())
}

fn print_table(rows: &[Row]) {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or_default().max(5);
    println!("\n{:width$}  passed  failed  ignored       time", "suite");
    for row in rows {
        let Row { name, problem, not_run, took, .. } = row;
        let counts = if let Some(Counts { passed, failed, ignored }) = row.counts {
            format!("{passed:6}  {failed:6}  {ignored:7}")
        } else {
            let word = match (problem, not_run) {
                (Some(_), _) => "FAILED",
                (None, Some(_)) => "NOT RUN",
                (None, None) => "ok",
            };
            format!("{word:>7} {:6}  {:7}", "", "")
        };
        let problem =
            problem.as_ref().or(not_run.as_ref()).map(|problem| format!("  {problem}")).unwrap_or_default();
        println!("{name:width$}  {counts}  {:>9}{problem}", seconds(*took));
    }
}
