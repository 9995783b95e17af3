//! Reading `/proc`: processes, their threads, and what each thread is doing.

use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use super::container;
use crate::{
    clock,
    probe::{Placement, Rdev, Seed, rdev_of, syscalls::RESTART_SYSCALL},
    table::State,
    units::{Tgid, Tid},
};
use hostprof_common::thread::Counters;

/// `PF_KTHREAD` of the flags in `/proc/PID/stat`.
const PF_KTHREAD: u64 = 0x0020_0000;

/// The process file system, which tests put elsewhere.
#[derive(Clone, Debug)]
pub struct Proc {
    root: PathBuf,
    /// Nanoseconds to take from CLOCK_BOOTTIME to get CLOCK_MONOTONIC, at the start.
    suspended_ns: u64,
    tick_ns: u64,
}

/// A process, as `/proc/PID/stat` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub tgid: Tgid,
    /// Its parent's.
    pub parent: Tgid,
    /// Its name, as bytes.
    pub comm: Vec<u8>,
    /// Whether it is a thread of the kernel.
    pub is_kernel: bool,
    /// Whether it has ended and waits for its parent.
    pub is_zombie: bool,
}

impl Default for Proc {
    fn default() -> Self {
        Self::new()
    }
}

impl Proc {
    /// The running machine's.
    pub fn new() -> Self {
        let anchor = clock::anchor();
        let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
        Self {
            root: PathBuf::from("/proc"),
            suspended_ns: anchor.boot_ns.saturating_sub(anchor.mono.0),
            tick_ns: 1_000_000_000 / ticks.max(1) as u64,
        }
    }

    pub(super) fn path(&self, tgid: Tgid, rest: &str) -> PathBuf {
        self.root.join(tgid.to_string()).join(rest)
    }

    /// Every process there is now.
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted.
    pub fn processes(&self) -> io::Result<Vec<Process>> {
        let mut processes = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            if let Some(tgid) = name.to_str().and_then(|name| name.parse().ok()) {
                processes.extend(self.process(Tgid(tgid)));
            }
        }
        Ok(processes)
    }

    /// One process; `None` where there is none.
    pub fn process(&self, tgid: Tgid) -> Option<Process> {
        let stat = read(&self.path(tgid, "stat")).ok()?;
        let (comm, rest) = split_stat(&stat)?;
        let field = |index: usize| rest.get(index).and_then(|field| field.parse::<u64>().ok());
        let flags = field(6)?;
        Some(Process {
            tgid,
            parent: Tgid(field(1)? as u32),
            comm,
            is_kernel: flags & PF_KTHREAD != 0,
            is_zombie: rest.first().is_some_and(|state| matches!(state.as_str(), "Z" | "X")),
        })
    }

    /// The process a thread id belongs to: itself for a process id.
    pub fn process_of(&self, id: u32) -> Option<Tgid> {
        let status = fs::read_to_string(self.path(Tgid(id), "status")).ok()?;
        status_field(&status, "Tgid").and_then(|value| value.parse().ok()).map(Tgid)
    }

    /// The threads of a process; empty when it is gone.
    pub fn threads(&self, tgid: Tgid) -> Vec<Tid> {
        let Ok(entries) = fs::read_dir(self.path(tgid, "task")) else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Tid))
            .collect()
    }

    /// The command line, arguments as text; empty for a kernel thread or one that is gone.
    pub fn command_line(&self, tgid: Tgid) -> Vec<String> {
        let Ok(bytes) = fs::read(self.path(tgid, "cmdline")) else { return Vec::new() };
        bytes
            .split(|&byte| byte == 0)
            .filter(|argument| !argument.is_empty())
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect()
    }

    /// The program; `None` where it may not be looked at.
    pub fn exe(&self, tgid: Tgid) -> Option<String> {
        let path = fs::read_link(self.path(tgid, "exe")).ok()?;
        Some(crate::probe::escape_comm(path.as_os_str().as_encoded_bytes()))
    }

    /// An fd of a process: a link to what it stands for.
    pub fn fd(&self, tgid: Tgid, fd: u32) -> PathBuf {
        self.path(tgid, "fd").join(fd.to_string())
    }

    /// The character devices below `/dev` that a process has open; none where it may not be looked at.
    pub fn open_devices(&self, tgid: Tgid) -> Vec<Rdev> {
        let Ok(entries) = fs::read_dir(self.path(tgid, "fd")) else { return Vec::new() };
        entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|fd| fs::read_link(fd).is_ok_and(|link| link.starts_with("/dev")))
            .filter_map(|fd| fs::metadata(fd).ok())
            .filter(|device| device.file_type().is_char_device())
            .map(|device| rdev_of(device.rdev()))
            .collect()
    }

    /// The cgroup paths of a process, one line a hierarchy.
    pub fn cgroups(&self, tgid: Tgid) -> String {
        fs::read_to_string(self.path(tgid, "cgroup")).unwrap_or_default()
    }

    /// CPU time of a process so far, of all its threads, to a clock tick; `None` when it is gone.
    pub fn cpu_ns(&self, tgid: Tgid) -> Option<u64> {
        let stat = read(&self.path(tgid, "stat")).ok()?;
        let (_, rest) = split_stat(&stat)?;
        let ticks = |index: usize| rest.get(index).and_then(|field| field.parse::<u64>().ok());
        Some((ticks(11)? + ticks(12)?) * self.tick_ns)
    }

    /// The user a process runs as; `None` when it is gone.
    pub fn uid(&self, tgid: Tgid) -> Option<u32> {
        Some(fs::metadata(self.path(tgid, "")).ok()?.uid())
    }

    /// Whether a process has a file open whose path begins so; `None` where its files may not be looked at.
    pub fn has_open(&self, tgid: Tgid, prefix: &str) -> Option<bool> {
        let files = fs::read_dir(self.path(tgid, "fd")).ok()?;
        let mut paths = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        Some(paths.any(|path| path.as_os_str().as_encoded_bytes().starts_with(prefix.as_bytes())))
    }

    /// The container and pod a process is in; `None` when it has ended.
    pub fn placement(&self, tgid: Tgid) -> Option<Placement> {
        let cgroups = fs::read_to_string(self.path(tgid, "cgroup")).ok()?;
        // In cgroup v1 a process that has ended is shown at the root.
        let lives = self.process(tgid).is_some_and(|process| !process.is_zombie);
        lives.then(|| container::placement(&cgroups))
    }

    /// What a thread is doing; `None` when it is gone.
    pub fn seed(&self, tgid: Tgid, tid: Tid) -> Option<Seed> {
        let file = |name: &str| self.path(tgid, "task").join(tid.to_string()).join(name);
        let stat = read(&file("stat")).ok()?;
        let (comm, rest) = split_stat(&stat)?;
        let field = |index: usize| rest.get(index).and_then(|field| field.parse::<u64>().ok());
        let status = text(&file("status")).unwrap_or_default();
        let number = |name| status_field(&status, name).and_then(|value| value.parse::<u64>().ok());
        let schedstat = text(&file("schedstat")).unwrap_or_default();
        let mut schedstat = schedstat.split_whitespace().map(|value| value.parse::<u64>().ok());
        let (sum_exec, run_delay) = (schedstat.next().flatten(), schedstat.next().flatten());
        let counters = (|| {
            Some(Counters {
                at_ns: clock::mono().0,
                nvcsw: number("voluntary_ctxt_switches")?,
                nivcsw: number("nonvoluntary_ctxt_switches")?,
                sum_exec_ns: sum_exec?,
                run_delay_ns: run_delay?,
                min_flt: field(7)?,
                maj_flt: field(9)?,
                stolen_ns: 0,
                late_on_cpu_ns: 0,
                late_runqueue_ns: 0,
            })
        })();
        let syscall = text(&file("syscall"));
        let syscall_readable = syscall.is_ok();
        let syscall = syscall.ok().as_deref().and_then(parse_syscall);
        let is_restarted = syscall.is_some_and(|(nr, ..)| nr == RESTART_SYSCALL);
        let wchan = is_restarted.then(|| text(&file("wchan")).unwrap_or_default());
        Some(Seed {
            ns_tid: status_field(&status, "NSpid")
                .and_then(|value| value.split_whitespace().last()?.parse().ok()),
            comm,
            start_mono_ns: field(19).map(|ticks| (ticks * self.tick_ns).saturating_sub(self.suspended_ns)),
            state: rest.first().and_then(|state| state.chars().next()).unwrap_or('?'),
            restarts: wchan.as_deref().and_then(restarted),
            syscall_readable,
            syscall,
            counters,
        })
    }
}

