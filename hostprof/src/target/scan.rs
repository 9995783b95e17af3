//! From what the user named to the processes that are meant.

use std::{
    collections::{BTreeSet, HashMap},
    io,
};

use super::{
    container::placement,
    container_name::{Container, TRIED},
    engine::{self, TreeMode},
    proc::{Proc, Process},
};
use crate::{probe::escape_comm, units::Tgid};

/// What the user named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// A process, or a thread of it.
    Pid(u32),
    /// Every process of that name.
    Comm(String),
    /// Every process in that cgroup and below it.
    Cgroup(String),
    /// Every process in that container and below.
    Container(Container),
    /// A command that hostprof starts.
    Command(Tgid),
}

impl Selector {
    /// What kind it is and what it names, as `config.json` tells it.
    pub fn describe(&self) -> (&'static str, String) {
        match self {
            Self::Pid(pid) => ("pid", pid.to_string()),
            Self::Comm(name) => ("comm", name.clone()),
            Self::Cgroup(path) => ("cgroup", path.clone()),
            Self::Container(container) => ("container", container.named.clone()),
            Self::Command(tgid) => ("command", tgid.to_string()),
        }
    }
}

/// The processes that are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The topmost of each tree.
    pub roots: Vec<Tgid>,
    /// All, in order.
    pub processes: Vec<Tgid>,
    /// The engine the target was taken for.
    pub engine: Option<&'static str>,
    /// Roots that the user did not name: of the engine whose process was named.
    pub pulled_in: Vec<Tgid>,
    /// What the user should know of how they were found.
    pub notes: Vec<String>,
}

/// Why there is no target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No process has the id.
    #[error("find process {0}: no such process (see `ps -e`)")]
    NoSuchPid(u32),
    /// It ended meanwhile.
    #[error("record process {0}: it ended while hostprof attached")]
    Gone(u32),
    /// It is a thread of the kernel.
    #[error("record process {0}: it is a kernel thread (choose a program's process)")]
    KernelThread(u32),
    /// No process has the name.
    #[error("find a process named {0:?}: there is none (see `ps -eo comm`)")]
    NoSuchComm(String),
    /// No process is in the cgroup.
    #[error("find a process in cgroup {0:?}: there is none (see `cat /proc/PID/cgroup`)")]
    NoSuchCgroup(String),
    /// No container is called so.
    #[error("find container {0:?}: there is none (tried: {tried}; see `hostprof` or `docker ps`)", tried = TRIED)]
    NoSuchContainer(String),
    /// Its files are there, its processes are not.
    #[error("record container {0:?}: it has no process (start it first)")]
    ContainerStopped(String),
    /// More than one is called so.
    #[error("find container {0:?}: {1} are called so (give the id, or more of it)")]
    ManyContainers(String, usize),
    /// `/proc` cannot be read.
    #[error("read /proc: {0}")]
    Proc(#[from] io::Error),
}

/// Finds the processes that are meant, as they are now.
///
/// # Errors
///
/// There is none: see [`TargetError`].
pub fn find(proc: &Proc, selector: &Selector, mode: TreeMode) -> Result<Found, TargetError> {
    let processes: HashMap<Tgid, Process> =
        proc.processes()?.into_iter().map(|process| (process.tgid, process)).collect();
    let mut found = Found::default();
    match selector {
        Selector::Pid(pid) => {
            let tgid = proc.process_of(*pid).ok_or(TargetError::NoSuchPid(*pid))?;
            let process = processes.get(&tgid).ok_or(TargetError::NoSuchPid(*pid))?;
            if process.is_kernel {
                return Err(TargetError::KernelThread(*pid));
            }
            if process.is_zombie {
                return Err(TargetError::Gone(*pid));
            }
            if tgid.0 != *pid {
                found.notes.push(format!("{pid} is a thread of process {tgid}: the process is recorded"));
            }
            found.roots.push(tgid);
        }
        Selector::Command(tgid) => found.roots.push(*tgid),
        Selector::Comm(name) => {
            let named = |process: &&Process| !process.is_kernel && escape_comm(&process.comm) == *name;
            found.roots.extend(processes.values().filter(named).map(|process| process.tgid));
            if found.roots.is_empty() {
                return Err(TargetError::NoSuchComm(name.clone()));
            }
        }
        Selector::Cgroup(path) => {
            let path = path.trim_start_matches("/sys/fs/cgroup").trim_end_matches('/');
            let inside = |process: &&Process| in_cgroup(&proc.cgroups(process.tgid), path);
            found.roots.extend(processes.values().filter(inside).map(|process| process.tgid));
            if found.roots.is_empty() {
                return Err(TargetError::NoSuchCgroup(path.to_owned()));
            }
        }
        Selector::Container(container) => {
            let inside = |process: &&Process| {
                placement(&proc.cgroups(process.tgid)).container_id.as_ref() == Some(&container.id)
            };
            found.roots.extend(processes.values().filter(inside).map(|process| process.tgid));
            if found.roots.is_empty() {
                return Err(TargetError::ContainerStopped(container.named.clone()));
            }
        }
    }
    found.roots.sort_unstable();
    if mode == TreeMode::Engine && !matches!(selector, Selector::Command(_)) {
        pull_in_engines(proc, &processes, &mut found);
    }
    let mut all: BTreeSet<Tgid> = found.roots.iter().copied().collect();
    if mode != TreeMode::Exact {
        for process in processes.values() {
            if below(&processes, process.tgid, &found.roots) && !process.is_zombie {
                all.insert(process.tgid);
            }
        }
    }
    // hostprof's own process may stand below a recorded shell: it is no part of the target.
    all.remove(&Tgid(std::process::id()));
    found.processes = all.into_iter().collect();
    Ok(found)
}

