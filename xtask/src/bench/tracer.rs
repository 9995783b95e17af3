//! What is compared: hostprof and its peers, each started its own way, around a command or on a process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::bench::{
    parse::peer::{self, Seen},
    programs::{Programs, missing},
    recording::{self, Facts},
};

/// The histogram of run-queue latency that ships with bpftrace, less what it prints on the way.
const RUN_QUEUE: &str = "\
tracepoint:sched:sched_wakeup, tracepoint:sched:sched_wakeup_new { @queued[args->pid] = nsecs; }
tracepoint:sched:sched_switch {
    if (args->prev_state == 0) { @queued[args->prev_pid] = nsecs; }
    $since = @queued[args->next_pid];
    if ($since) { @usecs = hist((nsecs - $since) / 1000); }
    delete(@queued[args->next_pid]);
}
END { clear(@queued); }
";
/// What `perf sched record` asks for, but for the rare ones.
const PERF_SCHED: &[&str] =
    &["sched:sched_switch", "sched:sched_waking", "sched:sched_wakeup", "sched:sched_wakeup_new"];
const PERF_SYSCALLS: &[&str] = &["raw_syscalls:sys_enter", "raw_syscalls:sys_exit"];
/// Where tracepoints have their ids.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"];

/// A way of observing.
#[derive(Clone, Copy, Debug)]
pub struct Tracer {
    pub name: &'static str,
    kind: Kind,
    /// Bound to the CPU that the workload is bound to.
    same_cpu: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The other half of a pair once more: what this machine's noise alone makes of a ratio.
    Untraced,
    Hostprof(&'static [&'static str]),
    Perf(&'static [&'static [&'static str]]),
    Bpftrace,
    Strace,
}

const fn tracer(name: &'static str, kind: Kind) -> Tracer {
    Tracer { name, kind, same_cpu: false }
}

pub const UNTRACED: Tracer = tracer("untraced again", Kind::Untraced);
pub const DEFAULT: Tracer = tracer("record", Kind::Hostprof(&[]));
pub const SCHED: Tracer = tracer("record --probe sched", Kind::Hostprof(&["--probe", "sched"]));
pub const SYSCALL: Tracer = tracer("record --probe syscall", Kind::Hostprof(&["--probe", "syscall"]));
pub const SPANS: Tracer =
    tracer("record, span probes", Kind::Hostprof(&["--probe", "auto,ioctl,memory,futex"]));
const DEFAULT_SAME_CPU: Tracer = Tracer { name: "record, on the same CPU", same_cpu: true, ..DEFAULT };
const SCHED_SAME_CPU: Tracer =
    Tracer { name: "record --probe sched, on the same CPU", same_cpu: true, ..SCHED };

/// All that a target is recorded with.
pub const ALL: [Tracer; 10] = [
    UNTRACED,
    SCHED,
    DEFAULT,
    SCHED_SAME_CPU,
    DEFAULT_SAME_CPU,
    SYSCALL,
    tracer("perf record sched", Kind::Perf(&[PERF_SCHED])),
    tracer("perf record sched, raw_syscalls", Kind::Perf(&[PERF_SCHED, PERF_SYSCALLS])),
    tracer("bpftrace run queue", Kind::Bpftrace),
    tracer("strace -f -c", Kind::Strace),
];
/// All whose cost to others is measured.
pub const BESIDE: [Tracer; 5] = [UNTRACED, SCHED, DEFAULT, SYSCALL, SPANS];

/// What is observed.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// Started by the tracer.
    Command(&'a [String]),
    Pid(u32),
}

/// What a tracer recorded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traced {
    /// Of a recording of hostprof.
    pub facts: Option<Facts>,
    /// What a peer says that it lost. It counts all the same: a peer is taken as it comes.
    pub lost: u64,
}

impl Tracer {
    /// Whether it is for this workload: sharing a CPU takes one that the workload is bound to.
    pub fn suits(&self, cpu: Option<usize>) -> bool {
        !self.same_cpu || cpu.is_some()
    }

    /// Nothing is started beside the workload.
    pub fn is_untraced(&self) -> bool {
        matches!(self.kind, Kind::Untraced)
    }

    /// Why it cannot run here, with the remedy.
    pub fn unavailable(&self) -> Option<String> {
        let program = match self.kind {
            Kind::Untraced | Kind::Hostprof(_) => return None,
            Kind::Strace => return missing("strace"),
            Kind::Perf(_) => "perf",
            Kind::Bpftrace => "bpftrace",
        };
        let no_tracefs = || {
            (!TRACEFS.iter().any(|events| Path::new(events).is_dir()))
                .then(|| "tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing)".to_owned())
        };
        missing(program).or_else(no_tracefs)
    }

    /// The command that observes, its files in `dir`; `cpu` is the workload's.
    pub fn command(
        &self,
        programs: &Programs,
        dir: &Path,
        target: Target<'_>,
        cpu: Option<usize>,
    ) -> Result<Command> {
        let argv = self.argv(programs, dir, target)?;
        let (program, arguments) = argv.split_first().context("start a tracer: it has no command")?;
        let mut command = match cpu.filter(|_| self.same_cpu) {
            Some(cpu) => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(cpu.to_string()).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments);
        Ok(command)
    }

