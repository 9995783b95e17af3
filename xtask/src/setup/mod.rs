//! From a fresh clone to both halves built, one line for each step.
//!
//! What is local is used first; a download is tried only when nothing local will do, within a time limit.
//! A step that is done already costs next to nothing, so every other subcommand starts here.

mod apt;
pub mod compiler;
pub mod ebpf;
mod linker;
pub mod tracefs;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    process,
    setup::{compiler::Compiler, linker::Linker},
    workspace::Workspace,
};

/// What the kernel half is built with.
pub struct Tools {
    pub compiler: Compiler,
    pub linker: Linker,
}

/// What of the user half is built.
#[derive(Clone, Copy)]
pub enum UserHalf {
    Programs,
    /// The tests too, in one go: their dependencies' features change how the shared ones are built, so
    /// that building the programs first would build most of the graph twice.
    ProgramsAndTests,
    /// What is measured, optimised as what is shipped.
    Shipped,
}

impl UserHalf {
    fn args(self) -> &'static [&'static str] {
        match self {
            Self::Programs => &["build", "--release"],
            Self::ProgramsAndTests => &["build", "--release", "--lib", "--bins", "--tests"],
            Self::Shipped => {
                &["build", "--profile", "dist", "--bins", "--package", "hostprof", "--package", "calibration"]
            }
        }
    }

    /// Where its programs lie.
    pub fn folder(self, workspace: &Workspace) -> PathBuf {
        workspace.target.join(if matches!(self, Self::Shipped) { "dist" } else { "release" })
    }
}

/// How many steps [`kernel_half`] has.
pub const KERNEL_HALF_STEPS: usize = 3;

/// Everything: tools, kernel half, user half.
pub fn build(workspace: &Workspace, user_half: UserHalf) -> Result<Tools> {
    let mut steps = Steps::new(KERNEL_HALF_STEPS + 1);
    let tools = kernel_half(workspace, &mut steps)?;
    steps.step("user half", || {
        process::run(workspace.cargo().args(user_half.args()))?;
        Ok(((), user_half.folder(workspace).display().to_string()))
    })?;
    Ok(tools)
}

/// Tools and kernel half alone: [`KERNEL_HALF_STEPS`] steps.
pub fn kernel_half(workspace: &Workspace, steps: &mut Steps) -> Result<Tools> {
    let compiler = steps.step("compiler with library source", || {
        let compiler = compiler::provide()?;
        let found = compiler.to_string();
        Ok((compiler, found))
    })?;
    let linker = steps.step("bpf-linker", || {
        let linker = linker::provide(workspace, &compiler)?;
        let found = linker.to_string();
        Ok((linker, found))
    })?;
    let tools = Tools { compiler, linker };
    steps.step("kernel half", || {
        let object = ebpf::build(workspace, &tools)?;
        Ok(((), object.display().to_string()))
    })?;
    Ok(tools)
}

/// Counts and times the steps of a build.
pub struct Steps {
    next: usize,
    total: usize,
}

impl Steps {
    pub fn new(total: usize) -> Self {
        Self { next: 1, total }
    }

    /// Runs a step, which yields its result and what to say of it.
    pub fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<(T, String)>) -> Result<T> {
        let started = Instant::now();
        let (result, found) = work()?;
        eprintln!("[{}/{}] {name}: {found}  ok  {}", self.next, self.total, seconds(started.elapsed()));
        self.next += 1;
        Ok(result)
    }
}

/// Says what takes its time within a step.
pub fn note(what: &str) {
    eprintln!("      {what}");
}

/// `12.3 s`
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
