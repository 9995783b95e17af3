//! Running other programs: saying which one failed, as root where needed, within a time limit, and never
//! leaving one behind.

use std::{
    fmt::Write as _,
    io::IsTerminal,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio, exit},
    sync::{Mutex, Once, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// How long a program has between the request to end and the end.
const GRACE: Duration = Duration::from_secs(5);
/// How often a bounded program is looked at.
const TICK: Duration = Duration::from_millis(20);

/// How a bounded program came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(ExitStatus),
    /// It reached its limit and was killed with all that it had started.
    TimedOut,
}

impl End {
    pub fn success(self) -> bool {
        matches!(self, Self::Exited(status) if status.success())
    }

    pub fn into_result(self) -> Result<()> {
        if self.success() { Ok(()) } else { bail!("{self}") }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => status.fmt(out),
            Self::TimedOut => out.write_str("stopped at its time limit"),
        }
    }
}

/// Runs a program in the foreground to its end; an error when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line_of(command);
    let status = command.status().with_context(|| format!("run {line}"))?;
    if !status.success() {
        bail!("run {line}: {status}");
    }
    Ok(())
}

/// Runs a program and yields what it writes to stdout; an error, with its last line on stderr, when it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let line = line_of(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {line}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("run {line}: {}: {}", output.status, stderr.trim().lines().last().unwrap_or("no message"));
    }
    String::from_utf8(output.stdout).with_context(|| format!("read output of {line}"))
}

/// A program and its arguments as one would type them.
pub fn line_of(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        let _ = write!(line, " {}", arg.to_string_lossy());
    }
    line
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `program` as root: directly when this is root, else by sudo, which may ask on a terminal only.
pub fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    if !std::io::stdin().is_terminal() {
        command.arg("-n");
    }
    command.arg("-E").arg(program);
    command
}

/// Makes sure that [`as_root`] will work, asking for a password here and now where one is needed.
pub fn become_root() -> Result<()> {
    if is_root() {
        return Ok(());
    }
    let mut command = Command::new("sudo");
    if !std::io::stdin().is_terminal() {
        command.arg("-n");
    }
    match command.arg("-v").status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!("become root: sudo refused (run as root, or on a terminal where sudo can ask)"),
        Err(err) => bail!("become root: run sudo: {err} (run as root)"),
    }
}

/// The process group that ends with this program.
static GROUP: Mutex<Option<Pid>> = Mutex::new(None);
static ON_SIGNAL: Once = Once::new();

/// A program with a time limit, in a process group of its own so that all of it can be ended.
///
/// It has no stdin: a background group that reads a terminal is stopped by it.
pub struct Bounded {
    child: Child,
    pid: Pid,
    deadline: Instant,
}

impl Bounded {
    pub fn start(command: &mut Command, limit: Duration) -> Result<Self> {
        ON_SIGNAL.call_once(end_group_on_signal);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut group = GROUP.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("run {program}"))?;
        let pid = Pid::from_child(&child);
        *group = Some(pid);
        Ok(Self { child, pid, deadline: Instant::now() + limit })
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits for the program's end, then ends what it left running in its group.
    pub fn wait(mut self) -> Result<End> {
        let timed_out = !self.ended_by(self.deadline)?;
        if timed_out {
            let _ = kill_process_group(self.pid, Signal::TERM);
            self.ended_by(Instant::now() + GRACE)?;
        }
        // Not reaped yet, so its id still is its group's.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let status = self.child.wait().context("wait for child")?;
        *GROUP.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(if timed_out { End::TimedOut } else { End::Exited(status) })
    }

    fn ended_by(&self, deadline: Instant) -> Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(self.pid), options).context("wait for child")?.is_none() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(TICK);
        }
        Ok(true)
    }
}

/// Runs a program within a time limit; what it writes goes to stderr or stdout as it comes.
pub fn run_bounded(command: &mut Command, limit: Duration) -> Result<End> {
    Bounded::start(command, limit)?.wait()
}

fn end_group_on_signal() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held to the end: nothing is started any more, and nothing said of what is ended here.
            let group = GROUP.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(group) = *group {
                let _ = kill_process_group(group, Signal::TERM);
                thread::sleep(Duration::from_millis(500));
                let _ = kill_process_group(group, Signal::KILL);
            }
            exit(128 + signal);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended_with_its_children() {
        let started = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]).stdout(Stdio::piped());
        let mut bounded = Bounded::start(&mut command, Duration::from_millis(200)).unwrap();
        let stdout = bounded.child().stdout.take().unwrap();
        assert_eq!(bounded.wait().unwrap(), End::TimedOut);
        // The pipe ends only when every process that holds it has ended.
        let grandchild = std::io::read_to_string(stdout).unwrap();
        assert!(!grandchild.is_empty());
        assert!(started.elapsed() < Duration::from_mins(1));
    }

    #[test]
    fn a_failing_program_is_named_with_its_last_line() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo second >&2; exit 3"]);
        let err = output(&mut command).unwrap_err().to_string();
        assert!(err.starts_with("run sh -c"), "{err}");
        assert!(err.ends_with("exit status: 3: second"), "{err}");
    }
}