/// A file of `/proc`, most of them in one read: the kernel makes the text anew for each, and tells no size.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(2048);
    fs::File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read(path)?).into_owned())
}

/// `/proc/PID/stat`: the name, which may hold anything, and the fields behind it, from the state on.
fn split_stat(stat: &[u8]) -> Option<(Vec<u8>, Vec<String>)> {
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = String::from_utf8_lossy(stat.get(close + 2..)?);
    Some((stat.get(open + 1..close)?.to_vec(), rest.split_whitespace().map(str::to_owned).collect()))
}

pub(super) fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// The calls that the kernel goes on with by `restart_syscall`, told by where in it they wait (`/proc/PID/wchan`).
fn restarted(wchan: &str) -> Option<State> {
    let waits = [
        ("poll_schedule_timeout", State::Poll),
        ("hrtimer_nanosleep", State::Sleep),
        ("futex_", State::Futex),
    ];
    waits.into_iter().find(|(place, _)| wchan.starts_with(place)).map(|(_, state)| state)
}

/// `/proc/PID/syscall`: number and arguments of a blocked thread; `-1` is no call, `running` neither.
fn parse_syscall(text: &str) -> Option<(i32, u64, u64)> {
    let mut words = text.split_whitespace();
    let nr: i32 = words.next()?.parse().ok()?;
    let mut argument =
        || words.next().and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    (nr >= 0).then_some(())?;
    Some((nr, argument()?, argument()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let (comm, rest) = split_stat(b"42 (a) b (c)) S 1 42 42 0 -1 4194560 10 0 2 0").unwrap();
        assert_eq!(comm, b"a) b (c)");
        assert_eq!((rest[0].as_str(), rest[1].as_str(), rest[7].as_str()), ("S", "1", "10"));
    }

    #[test]
    fn a_blocked_call_is_read_with_its_arguments() {
        assert_eq!(
            parse_syscall("202 0x7f00 0x80 0x2 0x0 0x0 0x0 0x7ffe 0x7fff\n"),
            Some((202, 0x7f00, 0x80))
        );
        assert_eq!(parse_syscall("running\n"), None);
        assert_eq!(parse_syscall("-1 0x7ffe 0x7fff\n"), None);
    }

    #[test]
    fn this_process_is_found_with_its_threads_and_counters() {
        let proc = Proc::new();
        let me = Tgid(std::process::id());
        let process = proc.process(me).unwrap();
        assert!(!process.is_kernel && !process.is_zombie);
        let tids = proc.threads(me);
        assert!(tids.contains(&Tid(me.0)));
        let seed = proc.seed(me, Tid(me.0)).unwrap();
        assert!(seed.counters.is_some());
        assert_eq!(proc.process_of(me.0), Some(me));
        assert!(proc.process(Tgid(2)).is_none_or(|kthreadd| kthreadd.is_kernel));
    }
}
