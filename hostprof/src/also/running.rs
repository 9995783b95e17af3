//! One tool under way, as the keeper sees it: started, waited for until it has begun, ended.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd},
        unix::{fs::MetadataExt as _, net::UnixStream, process::ExitStatusExt as _},
    },
    process::{Child, ChildStderr, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, FdFlag, OFlag, fcntl},
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};

use super::{
    Tool,
    keeper::{Plan, Report},
};
use crate::{clock, units::Tgid};

/// How long a tool may take to begin.
const BEGIN_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const BEGIN_STEP: Duration = Duration::from_millis(2);
/// What is kept of what it says on stderr.
const MOST_TEXT: u64 = 16 << 10;

/// A tool that runs, or ran.
pub struct Running {
    child: Option<Child>,
    said: Option<JoinHandle<String>>,
    /// Keeps perf's channel open: perf ends when it closes.
    control: Option<UnixStream>,
    pub report: Report,
}

impl Running {
    /// Starts a tool and waits until it has begun or failed.
    pub fn start(plan: &Plan, output: &File, owner: Uid) -> Self {
        let mut running = Self { child: None, said: None, control: None, report: Report::default() };
        if let Err(message) = running.try_start(plan, output, owner) {
            running.kill();
            running.report = Report { message, ..Report::default() };
        }
        running
    }

    fn try_start(&mut self, plan: &Plan, output: &File, owner: Uid) -> Result<(), String> {
        is_owners(output, owner)?;
        if plan.tool == Tool::Strace
            && let Some((traced, tracer)) = plan.targets.iter().find_map(|&target| other_tracer(target))
        {
            return Err(format!("process {traced} is traced by process {tracer} already (end that first)"));
        }
        let failed = |error: std::io::Error| format!("start {}: {error}", plan.tool.program());
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let path = format!("/proc/self/fd/{}", output.as_raw_fd());
        let arguments = plan.tool.arguments(&path, theirs.as_raw_fd(), &plan.targets);
        let shown = plan.tool.arguments(plan.tool.output(), theirs.as_raw_fd(), &plan.targets);
        self.report.arguments = [plan.tool.program().to_owned()].into_iter().chain(shown).collect();
        let mut command = Command::new(plan.tool.program());
        command.args(arguments).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let spawned = with_inherited(&[output.as_fd(), theirs.as_fd()], || command.spawn());
        drop(theirs);
        let child = self.child.insert(spawned.map_err(failed)?);
        self.said = child.stderr.take().map(|stderr| thread::spawn(move || text_of(stderr)));
        if plan.tool == Tool::Strace {
            self.until(plan.tool, |pid| plan.targets.iter().all(|&target| is_traced(target, pid)))?;
        } else {
            ours.set_read_timeout(Some(BEGIN_STEP)).map_err(failed)?;
            (&ours).write_all(b"enable\n").map_err(failed)?;
            let mut answer = [0; 16];
            let acknowledged =
                |_| (&ours).read(&mut answer).is_ok_and(|bytes| answer[..bytes].starts_with(b"ack"));
            self.until(plan.tool, acknowledged)?;
            self.control = Some(ours);
        }
        self.report.start_mono_ns = Some(clock::mono().0);
        Ok(())
    }

    /// Waits for a sign that it has begun.
    fn until(&mut self, tool: Tool, mut begun: impl FnMut(u32) -> bool) -> Result<(), String> {
        let end = Instant::now() + BEGIN_LIMIT;
        loop {
            let Some(child) = &mut self.child else { return Err("it is not started".to_owned()) };
            if begun(child.id()) {
                return Ok(());
            }
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return Err(format!("{} ({})", self.message(), tool.remedy()));
            }
            if Instant::now() >= end {
                return Err(format!("it did not begin within {} s", BEGIN_LIMIT.as_secs()));
            }
            thread::sleep(BEGIN_STEP);
        }
    }

    /// Whether it has ended; notes when and how.
    pub fn has_ended(&mut self, early: bool) -> bool {
        let Some(child) = &mut self.child else { return true };
        if self.report.end_mono_ns.is_some() {
            return true;
        }
        let Ok(Some(status)) = child.try_wait() else { return false };
        self.report.end_mono_ns = Some(clock::mono().0);
        self.report.exit_status = Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
        self.report.early = early;
        self.report.message = self.message();
        true
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        if let Some(child) = &self.child
            && self.report.end_mono_ns.is_none()
        {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT);
        }
    }

    /// Ends it.
    pub fn kill(&mut self) {
        drop(self.control.take());
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The first line it said that tells something. It has ended.
    fn message(&mut self) -> String {
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        telling_line(&said).unwrap_or("it ended without a word").to_owned()
    }
}

