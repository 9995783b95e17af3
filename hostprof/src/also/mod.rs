//! Other tools on the same target in the same run (`--also`): strace, perf, perf sched.
//!
//! They begin once the kernel half records and before a command runs, and end with the recording. Each writes one
//! file of the run folder; what is made from it (`perf-flamegraph.svg`, `sched.txt`) is made at the end, as the
//! invoking user. A tool that is missing, not permitted or gone early is a line; the recording goes on.
//!
//! All are on clocks that join with the tables: perf on CLOCK_MONOTONIC, strace on CLOCK_REALTIME, which
//! `clock_anchors` in `config.json` ties to it. No text of the target gets into a file: see [`strace`] and [`perf`].

mod flamegraph;
mod keeper;
pub mod perf;
mod running;
mod sched;
mod stacks;
pub mod strace;
mod svg;

use std::{fs::File, process::Command};

use nix::unistd::Uid;

use self::keeper::{Keeper, Plan, Report};
use crate::{
    recording::{AlsoTool, FolderError, RunFolder},
    units::Tgid,
};

/// The raw recording of `perf sched`: of every task of the machine, so it does not stay.
const SCHED_RAW: &str = ".sched.data";

/// A tool that can run beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tool {
    /// Every system call of the target, `strace.txt`; slows the target several times over
    Strace,
    /// Stacks of the target while on a CPU, `perf.data` and `perf-flamegraph.svg`
    Perf,
    /// The scheduler's events of the target, `sched.txt`
    PerfSched,
}

impl Tool {
    /// As `--also` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Strace => "strace",
            Self::Perf => "perf",
            Self::PerfSched => "perf-sched",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Strace => "strace",
            Self::Perf | Self::PerfSched => "perf",
        }
    }

    /// How a system gets it.
    fn package(self) -> &'static str {
        match self {
            Self::Strace => "install package strace",
            Self::Perf | Self::PerfSched => "install package linux-perf, on Ubuntu linux-tools-$(uname -r)",
        }
    }

    /// What lets it run where the kernel refuses.
    fn remedy(self) -> &'static str {
        match self {
            Self::Strace => "run hostprof under sudo; kernel.yama.ptrace_scope=3 forbids it to all",
            Self::Perf => "run hostprof under sudo, or lower kernel.perf_event_paranoid",
            Self::PerfSched => "run hostprof under sudo, with tracefs at /sys/kernel/tracing",
        }
    }

    /// The file it writes while it runs.
    fn output(self) -> &'static str {
        match self {
            Self::Strace => "strace.txt",
            Self::Perf => "perf.data",
            Self::PerfSched => SCHED_RAW,
        }
    }

    /// Its arguments, writing to `output`; perf is told over the file descriptor `control` when to begin.
    fn arguments(self, output: &str, control: i32, targets: &[Tgid]) -> Vec<String> {
        match self {
            Self::Strace => strace::arguments(output, targets),
            Self::Perf => perf::record_arguments(output, control, targets),
            Self::PerfSched => perf::sched_arguments(output, control),
        }
    }

    /// Its version, or why it cannot be used.
    fn version(self) -> Result<String, String> {
        let program = self.program();
        let option = if self == Self::Strace { "-V" } else { "--version" };
        match Command::new(program).arg(option).env("LC_ALL", "C").output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(format!("{program} not found ({})", self.package()))
            }
            Err(error) => Err(format!("run {program}: {error}")),
            Ok(output) if !output.status.success() => {
                let text = String::from_utf8_lossy(&output.stderr);
                let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
                Err(format!("run {program} {option}: {first} ({})", self.package()))
            }
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stdout);
                let first = text.lines().next().unwrap_or_default();
                Ok(first.split_whitespace().last().unwrap_or_default().to_owned())
            }
        }
    }
}

/// The tools of a recording.
pub struct Also {
    tools: Vec<(Tool, AlsoTool)>,
    /// Of those that can run, and the process that runs them.
    keeper: Option<Keeper>,
}

impl Also {
    /// Looks for the tools, and forks the process that will run them on `targets` with the privileges of now.
    /// Their files will be `owner`'s. Must be called while there is one thread.
    pub fn hold(tools: &[Tool], targets: &[Tgid], owner: Uid) -> Self {
        let mut also = Self { tools: Vec::new(), keeper: None };
        let mut plans = Vec::new();
        for (at, &tool) in tools.iter().enumerate() {
            if tools[..at].contains(&tool) {
                continue;
            }
            let mut entry = AlsoTool { name: tool.name().to_owned(), ..AlsoTool::default() };
            match tool.version() {
                Ok(version) => {
                    entry.version = Some(version);
                    plans.push(Plan { tool, targets: targets.to_vec() });
                }
                Err(reason) => leave_out(&mut entry, reason),
            }
            also.tools.push((tool, entry));
        }
        if !plans.is_empty() {
            match Keeper::fork(&plans, owner) {
                Ok(keeper) => also.keeper = Some(keeper),
                Err(error) => {
                    for (_, entry) in also.usable() {
                        leave_out(entry, format!("start it: {error}"));
                    }
                }
            }
        }
        also
    }

