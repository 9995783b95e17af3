//! How long each eBPF program runs, by the kernel's own account, and the share of the workload's time that all
//! take together: a bound that needs no second run to compare with.
//!
//! A pass of its own, because the kernel's clock readings around each program cost as much as some programs.

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result};

use crate::bench::{
    bpf_stats::{self, Ran, Stats},
    job::Job,
    pair::{Bench, command_of},
    programs::missing,
    results::Results,
    server::Server,
    suite::{Suite, or_left_out},
    tracer::{DEFAULT, SCHED, SPANS, SYSCALL, Target, Tracer},
    workload::{self, LLAMA, Workload},
};

const SUITE: Suite = Suite::Programs;
/// What a workload's shell says when it is done.
const DONE: &str = "the workload is done";
/// Says what the clock reads, runs the workload, says it again, and stays.
const SHELL: &str = "cut -d' ' -f1 /proc/uptime && \"$@\" && cut -d' ' -f1 /proc/uptime && echo 'the workload is done'; exec sleep 3600";
/// Programs that take less than this share of what all take are not told one by one.
const SHARE_TOLD: f64 = 0.01;

pub fn run(bench: &Bench, server: Option<&Server>, results: &mut Results) -> Result<()> {
    if let Some(reason) = missing("bpftool") {
        results.leave_out("programs", &reason);
        return Ok(());
    }
    let Some(_counting) = or_left_out(Stats::enable(), results, "programs")? else { return Ok(()) };
    for workload in workload::targets(&bench.programs, bench.size, Bench::cpu()) {
        if let Some(reason) = workload.unavailable() {
            results.leave_out(workload.name, &reason);
            continue;
        }
        of_workload(bench, &workload, None, results)?;
    }
    if let Some(server) = server
        && let Some(load) = or_left_out(server.load(bench), results, LLAMA)?
    {
        of_workload(bench, &load, Some(server.pid()), results)?;
    }
    Ok(())
}

fn of_workload(bench: &Bench, workload: &Workload, pid: Option<u32>, results: &mut Results) -> Result<()> {
    for tracer in [SCHED, DEFAULT, SYSCALL, SPANS] {
        if !bench.wants(workload.name, tracer.name) {
            continue;
        }
        let (mut passes, mut share) = (Vec::new(), Vec::new());
        for round in 0..bench.pairs {
            let passed = match pid {
                Some(pid) => pass_beside(bench, &tracer, pid, workload),
                None => pass_around(bench, &tracer, workload),
            };
            let what = format!("{}, {}, pass {}", workload.name, tracer.name, round + 1);
            let Some(pass) = or_left_out(passed, results, &what)? else { continue };
            share.push(pass.share_percent());
            let latest = format!("{:.2} % in {} programs", pass.share_percent(), pass.ran.len());
            SUITE.progress(workload.name, tracer.name, round, bench.pairs, &latest);
            passes.push(pass);
        }
        let of = [SUITE.name(), workload.name, tracer.name, "run_time_percent_of_wall"];
        results.add(of, &share, &[], "all programs, of one CPU");
        for (name, values) in ns_per_run(&passes) {
            let quantity = format!("{name}_ns");
            results.add([SUITE.name(), workload.name, tracer.name, &quantity], &values, &[], "");
        }
    }
    Ok(())
}

/// Of each program that matters, pass by pass.
fn ns_per_run(passes: &[Pass]) -> BTreeMap<&str, Vec<f64>> {
    let all_ns: u64 = passes.iter().map(Pass::run_time_ns).sum();
    let mut told: BTreeMap<&str, Vec<&Ran>> = BTreeMap::new();
    for (name, ran) in passes.iter().flat_map(|pass| &pass.ran) {
        told.entry(name).or_default().push(ran);
    }
    told.retain(|_, ran| {
        let ns: u64 = ran.iter().map(|ran| ran.run_time_ns).sum();
        ns as f64 >= all_ns as f64 * SHARE_TOLD
    });
    let each = |ran: Vec<&Ran>| ran.iter().map(|ran| ran.run_time_ns as f64 / ran.run_cnt as f64).collect();
    told.into_iter().map(|(name, ran)| (name, each(ran))).collect()
}

