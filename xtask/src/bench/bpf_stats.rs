//! The kernel's account of eBPF programs: how often each ran and for how long.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
    process::Command,
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// `bpf(2)`, x86-64, and its command `BPF_ENABLE_STATS` of `BPF_STATS_RUN_TIME`.
const SYS_BPF: i64 = 321;
const ENABLE_STATS: usize = 32;
const RUN_TIME: u32 = 0;

/// Counting, until dropped or until this program ends in any way: unlike `kernel.bpf_stats_enabled`, it
/// cannot be left on.
pub struct Stats(OwnedFd);

impl Stats {
    pub fn enable() -> Result<Self> {
        let attributes = [RUN_TIME];
        let arguments = [ENABLE_STATS, attributes.as_ptr() as usize, size_of_val(&attributes)];
        // SAFETY: the attributes are alive and as long as is said; the kernel only reads them.
        let fd = unsafe { calibration::sys::syscall(SYS_BPF, &arguments) }
            .context("count run times of eBPF programs (needs CAP_SYS_ADMIN)")?;
        // SAFETY: the call has opened it, and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).context("read a descriptor")?) }))
    }
}

impl AsFd for Stats {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// How often a program ran, and for how long in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    pub run_time_ns: u64,
    pub run_cnt: u64,
}

/// One of `bpftool --json prog show`.
#[derive(Deserialize)]
struct Program {
    id: u32,
    #[serde(default)]
    name: String,
    #[serde(default)]
    run_time_ns: u64,
    #[serde(default)]
    run_cnt: u64,
}

/// The programs that a process holds and that have run, by their names.
pub fn of_process(pid: u32) -> Result<BTreeMap<String, Ran>> {
    let ids = held_by(pid)?;
    let shown = process::output(Command::new("bpftool").args(["--json", "prog", "show"]))?;
    parse(&shown, &ids).context("read output of bpftool --json prog show")
}

/// Programs of one name are counted together: the kernel cuts names to 15 bytes.
fn parse(shown: &str, ids: &[u32]) -> serde_json::Result<BTreeMap<String, Ran>> {
    let programs: Vec<Program> = serde_json::from_str(shown)?;
    let mut ran: BTreeMap<String, Ran> = BTreeMap::new();
    for program in programs.into_iter().filter(|program| ids.contains(&program.id) && program.run_cnt > 0) {
        let sum = ran.entry(program.name).or_default();
        sum.run_time_ns += program.run_time_ns;
        sum.run_cnt += program.run_cnt;
    }
    Ok(ran)
}

/// What was added from one account to a later one.
pub fn between(before: &BTreeMap<String, Ran>, after: &BTreeMap<String, Ran>) -> BTreeMap<String, Ran> {
    let added = after.iter().map(|(name, ran)| {
        let before = before.get(name).copied().unwrap_or_default();
        let run_time_ns = ran.run_time_ns.saturating_sub(before.run_time_ns);
        (name.clone(), Ran { run_time_ns, run_cnt: ran.run_cnt.saturating_sub(before.run_cnt) })
    });
    added.filter(|(_, ran)| ran.run_cnt > 0).collect()
}

/// The ids of the programs that a process has open.
fn held_by(pid: u32) -> Result<Vec<u32>> {
    let dir = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&dir).with_context(|| format!("read {dir}"))?;
    let texts = entries.flatten().filter_map(|entry| fs::read_to_string(entry.path()).ok());
    let mut ids: Vec<_> = texts.filter_map(|text| program_id(&text)).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// A link has the id of its program too, and is no program.
fn program_id(fdinfo: &str) -> Option<u32> {
    fdinfo.lines().find_map(|line| line.strip_prefix("prog_id:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_of_the_process_that_ran_are_counted() {
        let shown = r#"[{"id":3,"type":"tracing","name":"sched_switch","run_time_ns":900,"run_cnt":9},
            {"id":4,"name":"sched_switch","run_time_ns":100,"run_cnt":1},
            {"id":5,"name":"sched_wakeup"},{"id":6,"name":"other","run_time_ns":5,"run_cnt":5}]"#;
        let ran = parse(shown, &[3, 4, 5]).unwrap();
        assert_eq!(ran.len(), 1);
        assert_eq!(ran["sched_switch"], Ran { run_time_ns: 1000, run_cnt: 10 });
    }

    #[test]
    fn what_ran_before_is_taken_off() {
        let of = |run_time_ns, run_cnt| BTreeMap::from([("a".to_owned(), Ran { run_time_ns, run_cnt })]);
        assert_eq!(between(&of(100, 1), &of(500, 3)), of(400, 2));
        assert!(between(&of(100, 1), &of(100, 1)).is_empty());
    }

    #[test]
    fn a_program_is_known_by_its_id_line() {
        assert_eq!(program_id("pos:\t0\nprog_type:\t26\nprog_id:\t77\nrun_cnt:\t0\n"), Some(77));
        assert_eq!(program_id("pos:\t0\nmap_id:\t9\n"), None);
    }
}
