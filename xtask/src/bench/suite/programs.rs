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
    parse::work::Account,
    programs::missing,
    results::Results,
    server::Server,
    suite::{Suite, or_left_out, slowdown::progress},
    tracer::{DEFAULT, SCHED, SPANS, SYSCALL, Target, Tracer},
    workload::{self, LLAMA, Workload},
};

const SUITE: Suite = Suite::Programs;
/// What a workload's shell says when it is done.
const DONE: &str = "the workload is done";

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
        let mut ns_per_run: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut share = Vec::new();
        for round in 0..bench.pairs {
            let passed = match pid {
                Some(pid) => pass_beside(bench, &tracer, pid, workload),
                None => pass_around(bench, &tracer, workload),
            };
            let what = format!("{}, {}, pass {}", workload.name, tracer.name, round + 1);
            let Some(pass) = or_left_out(passed, results, &what)? else { continue };
            for (name, ran) in &pass.ran {
                ns_per_run.entry(name.clone()).or_default().push(ran.run_time_ns as f64 / ran.run_cnt as f64);
            }
            share.push(pass.share_percent());
            let latest = format!("{:.2} % in {} programs", pass.share_percent(), pass.ran.len());
            progress(SUITE, workload.name, tracer.name, round, bench.pairs, &latest);
        }
        let of = |quantity| [SUITE.name(), workload.name, tracer.name, quantity];
        results.add(of("run_time_percent_of_wall"), &share, &[], "all programs, of one CPU");
        for (name, values) in &ns_per_run {
            let quantity = format!("{name}_ns");
            results.add([SUITE.name(), workload.name, tracer.name, &quantity], values, &[], "");
        }
    }
    Ok(())
}

/// What one pass has told.
struct Pass {
    ran: BTreeMap<String, Ran>,
    wall_s: f64,
}

impl Pass {
    fn share_percent(&self) -> f64 {
        let ns: u64 = self.ran.values().map(|ran| ran.run_time_ns).sum();
        ns as f64 / 1e9 / self.wall_s * 100.0
    }
}

/// The workload's shell stays when the workload is done, so that the programs are still there to be asked.
fn pass_around(bench: &Bench, tracer: &Tracer, workload: &Workload) -> Result<Pass> {
    let dir = bench.empty_scratch()?;
    let script = format!("\"$@\" && echo '{DONE}'; exec sleep 3600");
    let mut argv: Vec<_> = ["sh", "-c", &script, "sh"].map(str::to_owned).into();
    argv.extend_from_slice(&workload.argv);
    let mut command = tracer.command(&bench.programs, dir, Target::Command(&argv), workload.cpu)?;
    let mut job = Job::start(&mut command, dir, "tracer")?;
    job.until("its workload was done", |job| job.stdout().contains(DONE).then_some(()))?;
    let ran = bpf_stats::of_process(job.pid())?;
    let wall_s = workload.account.read(&job.stdout(), 0.0)?.seconds;
    Ok(Pass { ran, wall_s })
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
    let wall_s = match workload.account {
        Account::FromOutside(_) => outside_s,
        account => account.read(&job.stdout(), outside_s).context("read the workload")?.seconds,
    };
    Ok(Pass { ran, wall_s })
}
