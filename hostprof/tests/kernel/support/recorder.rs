//! A hostprof that records: started in a folder of its own, waited for until it records, ended.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Recorded, hostprof, poll, send, wait};

/// A recorder under way.
pub struct Recorder {
    child: Child,
    /// Its output goes to files here, so that no full pipe holds it up.
    scratch: TempDir,
    out: PathBuf,
}

impl Recorder {
    /// Starts `hostprof record -o <a new folder> ARGUMENTS` and waits until it records.
    pub fn start<S: AsRef<OsStr>>(arguments: &[S]) -> Self {
        let mut recorder = Self::spawn(arguments);
        recorder.until_it_records();
        recorder
    }

    /// Starts one, and does not wait.
    pub fn spawn<S: AsRef<OsStr>>(arguments: &[S]) -> Self {
        let scratch = tempfile::tempdir().expect("make a folder");
        let out = scratch.path().join("runs");
        Self::spawn_command(hostprof(), scratch, &out, arguments)
    }

    /// The same with another command that becomes hostprof, and another folder of runs.
    pub fn spawn_command<S: AsRef<OsStr>>(
        mut command: Command,
        scratch: TempDir,
        out: &Path,
        arguments: &[S],
    ) -> Self {
        let file = |name: &str| File::create(scratch.path().join(name)).expect("create a file");
        let child = command
            .arg("record")
            .arg("-o")
            .arg(out)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("start hostprof");
        Self { child, scratch, out: out.to_owned() }
    }

    /// Attaches to a process and its children.
    pub fn attach(pid: u32) -> Self {
        Self::start(&["--pid".to_owned(), pid.to_string()])
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Waits until the probes are attached: the first file is written after that.
    pub fn until_it_records(&mut self) {
        poll("a recording to begin", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("hostprof ended early with {status}: {}", self.text("stderr"));
            }
            fs::read_dir(&self.out).ok()?.flatten().find(|run| run.path().join("config.json").exists())
        });
    }

    pub fn send(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// What it has printed to its standard error so far.
    pub fn stderr(&self) -> String {
        self.text("stderr")
    }

    fn text(&self, name: &str) -> String {
        let bytes = fs::read(self.scratch.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for its end; yields what it printed.
    pub fn output(mut self) -> (ExitStatus, String, String, TempDir) {
        let status = wait("hostprof", &mut self.child);
        let (stdout, stderr) = (self.text("stdout"), self.text("stderr"));
        // Moved out of a type with a destructor.
        let scratch = std::mem::replace(&mut self.scratch, tempfile::tempdir().expect("make a folder"));
        (status, stdout, stderr, scratch)
    }

    /// Waits for its end and opens what it recorded.
    pub fn finish(self) -> Recorded {
        let (status, stdout, stderr, scratch) = self.output();
        Recorded::new(&Output { status, stdout: stdout.into(), stderr: stderr.into() }, scratch)
    }

    /// Ends it as Ctrl-C does.
    pub fn interrupt(self) -> Recorded {
        self.send(Signal::SIGINT);
        self.finish()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
