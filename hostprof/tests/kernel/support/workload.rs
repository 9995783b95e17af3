//! A workload under way: its lines as they come, its start held back until it is told.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{wait, workload_path};

/// A workload that runs.
pub struct Workload {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    start: Option<ChildStdin>,
    pub ready: Value,
}

/// The lines of a workload's output; others are left out.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .filter(|line| line.starts_with('{'))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

impl Workload {
    /// Starts one and waits until it is ready. With `--hold` it goes on at [`Workload::go`].
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(workload_path());
        command.args(arguments);
        Self::start_command(&mut command)
    }

    /// The same for a command that becomes a workload.
    pub fn start_command(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start a workload");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let first = lines.next().expect("a ready line").expect("a ready line");
        let ready = serde_json::from_str(&first).expect("a JSON object");
        Self { start: child.stdin.take(), child, lines, ready }
    }

    /// Its pid as it sees it.
    pub fn pid(&self) -> u32 {
        self.ready["pid"].as_u64().expect("its pid") as u32
    }

    /// The pid of the child started here.
    pub fn child_pid(&self) -> u32 {
        self.child.id()
    }

    /// Why it cannot run here, if it says so.
    pub fn unsupported(&self) -> Option<&str> {
        self.ready["unsupported"].as_str()
    }

    /// Lets a held one go on.
    pub fn go(&mut self) {
        self.start = None;
    }

    pub fn send(&self, signal: Signal) {
        super::send(self.child.id(), signal);
    }

    /// Its next lines, up to and with one that has the field.
    pub fn until(&mut self, field: &str) -> Value {
        for line in self.lines.by_ref() {
            let line: Value = serde_json::from_str(&line.expect("a line")).expect("a JSON object");
            if !line[field].is_null() {
                return line;
            }
        }
        panic!("read a workload's lines: none has {field}");
    }

    /// Lets it go on, and returns the rest of its lines when it has ended.
    pub fn finish(mut self) -> Vec<Value> {
        self.go();
        let text: String = self.lines.by_ref().map(|line| line.expect("a line") + "\n").collect();
        let status = wait("a workload", &mut self.child);
        assert!(status.success(), "a workload ended with {status}");
        json_lines(&text)
    }

    /// Tells it to stop, and returns the rest of its lines.
    pub fn stop(self) -> Vec<Value> {
        self.send(Signal::SIGTERM);
        self.finish()
    }

    /// Kills it.
    pub fn kill(mut self) -> ExitStatus {
        let _ = self.child.kill();
        wait("a killed workload", &mut self.child)
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        // After a failed assertion; one that was waited for is no more.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
