//! Everything that is checked without running hostprof's code, and in what order.
//!
//! A check that fails does not keep the others from running.

mod layers;
mod length;
mod local;
mod source;

pub use layers::rust_files;

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    docs, process,
    setup::{self, Tools, UserHalf, ebpf, seconds},
    workspace::{Members, Workspace},
};

/// How one check went.
pub struct Outcome {
    pub name: &'static str,
    pub passed: bool,
    pub took: Duration,
}

/// `cargo xtask lint`
pub fn run(workspace: &Workspace) -> Result<()> {
    let tools = setup::build(workspace, UserHalf::Programs)?;
    let outcomes = check(workspace, &tools);
    let failed: Vec<_> =
        outcomes.iter().filter(|outcome| !outcome.passed).map(|outcome| outcome.name).collect();
    if !failed.is_empty() {
        bail!("lint: {} of {} checks failed: {}", failed.len(), outcomes.len(), failed.join(", "));
    }
    Ok(())
}

/// Runs every check on a workspace that is built.
pub fn check(workspace: &Workspace, tools: &Tools) -> Vec<Outcome> {
    let checks: [(&str, &dyn Fn() -> Result<()>); 7] = [
        ("format", &|| process::run(workspace.cargo().args(["fmt", "--all", "--check"]))),
        ("layers", &|| layers::check(&workspace.root)),
        ("length", &|| length::check(workspace)),
        ("local paths", &|| local::check(workspace)),
        ("kernel half", &|| ebpf::deny_warnings(workspace, tools)),
        ("clippy", &|| clippy(workspace, Members::Default)),
        ("docs", &|| docs::check(workspace)),
    ];
    checks.into_iter().map(|(name, check)| outcome(name, check)).collect()
}

/// The checks that the default members' do not cover.
pub fn check_query(workspace: &Workspace) -> Outcome {
    outcome("clippy hostprof-query", &|| clippy(workspace, Members::Query))
}

fn outcome(name: &'static str, check: &dyn Fn() -> Result<()>) -> Outcome {
    let started = Instant::now();
    let result = check();
    let took = started.elapsed();
    match &result {
        Ok(()) => eprintln!("lint {name}: ok  {}", seconds(took)),
        Err(err) => eprintln!("lint {name}: FAILED: {err:#}"),
    }
    Outcome { name, passed: result.is_ok(), took }
}

fn clippy(workspace: &Workspace, members: Members) -> Result<()> {
    let mut command = workspace.cargo();
    command.args(["clippy", "--all-targets"]).args(members.args());
    process::run(command.args(["--", "-D", "warnings"]))
}

/// The files that git knows, relative to the workspace.
fn tracked(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    // A container often runs as another user than the clone's owner, which git refuses by default.
    let safe = format!("safe.directory={}", workspace.root.display());
    let mut command = Command::new("git");
    command.arg("-C").arg(&workspace.root).args(["-c", &safe, "ls-files", "-z"]);
    let list = process::output(&mut command)?;
    Ok(list.split_terminator('\0').map(PathBuf::from).collect())
}
