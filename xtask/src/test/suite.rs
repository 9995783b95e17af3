//! One test executable: where it comes from, how it is run, whether it should hold tests.

use std::{
    fs,
    io::{Read, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    lint::rust_files,
    messages::{self, Artifact, Line},
    process::{self, Bounded, End},
    test::libtest::Counts,
    workspace::{Members, Workspace},
};

/// Longer than any suite takes; one that hangs must not take CI's whole time.
const LIMIT: Duration = Duration::from_mins(15);
/// What a test executable's output may still take to arrive after its end.
const DRAIN: Duration = Duration::from_secs(5);

/// A test executable.
#[derive(Debug)]
pub struct Suite {
    /// `hostprof tests/kernel_sched`
    pub name: String,
    executable: PathBuf,
    package_dir: PathBuf,
    src_path: PathBuf,
    kind: String,
    /// Whether it loads programs into the running kernel, which takes root and a machine to itself.
    on_kernel: bool,
}

/// How a suite went.
pub struct Outcome {
    pub counts: Counts,
    /// Why it failed, where its own tests do not tell.
    pub problem: Option<String>,
    pub took: Duration,
}

impl Suite {
    /// `None` for what is no test executable.
    pub fn of(artifact: Artifact) -> Option<Self> {
        let executable = artifact.executable.filter(|_| artifact.profile.test)?;
        let package_dir = artifact.manifest_path.parent()?.to_owned();
        let package = package_dir.file_name()?.to_string_lossy().into_owned();
        let (target, kind) = (artifact.target.name, artifact.target.kind.into_iter().next()?);
        let name = match kind.as_str() {
            "lib" => package.clone(),
            "test" => format!("{package} tests/{target}"),
            kind => format!("{package} {kind}/{target}"),
        };
        let on_kernel = package == "hostprof" && kind == "test" && target.starts_with("kernel");
        Some(Self { name, executable, package_dir, src_path: artifact.target.src_path, kind, on_kernel })
    }

    /// Runs it, its output passed through.
    pub fn run(&self, workspace: &Workspace, filter: Option<&str>) -> Result<Outcome> {
        let started = Instant::now();
        let mut command = self.command(workspace, filter)?;
        let mut bounded = Bounded::start(command.stdout(Stdio::piped()), self.limit())?;
        let output = bounded.child().stdout.take().map(pass_through);
        let end = bounded.wait()?;
        let output = output.and_then(|output| output.recv_timeout(DRAIN).ok()).unwrap_or_default();
        let took = started.elapsed();
        let counts = Counts::parse(&output);
        let problem = self.problem(end, counts, filter.is_some());
        let mut counts = counts.unwrap_or_default();
        if problem.is_some() && counts.failed == 0 {
            counts.failed = 1;
        }
        Ok(Outcome { counts, problem, took })
    }

    fn command(&self, workspace: &Workspace, filter: Option<&str>) -> Result<Command> {
        let variables = [
            ("HOSTPROF_BIN", workspace.release("hostprof")),
            ("CALIBRATION_BIN", workspace.release("calibration")),
            // As `cargo test` sets them.
            ("CARGO_MANIFEST_DIR", self.package_dir.clone()),
            ("CARGO_MANIFEST_PATH", self.package_dir.join("Cargo.toml")),
        ];
        let mut command = if self.on_kernel && !process::is_root() {
            process::become_root()?;
            let mut command = process::as_root("env");
            // sudo drops some variables even when it is told to keep them.
            for (name, value) in &variables {
                command.arg(format!("{name}={}", value.display()));
            }
            // Only root can end root's processes.
            command.args(["timeout", "-k", "5", &LIMIT.as_secs().to_string()]).arg(&self.executable);
            command
        } else {
            Command::new(&self.executable)
        };
        command.envs(variables).current_dir(&self.package_dir);
        if self.on_kernel {
            command.arg("--test-threads=1");
        }
        command.args(filter);
        Ok(command)
    }

    fn limit(&self) -> Duration {
        // Where `timeout` ends a suite, it comes first.
        if self.on_kernel { LIMIT + Duration::from_secs(30) } else { LIMIT }
    }

    fn problem(&self, end: End, counts: Option<Counts>, filtered: bool) -> Option<String> {
        match counts {
            Some(counts) if counts.failed > 0 => None,
            None => Some(format!("no result: {end}")),
            Some(_) if !end.success() => Some(end.to_string()),
            Some(counts) if counts.passed == 0 && !filtered && self.has_tests() => Some(format!(
                "ran no test ({} ignored), though {} has some",
                counts.ignored,
                self.src_path.display()
            )),
            Some(_) => None,
        }
    }

    /// Whether its source has tests, so that running none means that they were compiled out or ignored.
    fn has_tests(&self) -> bool {
        let dir = self.src_path.parent().unwrap_or(Path::new("."));
        // A program beside a library shares its directory, not its modules.
        let whole_dir = self.kind == "lib"
            || (self.kind == "bin" && !dir.join("lib.rs").exists())
            || (self.kind == "test" && self.src_path.file_name().is_some_and(|name| name == "main.rs"));
        let files = if whole_dir { rust_files(dir).unwrap_or_default() } else { vec![self.src_path.clone()] };
        files.iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("#[test]")))
    }
}

/// Copies a pipe to stdout as it comes, and yields all of it at its end.
fn pass_through(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let (mut all, mut part) = (Vec::new(), [0; 8192]);
        while let Ok(length @ 1..) = pipe.read(&mut part) {
            let mut stdout = std::io::stdout();
            let _ = stdout.write_all(&part[..length]).and_then(|()| stdout.flush());
            all.extend_from_slice(&part[..length]);
        }
        let _ = send.send(String::from_utf8_lossy(&all).into_owned());
    });
    receive
}

/// Every test executable of these members, built.
pub fn build_all(workspace: &Workspace, members: Members) -> Result<Vec<Suite>> {
    let mut command = workspace.cargo();
    command.args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
    command.args(members.args()).stderr(Stdio::inherit());
    let output = process::output(&mut command).context("build tests")?;
    let artifacts = messages::parse(&output).filter_map(|message| match message {
        Line::CompilerArtifact(artifact) => Some(artifact),
        _ => None,
    });
    let mut suites: Vec<_> = artifacts.filter_map(Suite::of).collect();
    // What fails soonest and needs least comes first.
    suites.sort_by_key(|suite| (suite.on_kernel, suite.kind == "test", suite.name.clone()));
    Ok(suites)
}