    /// Those that nothing has kept from running so far.
    fn usable(&mut self) -> impl Iterator<Item = &mut (Tool, AlsoTool)> {
        self.tools.iter_mut().filter(|(_, entry)| entry.reason.is_empty())
    }

    /// Starts them, their files in `folder`, and waits until each has begun or failed. What `config.json` says.
    pub fn begin(&mut self, folder: &RunFolder) -> Vec<AlsoTool> {
        let started = self.start(folder);
        let mut reports = started.as_deref().unwrap_or_default().iter();
        let failure = started.as_ref().err().map(ToString::to_string);
        for (tool, entry) in self.usable() {
            match (reports.next(), &failure) {
                (Some(Report { start_mono_ns: Some(start), arguments, .. }), _) => {
                    entry.start_mono_ns = Some(*start);
                    entry.command.clone_from(arguments);
                    if *tool == Tool::Strace {
                        eprintln!("hostprof: {}", strace::PRICE);
                    }
                }
                (report, failure) => {
                    let reason = report.map(|report| report.message.clone()).or_else(|| failure.clone());
                    leave_out(entry, reason.unwrap_or_else(|| "start it: no answer".to_owned()));
                    folder.remove_file(tool.output());
                }
            }
        }
        self.entries()
    }

    fn start(&mut self, folder: &RunFolder) -> anyhow::Result<Vec<Report>> {
        let outputs: Vec<File> = self
            .usable()
            .map(|(tool, _)| folder.create_output(tool.output()))
            .collect::<Result<_, FolderError>>()?;
        match &mut self.keeper {
            Some(keeper) => Ok(keeper.begin(&outputs)?),
            None => Ok(Vec::new()),
        }
    }

    /// Tells them that the recording ends; does not wait.
    pub fn stop(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.stop();
        }
    }

    /// Waits for their end and makes what is made from their files. What the user should know; `entries` is what
    /// `config.json` says. The table `thread` of the folder must be complete.
    pub fn finish(mut self, folder: &RunFolder, entries: &mut Vec<AlsoTool>) -> Vec<String> {
        let mut notes = Vec::new();
        let Some(keeper) = self.keeper.take() else { return notes };
        let reports = keeper.finish();
        let mut reports = reports.iter();
        // The keeper reports on all it was given, those that did not begin too.
        for (tool, entry) in self.tools.iter_mut().filter(|(_, entry)| entry.version.is_some()) {
            let report = reports.next();
            if entry.start_mono_ns.is_none() {
                continue;
            }
            let Some(report) = report else {
                entry.notes.push("how it ended is not known".to_owned());
                continue;
            };
            entry.end_mono_ns = report.end_mono_ns;
            entry.exit_status = report.exit_status;
            if report.early && report.exit_status != Some(0) {
                let status = report.exit_status.unwrap_or_default();
                entry.notes.push(format!("ended early with status {status}: {}", report.message));
            } else if !report.message.is_empty() && report.exit_status.is_none() {
                entry.notes.push(report.message.clone());
            }
            entry.files = vec![tool.output().to_owned()];
            let made = match tool {
                Tool::Strace => Ok(()),
                Tool::Perf => flamegraph::make(folder).map(|noted| {
                    entry.files.push(flamegraph::FILE.to_owned());
                    entry.notes.extend(noted);
                }),
                Tool::PerfSched => {
                    entry.files.clear();
                    let made = sched::make(folder, SCHED_RAW);
                    folder.remove_file(SCHED_RAW);
                    made.map(|()| entry.files.push(sched::FILE.to_owned()))
                }
            };
            entry.notes.extend(made.err());
            notes.extend(entry.notes.iter().map(|note| format!("{}: {note}", tool.name())));
        }
        *entries = self.entries();
        notes
    }

    fn entries(&self) -> Vec<AlsoTool> {
        self.tools.iter().map(|(_, entry)| entry.clone()).collect()
    }
}

fn leave_out(entry: &mut AlsoTool, reason: String) {
    eprintln!("hostprof: {} left out: {reason}", entry.name);
    entry.reason = reason;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_writes_to_a_file_of_its_own() {
        let tools = [Tool::Strace, Tool::Perf, Tool::PerfSched];
        for tool in tools {
            let arguments = tool.arguments("THE-FILE", 7, &[Tgid(4711)]);
            let at = arguments.iter().position(|word| word == "-o").unwrap();
            assert_eq!(arguments[at + 1], "THE-FILE", "{}", tool.name());
        }
        let mut outputs = tools.map(Tool::output);
        outputs.sort_unstable();
        assert!(outputs.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn without_tools_there_is_no_process_to_keep_them() {
        let also = Also::hold(&[], &[Tgid(1)], Uid::effective());
        assert!(also.keeper.is_none() && also.entries().is_empty());
    }
}