    fn argv(&self, programs: &Programs, dir: &Path, target: Target<'_>) -> Result<Vec<String>> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let file = text(self.file(dir));
        let mut argv: Vec<String> = match self.kind {
            Kind::Untraced => Vec::new(),
            Kind::Hostprof(options) => {
                let start = [text(programs.hostprof.clone()), "record".into(), "-o".into(), file];
                start.into_iter().chain(options.iter().map(|&option| option.to_owned())).collect()
            }
            Kind::Perf(events) => {
                let start = ["perf", "record", "-a", "-c", "1", "-m", "1024", "-o", &file, "-e"];
                let mut argv: Vec<_> = start.map(str::to_owned).into();
                argv.push(events.concat().join(","));
                argv
            }
            Kind::Bpftrace => {
                let script = dir.join("run_queue.bt");
                fs::write(&script, RUN_QUEUE).with_context(|| format!("write {}", script.display()))?;
                vec!["bpftrace".into(), "-o".into(), file, text(script)]
            }
            Kind::Strace => ["strace", "-f", "-c", "-o", &file].map(str::to_owned).into(),
        };
        match (self.kind, target) {
            (Kind::Hostprof(_) | Kind::Perf(_), Target::Command(command)) => {
                argv.push("--".into());
                argv.extend_from_slice(command);
            }
            (Kind::Untraced | Kind::Strace, Target::Command(command)) => argv.extend_from_slice(command),
            (Kind::Bpftrace, Target::Command(command)) => argv.extend(["-c".into(), command.join(" ")]),
            (Kind::Hostprof(_), Target::Pid(pid)) => argv.extend(["--pid".into(), pid.to_string()]),
            (Kind::Strace, Target::Pid(pid)) => argv.extend(["-p".into(), pid.to_string()]),
            // These two see the whole machine.
            (Kind::Untraced | Kind::Perf(_) | Kind::Bpftrace, Target::Pid(_)) => {}
        }
        Ok(argv)
    }

    /// What it writes: for hostprof the folder of runs.
    fn file(&self, dir: &Path) -> PathBuf {
        dir.join(match self.kind {
            Kind::Untraced => "nothing",
            Kind::Hostprof(_) => "runs",
            Kind::Perf(_) => "perf.data",
            Kind::Bpftrace => "bpftrace.txt",
            Kind::Strace => "strace.txt",
        })
    }

    /// Whether one that was started on a process has begun. For perf and bpftrace the sign comes some
    /// hundredths of a second early.
    pub fn has_begun(&self, dir: &Path, stderr: &str) -> bool {
        let file = self.file(dir);
        match self.kind {
            Kind::Untraced => true,
            // Written once the probes are attached.
            Kind::Hostprof(_) => recording::find(&file).is_some(),
            Kind::Perf(_) | Kind::Bpftrace => fs::metadata(&file).is_ok_and(|meta| meta.len() > 0),
            Kind::Strace => stderr.contains(" attached"),
        }
    }

    /// After its end: what it recorded, or why that does not count.
    pub fn judge(&self, programs: &Programs, dir: &Path, stderr: &str) -> Result<Result<Traced, String>> {
        let file = self.file(dir);
        let text = || File::open(&file).and_then(std::io::read_to_string).unwrap_or_default();
        let seen = match self.kind {
            Kind::Untraced => return Ok(Ok(Traced::default())),
            Kind::Hostprof(_) => {
                let Some(run) = recording::find(&file) else { return Ok(Err("no recording".to_owned())) };
                let judged = recording::judge(&programs.hostprof, &run)?;
                return Ok(judged.map(|facts| Traced { facts: Some(facts), lost: 0 }));
            }
            Kind::Perf(_) => peer::perf(stderr),
            Kind::Bpftrace => peer::bpftrace(&text()),
            Kind::Strace => peer::strace(&text()),
        };
        Ok(match seen {
            Some(Seen { events: 1.., lost }) => Ok(Traced { facts: None, lost }),
            Some(_) => Err("it recorded nothing".to_owned()),
            None => Err(format!("it tells no result: {}", last_line(stderr))),
        })
    }
}

/// The last thing that was said.
pub fn last_line(text: &str) -> &str {
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(tracer: &Tracer, target: Target<'_>) -> String {
        let programs = Programs {
            dir: "/p".into(),
            hostprof: "/p/hostprof".into(),
            calibration: "/p/calibration".into(),
            workload: "/p/workload".into(),
        };
        let command = tracer.command(&programs, Path::new("/s"), target, Some(1)).unwrap();
        crate::process::line_of(&command)
    }

    #[test]
    fn each_is_started_its_own_way() {
        let command = ["true".to_owned(), "-x".to_owned()];
        let target = Target::Command(&command);
        assert_eq!(argv(&UNTRACED, target), "true -x");
        assert_eq!(argv(&SCHED, target), "/p/hostprof record -o /s/runs --probe sched -- true -x");
        assert_eq!(argv(&DEFAULT_SAME_CPU, target), "taskset -c 1 /p/hostprof record -o /s/runs -- true -x");
        assert_eq!(argv(&DEFAULT, Target::Pid(7)), "/p/hostprof record -o /s/runs --pid 7");
        let strace = &ALL[9];
        assert_eq!(argv(strace, target), "strace -f -c -o /s/strace.txt true -x");
        assert_eq!(argv(strace, Target::Pid(7)), "strace -f -c -o /s/strace.txt -p 7");
        assert!(
            argv(&ALL[7], target)
                .contains("sched:sched_wakeup_new,raw_syscalls:sys_enter,raw_syscalls:sys_exit -- true -x")
        );
    }

    #[test]
    fn sharing_a_cpu_takes_a_workload_that_has_one() {
        assert!(!DEFAULT_SAME_CPU.suits(None) && DEFAULT_SAME_CPU.suits(Some(1)) && DEFAULT.suits(None));
    }
}
