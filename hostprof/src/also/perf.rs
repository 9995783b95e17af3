//! perf: how it is started, and how what it recorded is read.
//!
//! Stacks are followed by frame pointers: addresses alone are kept, no memory of the target.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::units::Tgid;

/// Samples a second of each CPU the target runs on; not a divisor of a timer's rate.
pub const FREQUENCY_HZ: u32 = 499;

/// How long perf may take to read what it recorded.
const LIMIT: Duration = Duration::from_mins(2);

/// Begins when told over `control`, and then acknowledges; on the clock of the tables.
fn common(output: &str, control: i32) -> Vec<String> {
    let control = format!("fd:{control},{control}");
    ["-k", "CLOCK_MONOTONIC", "-D", "-1", "--control", &control, "-o", output].map(str::to_owned).into()
}

/// Stacks of the target's threads and of those they start; no build-id of a file goes to a cache in $HOME.
pub fn record_arguments(output: &str, control: i32, targets: &[Tgid]) -> Vec<String> {
    let frequency = FREQUENCY_HZ.to_string();
    let mut arguments: Vec<String> =
        ["record", "-F", &frequency, "-g", "-N", "--buildid-all"].map(str::to_owned).into();
    arguments.extend(common(output, control));
    arguments.extend(["-p".to_owned(), list(targets.iter().copied())]);
    arguments
}

/// Of every task of the machine: an event bound to the target is not hit when another task gives it the CPU.
pub fn sched_arguments(output: &str, control: i32) -> Vec<String> {
    let mut arguments: Vec<String> = ["sched", "record", "-N", "-B"].map(str::to_owned).into();
    arguments.extend(common(output, control));
    arguments
}

/// Processes as perf takes them.
pub fn list(processes: impl Iterator<Item = Tgid>) -> String {
    processes.map(|tgid| tgid.to_string()).collect::<Vec<_>>().join(",")
}

/// A perf that reads: no request over the network for symbols.
pub fn reader(arguments: &[&str]) -> Command {
    let mut command = Command::new("perf");
    command.args(arguments).env("LC_ALL", "C").env_remove("DEBUGINFOD_URLS");
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs one to its end, each line of its output given to `line`.
///
/// # Errors
///
/// It cannot be started, fails, or takes longer than two minutes.
pub fn read_lines(mut command: Command, mut line: impl FnMut(&str)) -> Result<(), String> {
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| format!("run perf: {error}"))?;
    let output = child.stdout.take();
    bounded(child, || {
        let mut bytes = Vec::new();
        let mut lines = BufReader::new(output?);
        while lines.read_until(b'\n', &mut bytes).ok()? > 0 {
            line(String::from_utf8_lossy(&bytes).trim_end());
            bytes.clear();
        }
        Some(())
    })
}

/// Runs one to its end, whose output goes elsewhere.
///
/// # Errors
///
/// As [`read_lines`].
pub fn run(mut command: Command) -> Result<(), String> {
    let child = command.spawn().map_err(|error| format!("run perf: {error}"))?;
    bounded(child, || Some(()))
}

fn bounded(mut child: Child, work: impl FnOnce() -> Option<()>) -> Result<(), String> {
    let pid = Pid::from_raw(child.id().cast_signed());
    let (done, watched) = channel::<()>();
    let watch = thread::spawn(move || {
        let late = watched.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout);
        if late {
            let _ = kill(pid, Signal::SIGKILL);
        }
        late
    });
    work();
    let status = child.wait();
    drop(done);
    if watch.join().unwrap_or(false) {
        return Err(format!("read what perf recorded: not done within {} s", LIMIT.as_secs()));
    }
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("read what perf recorded: perf ended with {status}")),
        Err(error) => Err(format!("run perf: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perf_is_on_the_clock_of_the_tables_and_waits_for_the_word() {
        for arguments in [record_arguments("f", 5, &[Tgid(1), Tgid(2)]), sched_arguments("f", 5)] {
            let line = arguments.join(" ");
            assert!(line.contains("-k CLOCK_MONOTONIC -D -1 --control fd:5,5"), "{line}");
        }
        assert!(
            record_arguments("f", 5, &[Tgid(1), Tgid(2)]).ends_with(&["-p".to_owned(), "1,2".to_owned()])
        );
    }

    #[test]
    fn no_memory_of_the_target_is_recorded() {
        let arguments = record_arguments("f", 5, &[Tgid(1)]);
        for forbidden in ["--call-graph", "dwarf", "-d", "--data", "--user-regs"] {
            assert!(!arguments.iter().any(|word| word == forbidden), "{forbidden}");
        }
    }

    #[test]
    fn the_output_of_a_program_that_fails_is_read_and_its_failure_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two; exit 3"]);
        let mut lines = Vec::new();
        let ended = read_lines(command, |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["one", "two"]);
        assert!(ended.unwrap_err().contains("exit status: 3"));
    }
}