/// Replaces each root that belongs to a known engine by the engine's root.
fn pull_in_engines(proc: &Proc, processes: &HashMap<Tgid, Process>, found: &mut Found) {
    for root in &mut found.roots {
        if let Some((engine_root, engine)) = engine::root(proc, processes, *root) {
            found.engine = Some(engine);
            if engine_root != *root {
                found.pulled_in.push(engine_root);
                found.notes.push(format!(
                    "process {root} belongs to {engine} with root {engine_root}: the whole engine is recorded (--tree down for {root} alone)"
                ));
                *root = engine_root;
            }
        }
    }
    found.roots.sort_unstable();
    found.roots.dedup();
}

/// Whether a process is one of the roots or below one.
fn below(processes: &HashMap<Tgid, Process>, tgid: Tgid, roots: &[Tgid]) -> bool {
    let mut at = tgid;
    // A tree deeper than this is a cycle: a parent that ended between two reads, its id used again.
    for _ in 0..4096 {
        if roots.contains(&at) {
            return true;
        }
        match processes.get(&at) {
            Some(process) if process.parent != at && process.parent.0 != 0 => at = process.parent,
            _ => return false,
        }
    }
    false
}

/// Whether `/proc/PID/cgroup` has a hierarchy at `path` or below; a path may begin with a v1 hierarchy's name.
fn in_cgroup(cgroups: &str, path: &str) -> bool {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    cgroups.lines().any(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, at) = (parts.next(), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let at_or_below =
            |at: &str| at == path || at.strip_prefix(&path).is_some_and(|rest| rest.starts_with('/'));
        at_or_below(at) || controllers.split(',').any(|name| at_or_below(&format!("/{name}{at}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_matched_whole_and_in_either_version() {
        assert!(in_cgroup("0::/a/b\n", "/a"));
        assert!(in_cgroup("4:cpu,cpuacct:/job\n0::/\n", "/cpu/job"));
        assert!(in_cgroup("4:cpu,cpuacct:/job\n0::/\n", "job"));
        assert!(!in_cgroup("0::/ab\n", "/a"));
    }

    #[test]
    fn a_pid_that_is_not_there_and_a_kernel_thread_are_refused() {
        let proc = Proc::new();
        let gone = find(&proc, &Selector::Pid(u32::MAX), TreeMode::Engine);
        assert!(matches!(gone, Err(TargetError::NoSuchPid(_))));
        if proc.process(Tgid(2)).is_some_and(|process| process.is_kernel) {
            let kthreadd = find(&proc, &Selector::Pid(2), TreeMode::Engine);
            assert!(matches!(kthreadd, Err(TargetError::KernelThread(2))));
        }
    }

    #[test]
    fn exact_leaves_children_out_and_down_takes_them_in() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let me = Selector::Pid(std::process::id());
        let proc = Proc::new();
        let down = find(&proc, &me, TreeMode::Down).unwrap();
        let exact = find(&proc, &me, TreeMode::Exact).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(down.processes.contains(&Tgid(child.id())));
        assert!(!exact.processes.contains(&Tgid(child.id())));
    }
}
