//! One pattern under `hostprof record`, then `check` and `report --json` on the run it left.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};

use super::Demo;
use crate::{Pattern, signature::observed::Report, truth::Truth};

pub(crate) struct Recording {
    /// The run folder.
    pub(crate) run: PathBuf,
    pub(crate) report: Report,
    pub(crate) truth: Truth,
}

impl Recording {
    pub(super) fn make(demo: &Demo, pattern: Pattern, seconds: u32) -> Result<Self> {
        let program = [pattern.name().to_owned(), "--seconds".to_owned(), seconds.to_string()];
        Self::of(demo, &[], &program)
    }

    /// Records the program with these arguments, the recorder with those options.
    pub(crate) fn of(demo: &Demo, options: &[&str], program: &[String]) -> Result<Self> {
        let scratch = Scratch::new()?;
        let account = scratch.0.join("truth.json");

        let mut record = if demo.sudo { Command::new("sudo") } else { Command::new(&demo.hostprof) };
        if demo.sudo {
            record.arg(&demo.hostprof);
        }
        record.arg("record").arg("-o").arg(&demo.runs).args(options).arg("--").arg(&demo.calibration);
        record.args(program).arg("--json").arg(&account);
        let recorded = success(record)?;
        let run = recorded
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .map(|line| PathBuf::from(line.trim()))
            .context("read the run folder's path: the recorder printed nothing")?;
        if !run.is_dir() {
            bail!("find the run folder {}: the recorder's last line names no folder", run.display());
        }

        success(hostprof(demo, [OsStr::new("check"), run.as_os_str()]))?;
        let report = success(hostprof(demo, [OsStr::new("report"), run.as_os_str(), OsStr::new("--json")]))?;
        let report = serde_json::from_str(&report)
            .with_context(|| format!("read the JSON report of {}", run.display()))?;
        let truth = std::fs::read_to_string(&account)
            .context("read the program's own account (did the program run to its end?)")?;
        let truth = serde_json::from_str(&truth).context("read the program's own account")?;
        Ok(Self { run, report, truth })
    }
}

fn hostprof<'a>(demo: &Demo, arguments: impl IntoIterator<Item = &'a OsStr>) -> Command {
    let mut command = Command::new(&demo.hostprof);
    command.args(arguments);
    command
}

/// Runs a command to its end and returns what it printed; its error output is shown if it fails.
fn success(mut command: Command) -> Result<String> {
    let name = described(&command);
    let Output { status, stdout, stderr } = command
        .stdin(Stdio::inherit())
        .output()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if !status.success() {
        let stderr = String::from_utf8_lossy(&stderr);
        let said = [stdout.trim(), stderr.trim()].join("\n");
        bail!("run {name}: {status}\n{}", said.trim());
    }
    Ok(stdout)
}

/// A command line in short: the programs by their last name.
fn described(command: &Command) -> String {
    let short = |word: &OsStr| {
        let name = Path::new(word).file_name().unwrap_or(word);
        name.to_string_lossy().into_owned()
    };
    std::iter::once(command.get_program()).chain(command.get_args()).map(short).collect::<Vec<_>>().join(" ")
}

/// A folder of its own for the program's account, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let name = format!("calibration-{}-{}", std::process::id(), crate::sys::clock::mono_ns());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Best effort: a leftover of a few hundred bytes in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
