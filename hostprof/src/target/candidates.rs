//! What there is to record: every program that runs, with what tells whether it is the one meant.

use std::{collections::HashMap, io, time::Instant};

use nix::unistd::{Uid, User};

use super::{
    engine::engine_of,
    proc::{Proc, Process},
};
use crate::{probe::escape_comm, units::Tgid};

/// The device files of an NVIDIA GPU.
const GPU_FILES: &str = "/dev/nvidia";

/// A process that could be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub tgid: Tgid,
    /// Its name.
    pub comm: String,
    /// Its command line; its name where that is empty.
    pub command: String,
    /// The known engine it belongs to.
    pub engine: Option<&'static str>,
    /// The user it runs as: a name, or a number where there is none.
    pub user: String,
    /// Whether it has a GPU open; `None` where that may not be looked at.
    pub gpu: Option<bool>,
    /// CPU time since the scan before, 1 for one CPU in full; `None` in the first scan.
    pub cpu_ratio: Option<f64>,
}

impl Candidate {
    /// Whether it uses a GPU or belongs to a known engine.
    pub fn is_likely(&self) -> bool {
        self.gpu == Some(true) || self.engine.is_some()
    }
}

/// Looks for candidates, again and again.
#[derive(Debug)]
pub struct Scanner {
    proc: Proc,
    users: HashMap<u32, String>,
    /// CPU time of each process at the scan before.
    before: HashMap<Tgid, u64>,
    at: Option<Instant>,
}

impl Scanner {
    /// One that looks at these processes.
    pub fn new(proc: Proc) -> Self {
        Self { proc, users: HashMap::new(), before: HashMap::new(), at: None }
    }

    /// The candidates now: those that use a GPU or are a known engine's first, the busiest first of each.
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted.
    pub fn scan(&mut self) -> io::Result<Vec<Candidate>> {
        let now = Instant::now();
        let passed_ns = self.at.map(|at| now.duration_since(at).as_nanos().max(1) as f64);
        let mut cpu_ns = HashMap::new();
        let mut candidates = Vec::new();
        let own = Tgid(std::process::id());
        for process in self.proc.processes()? {
            if process.is_kernel || process.is_zombie || process.tgid == own {
                continue;
            }
            let used_ns = self.proc.cpu_ns(process.tgid).unwrap_or(0);
            cpu_ns.insert(process.tgid, used_ns);
            let before = self.before.get(&process.tgid);
            let cpu_ratio =
                before.zip(passed_ns).map(|(before, passed)| used_ns.saturating_sub(*before) as f64 / passed);
            candidates.push(self.candidate(&process, cpu_ratio));
        }
        (self.before, self.at) = (cpu_ns, Some(now));
        candidates.sort_by(|a, b| {
            let rank = |candidate: &Candidate| (candidate.gpu == Some(true), candidate.engine.is_some());
            let busy = |candidate: &Candidate| candidate.cpu_ratio.unwrap_or(0.0);
            rank(b).cmp(&rank(a)).then(busy(b).total_cmp(&busy(a))).then(a.tgid.cmp(&b.tgid))
        });
        Ok(candidates)
    }

    fn candidate(&mut self, process: &Process, cpu_ratio: Option<f64>) -> Candidate {
        let words = self.proc.command_line(process.tgid);
        let comm = escape_comm(&process.comm);
        let user = self.proc.uid(process.tgid).map(|uid| self.user(uid)).unwrap_or_default();
        Candidate {
            tgid: process.tgid,
            command: if words.is_empty() { comm.clone() } else { words.join(" ") },
            comm,
            engine: engine_of(process, &words),
            user,
            gpu: self.proc.has_open(process.tgid, GPU_FILES),
            cpu_ratio,
        }
    }

    fn user(&mut self, uid: u32) -> String {
        let name = || {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map_or_else(|| uid.to_string(), |user| user.name)
        };
        self.users.entry(uid).or_insert_with(name).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, thread::sleep, time::Duration};

    use super::*;

    #[test]
    fn a_busy_process_and_its_user_are_found_and_its_own_is_not() {
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let mut scanner = Scanner::new(Proc::new());
        let first = scanner.scan().unwrap();
        sleep(Duration::from_millis(300));
        let second = scanner.scan().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let of = |list: &[Candidate]| list.iter().find(|one| one.tgid.0 == child.id()).cloned().unwrap();
        assert_eq!(of(&first).cpu_ratio, None);
        let found = of(&second);
        assert!(found.cpu_ratio.is_some_and(|ratio| ratio > 0.05 && ratio < 1.5), "{found:?}");
        assert_eq!((found.comm.as_str(), found.engine, found.gpu), ("sh", None, Some(false)));
        assert!(!found.user.is_empty() && found.command.starts_with("sh -c"));
        assert!(!second.iter().any(|one| one.tgid.0 == std::process::id()));
    }

    #[test]
    fn a_known_engine_comes_first() {
        // `exec -a` names the program as an engine's is named.
        let mut engine = Command::new("bash").args(["-c", "exec -a llama-server sleep 60"]).spawn().unwrap();
        let mut scanner = Scanner::new(Proc::new());
        let end = Instant::now() + Duration::from_secs(10);
        let first = loop {
            let list = scanner.scan().unwrap();
            if list.iter().any(|one| one.tgid.0 == engine.id() && one.engine == Some("llama.cpp")) {
                break list.into_iter().next().unwrap();
            }
            assert!(Instant::now() < end, "the engine is not found");
            sleep(Duration::from_millis(10));
        };
        engine.kill().unwrap();
        engine.wait().unwrap();
        assert!(first.is_likely(), "{first:?}");
    }
}