/// What one pass has told.
struct Pass {
    ran: BTreeMap<String, Ran>,
    wall_s: f64,
}

impl Pass {
    fn run_time_ns(&self) -> u64 {
        self.ran.values().map(|ran| ran.run_time_ns).sum()
    }

    fn share_percent(&self) -> f64 {
        self.run_time_ns() as f64 / 1e9 / self.wall_s * 100.0
    }
}

/// The workload's shell stays when the workload is done, so that the programs are still there to be asked.
fn pass_around(bench: &Bench, tracer: &Tracer, workload: &Workload) -> Result<Pass> {
    let dir = bench.empty_scratch()?;
    let mut argv: Vec<_> = ["sh", "-c", SHELL, "sh"].map(str::to_owned).into();
    argv.extend_from_slice(&workload.argv);
    let mut command = tracer.command(&bench.programs, dir, Target::Command(&argv), workload.cpu)?;
    let mut job = Job::start(&mut command, dir, "tracer")?;
    let said =
        job.until("its workload was done", |job| Some(job.stdout()).filter(|said| said.contains(DONE)))?;
    let ran = bpf_stats::of_process(job.pid())?;
    let wall_s = between_clocks(&said).context("read how long the workload took: its shell did not say")?;
    Ok(Pass { ran, wall_s })
}

/// The time between the two lines that are nothing but a clock's reading.
fn between_clocks(said: &str) -> Option<f64> {
    let mut clocks = said.lines().filter_map(|line| line.parse::<f64>().ok());
    let (started, ended) = (clocks.next()?, clocks.next()?);
    Some(ended - started).filter(|seconds| *seconds > 0.0)
}

fn pass_beside(bench: &Bench, tracer: &Tracer, pid: u32, workload: &Workload) -> Result<Pass> {
    let dir = bench.empty_scratch()?;
    let mut command = tracer.command(&bench.programs, dir, Target::Pid(pid), workload.cpu)?;
    let mut observer = Job::start(&mut command, dir, "tracer")?;
    observer.until("it observed", |job| tracer.has_begun(dir, &job.stderr()).then_some(()))?;
    let before = bpf_stats::of_process(observer.pid())?;
    let started = Instant::now();
    let mut job = Job::start(&mut command_of(workload)?, dir, "workload")?;
    job.finish()?;
    let outside_s = started.elapsed().as_secs_f64();
    let after = bpf_stats::of_process(observer.pid())?;
    observer.interrupt();
    observer.wait()?;
    let ran = bpf_stats::between(&before, &after);
    Ok(Pass { ran, wall_s: outside_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(ran: &[(&str, u64, u64)]) -> Pass {
        let ran =
            ran.iter().map(|&(name, run_time_ns, run_cnt)| (name.to_owned(), Ran { run_time_ns, run_cnt }));
        Pass { ran: ran.collect(), wall_s: 2.0 }
    }

    #[test]
    fn only_programs_that_matter_are_told() {
        let passes = [
            pass(&[("adopt", 5, 1), ("switch", 10_000_000, 20_000)]),
            pass(&[("switch", 10_000_000, 40_000)]),
        ];
        let told = ns_per_run(&passes);
        assert_eq!(told.into_iter().collect::<Vec<_>>(), [("switch", vec![500.0, 250.0])]);
        assert!((passes[1].share_percent() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn the_shell_tells_how_long_the_workload_took() {
        assert_eq!(between_clocks("100.25\n{\"ready\":true}\n102.75\nthe workload is done\n"), Some(2.5));
        assert_eq!(between_clocks("100.25\n"), None);
    }

    #[test]
    fn the_shell_says_what_is_waited_for() {
        assert!(SHELL.contains(DONE));
    }
}
