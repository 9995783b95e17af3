//! What is slowed down: programs that do a known amount of work and say how long it took.

use crate::bench::{
    parse::work::Account,
    programs::{Programs, missing, on_path},
};

/// A llama.cpp server under load.
pub const LLAMA: &str = "llama.cpp, 4 streams";

/// Whether the workloads run long enough to tell anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Full,
    /// A tenth and less: does the benchmark work?
    Quick,
}

impl Size {
    fn of(self, full: u64, quick: u64) -> String {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
        .to_string()
    }
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Workload {
    pub name: &'static str,
    pub argv: Vec<String>,
    pub account: Account,
    /// The CPU it is bound to.
    pub cpu: Option<usize>,
}

impl Workload {
    fn new(name: &'static str, account: Account, argv: &[&str]) -> Self {
        let mut argv: Vec<_> = argv.iter().map(|&word| word.to_owned()).collect();
        if let Some(program) = argv.first_mut() {
            // bpftrace takes no program that the search path has twice.
            if let Some(path) = on_path(program) {
                *program = path.to_string_lossy().into_owned();
            }
        }
        Self { name, argv, account, cpu: None }
    }

    fn on_cpu(mut self, cpu: usize) -> Self {
        let mut argv = Self::new("", self.account, &["taskset", "-c", &cpu.to_string()]).argv;
        argv.append(&mut self.argv);
        Self { argv, cpu: Some(cpu), ..self }
    }

    /// Why it cannot run here. A program that was found has its whole path.
    pub fn unavailable(&self) -> Option<String> {
        let is_needed = |word: &&String| matches!(word.as_str(), "perf" | "taskset");
        self.argv.iter().find(is_needed).and_then(|program| missing(program))
    }
}

/// `perf bench sched pipe`, bound to the last CPU: the first takes most interrupts.
pub fn pipe(size: Size, cpu: usize) -> Workload {
    let loops = size.of(500_000, 20_000);
    Workload::new("sched pipe", Account::PerfTotal, &["perf", "bench", "sched", "pipe", "-l", &loops])
        .on_cpu(cpu)
}

pub fn messaging(size: Size) -> Workload {
    let loops = size.of(500, 20);
    let argv = ["perf", "bench", "sched", "messaging", "-g", "4", "-l", &loops];
    Workload::new("sched messaging", Account::PerfTotal, &argv)
}

fn futex_hash(size: Size) -> Workload {
    let seconds = size.of(3, 1);
    Workload::new("futex hash", Account::PerfHash, &["perf", "bench", "futex", "hash", "-r", &seconds])
}

fn futex_wake(size: Size) -> Workload {
    let repeat = size.of(100, 5);
    let argv = ["perf", "bench", "-r", &repeat, "futex", "wake", "-t", "128"];
    Workload::new("futex wake", Account::PerfWake, &argv)
}

fn alloc_storm(programs: &Programs, size: Size) -> Workload {
    let mappings = size.of(20_000, 1_000);
    let program = programs.calibration.to_string_lossy();
    Workload::new("alloc storm", Account::Calibration, &[&program, "alloc-heavy", "--ops", &mappings])
}

/// `TCGETS` on a pseudo-terminal.
fn ioctl_storm(programs: &Programs, size: Size) -> Workload {
    let ioctls = size.of(4_000_000, 200_000);
    let program = programs.workload.to_string_lossy();
    let none = ["--maps", "0", "--futexes", "0", "--others", "0"];
    let argv = [&[&*program, "calls", "--ioctls", &*ioctls], &none[..]].concat();
    Workload::new("ioctl storm", Account::Calls, &argv)
}

fn syscall_basic(size: Size) -> Workload {
    let loops = size.of(8_000_000, 500_000);
    Workload::new("syscall basic", Account::PerfTotal, &["perf", "bench", "syscall", "basic", "-l", &loops])
}

/// A fixed load on a server, by `hostprof load`.
pub fn load(programs: &Programs, url: &str, requests: u32) -> Workload {
    let (program, count) = (programs.hostprof.to_string_lossy(), requests.to_string());
    let argv = [&program, "load", "--url", url, "--concurrency", "4", "--requests", &count, "--json"];
    Workload::new(LLAMA, Account::FromOutside(requests), &argv)
}

/// Those that are recorded.
pub fn targets(programs: &Programs, size: Size, cpu: usize) -> Vec<Workload> {
    vec![
        pipe(size, cpu),
        messaging(size),
        futex_hash(size),
        futex_wake(size),
        alloc_storm(programs, size),
        ioctl_storm(programs, size),
    ]
}

/// Those that run beside what is recorded.
pub fn bystanders(size: Size, cpu: usize) -> Vec<Workload> {
    vec![syscall_basic(size), pipe(size, cpu), messaging(size), futex_hash(size)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_workload_is_wrapped_and_keeps_its_account() {
        let pipe = pipe(Size::Quick, 3);
        assert_eq!(pipe.cpu, Some(3));
        assert!(pipe.argv[0].ends_with("taskset"), "{:?}", pipe.argv);
        assert_eq!(pipe.argv[1..3], ["-c", "3"]);
        assert_eq!(pipe.argv[4..], ["bench", "sched", "pipe", "-l", "20000"]);
        assert_eq!(pipe.account, Account::PerfTotal);
    }
}
