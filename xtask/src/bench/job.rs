//! A program that the benchmark runs: waited for, measured, and never left behind.
//!
//! Several run at a time (a workload, a recorder, another process it records), so each ends with its guard;
//! Ctrl-C makes every wait fail, which drops them all. Output goes to files, not pipes: nothing then has to
//! read while a measurement runs.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::process;

/// How often a program is looked at: coarse enough to cost both halves of a pair the same nothing.
const TICK: Duration = Duration::from_millis(5);
/// How long a program has between the request to end and the end.
const GRACE: Duration = Duration::from_secs(5);
/// Longer than any one measurement takes.
pub const LIMIT: Duration = Duration::from_mins(20);

/// Set by the first signal that asks to end.
fn asked_to_end() -> &'static Arc<AtomicBool> {
    static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    ASKED.get_or_init(Arc::default)
}

/// Takes Ctrl-C and the like as a request, which every wait then fails with.
pub fn take_signals() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(asked_to_end())).context("take signals")?;
    }
    Ok(())
}

/// Whether the run is to end.
pub fn interrupted() -> bool {
    asked_to_end().load(Ordering::Relaxed)
}

/// A running program, in a process group of its own. Dropping it ends it with all below it.
pub struct Job {
    name: String,
    child: Child,
    pid: Pid,
    stdout: PathBuf,
    stderr: PathBuf,
    /// Of the resident memory, as last seen.
    peak_bytes: u64,
    reaped: bool,
}

impl Job {
    /// Starts a program with its output in `<dir>/<name>.out` and `.err`.
    pub fn start(command: &mut Command, dir: &Path, name: &str) -> Result<Self> {
        if interrupted() {
            bail!("run {name}: interrupted");
        }
        let (stdout, stderr) = (dir.join(format!("{name}.out")), dir.join(format!("{name}.err")));
        let create = |path: &Path| File::create(path).with_context(|| format!("create {}", path.display()));
        let child = command
            .stdin(Stdio::null())
            .stdout(create(&stdout)?)
            .stderr(create(&stderr)?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("run {}", process::line_of(command)))?;
        let pid = Pid::from_child(&child);
        Ok(Self { name: name.to_owned(), child, pid, stdout, stderr, peak_bytes: 0, reaped: false })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// The peak of its resident memory, as seen every 5 ms: what a reaped child's account has, but told for
    /// one child and not for the largest of all.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// Asks the program, not what it started, to end as Ctrl-C does.
    pub fn interrupt(&self) {
        let _ = kill_process(self.pid, Signal::INT);
    }

    /// Waits until something is there, while the program runs.
    pub fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if self.has_ended()? {
                // It may have been the last thing it did.
                return look(self).ok_or_else(|| self.failure(&format!("ended before {what}")));
            }
            self.pause(deadline)?;
        }
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + LIMIT;
        while !self.has_ended()? {
            self.look_at_memory();
            self.pause(deadline)?;
        }
        self.reaped = true;
        self.child.wait().with_context(|| format!("wait for {}", self.name))
    }

    /// Waits for its end; an error, with its last line, when it fails.
    pub fn finish(&mut self) -> Result<()> {
        let status = self.wait()?;
        if status.success() { Ok(()) } else { Err(self.failure(&status.to_string())) }
    }

    fn failure(&self, what: &str) -> anyhow::Error {
        let stderr = self.stderr();
        let said = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        anyhow!("run {}: {what}: {}", self.name, said.trim())
    }

    fn has_ended(&self) -> Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.pid), options).context("wait for child")?.is_some())
    }

    fn pause(&self, deadline: Instant) -> Result<()> {
        if interrupted() {
            bail!("run {}: interrupted", self.name);
        }
        if Instant::now() >= deadline {
            bail!("run {}: not done after {} s", self.name, LIMIT.as_secs());
        }
        thread::sleep(TICK);
        Ok(())
    }

    fn look_at_memory(&mut self) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        self.peak_bytes = self.peak_bytes.max(peak_of(&status).unwrap_or_default());
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        // A recorder puts its command in a group of its own, and leaves it running when it is ended.
        let below = below(self.pid());
        let send = |signal| {
            let _ = kill_process_group(self.pid, signal);
            for pid in &below {
                let _ = kill_process(*pid, signal);
            }
        };
        send(Signal::TERM);
        // What is stopped takes a signal only once it goes on.
        send(Signal::CONT);
        let deadline = Instant::now() + GRACE;
        while !self.has_ended().unwrap_or(true) && Instant::now() < deadline {
            thread::sleep(TICK);
        }
        send(Signal::KILL);
        let _ = self.child.wait();
    }
}

fn text(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// `VmHWM` of `/proc/PID/status`; a process that has ended has none.
fn peak_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// Every process below this one.
fn below(pid: u32) -> Vec<Pid> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let child = entry.file_name().to_str()?.parse().ok()?;
            Some((child, parent_of(&fs::read_to_string(entry.path().join("stat")).ok()?)?))
        })
        .collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| child));
        at += 1;
    }
    found.iter().skip(1).filter_map(|pid| Pid::from_raw(i32::try_from(*pid).ok()?)).collect()
}

/// The fourth field of `/proc/PID/stat`; the second, in brackets, may hold anything.
fn parent_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("bench-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_dropped_program_takes_along_what_left_its_group() {
        let folder = Folder::new("dropped");
        let mut command = Command::new("sh");
        command.args(["-c", "setsid sleep 600 & echo $!; wait"]);
        let mut job = Job::start(&mut command, &folder.0, "sleeper").unwrap();
        let grandchild: u32 = job.until("its child", |job| job.stdout().trim().parse().ok()).unwrap();
        // Until it is a child that has left the group, its end would prove nothing.
        job.until("its child's session", |_| {
            let stat = fs::read_to_string(format!("/proc/{grandchild}/stat")).ok()?;
            stat.contains("(sleep)").then_some(())
        })
        .unwrap();
        drop(job);
        let deadline = Instant::now() + GRACE;
        let runs = || {
            let stat = fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            stat.contains("(sleep) S")
        };
        while runs() {
            assert!(Instant::now() < deadline, "{grandchild} still runs");
            thread::sleep(TICK);
        }
    }

    #[test]
    fn a_failing_program_is_named_with_its_last_line() {
        let folder = Folder::new("failing");
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo second >&2; exit 3"]);
        let err = Job::start(&mut command, &folder.0, "shell").unwrap().finish().unwrap_err();
        assert_eq!(err.to_string(), "run shell: exit status: 3: second");
    }

    #[test]
    fn a_parent_is_read_past_a_name_with_brackets() {
        assert_eq!(parent_of("12 (a) b) S 7 12 12 0"), Some(7));
        assert_eq!(peak_of("VmPeak:\t  9 kB\nVmHWM:\t    84 kB\n"), Some(84 * 1024));
        assert_eq!(peak_of("State:\tZ"), None);
    }
}