fn text_of(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let _ = stderr.by_ref().take(MOST_TEXT).read_to_end(&mut kept);
    // The rest, so that it never waits for a reader.
    let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}

/// Leaves out what every run says, and headings.
fn telling_line(said: &str) -> Option<&str> {
    let usual = |line: &str| {
        line.is_empty()
            || line.ends_with(" attached")
            || line.ends_with(" detached")
            || line.contains(" attached with ")
            || line.starts_with("Events ")
            || line.starts_with("[ perf record:")
            || matches!(line, "Error:" | "Warning:")
    };
    said.lines().map(str::trim).find(|line| !usual(line))
}

/// A file that a tool with more rights may open anew: the invoking user's own, which they could write as it is.
fn is_owners(output: &File, owner: Uid) -> Result<(), String> {
    let found = output.metadata().map_err(|error| format!("look at its file: {error}"))?;
    let flags = fcntl(output, FcntlArg::F_GETFL).map_or(OFlag::O_PATH, OFlag::from_bits_retain);
    let writable = flags & OFlag::O_ACCMODE == OFlag::O_RDWR && !flags.contains(OFlag::O_PATH);
    if found.is_file() && found.uid() == owner.as_raw() && writable {
        Ok(())
    } else {
        Err("its file is not the invoking user's".to_owned())
    }
}

/// Runs `spawn` while these survive an exec.
fn with_inherited<T>(fds: &[BorrowedFd], spawn: impl FnOnce() -> T) -> T {
    let set = |flag| {
        for fd in fds {
            let _ = fcntl(fd, FcntlArg::F_SETFD(flag));
        }
    };
    set(FdFlag::empty());
    let spawned = spawn();
    set(FdFlag::FD_CLOEXEC);
    spawned
}

/// The tracer of each thread of a process; 0 for none.
fn tracers(target: Tgid) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{target}/task")) else { return Vec::new() };
    let statuses = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    statuses.filter_map(|status| tracer_of(&status)).collect()
}

fn tracer_of(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("TracerPid:")?.trim().parse().ok())
}

fn other_tracer(target: Tgid) -> Option<(Tgid, u32)> {
    tracers(target).into_iter().find(|&tracer| tracer != 0).map(|tracer| (target, tracer))
}

/// Whether every thread is traced by `tracer`; a process that is gone has none.
fn is_traced(target: Tgid, tracer: u32) -> bool {
    tracers(target).into_iter().all(|found| found == tracer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_tool_says_the_line_that_tells_is_taken() {
        let perf = "Events disabled\nError:\nAccess to performance monitoring is limited.\nConsider …\n";
        assert_eq!(telling_line(perf), Some("Access to performance monitoring is limited."));
        let strace = "strace: Process 7 attached with 3 threads\nstrace: attach: ptrace(PTRACE_SEIZE, 9): Operation not permitted\n";
        assert_eq!(
            telling_line(strace),
            Some("strace: attach: ptrace(PTRACE_SEIZE, 9): Operation not permitted")
        );
        assert_eq!(telling_line("strace: Process 7 attached\nstrace: Process 7 detached\n"), None);
    }

    #[test]
    fn a_tracer_is_read_from_the_status_of_a_thread() {
        assert_eq!(tracer_of("Name:\tsh\nTracerPid:\t4711\nUid:\t0\n"), Some(4711));
        assert_eq!(tracer_of("Name:\tsh\n"), None);
    }

    #[test]
    fn only_a_file_that_its_owner_opened_to_write_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "x").unwrap();
        let me = Uid::effective();
        let open = |write: bool| fs::OpenOptions::new().read(true).write(write).open(&path).unwrap();
        assert!(is_owners(&open(true), me).is_ok());
        assert!(is_owners(&open(false), me).is_err());
        assert!(is_owners(&open(true), Uid::from_raw(me.as_raw() + 1)).is_err());
        assert!(is_owners(&File::open(folder.path()).unwrap(), me).is_err());
    }
}
