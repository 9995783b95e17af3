//! What programs pay that are not recorded, while hostprof records another process.

use std::process::Command;

use anyhow::Result;

use crate::bench::{
    job::Job,
    pair::{Bench, Pairs},
    parse::work::ready_ns,
    programs::Programs,
    results::Results,
    server::Server,
    suite::{Suite, or_left_out},
    tracer,
    workload::{self, LLAMA, Workload},
};

const SUITE: Suite = Suite::Bystander;

pub fn run(bench: &Bench, server: Option<&Server>, results: &mut Results) -> Result<()> {
    let files = bench.scratch.with_extension("recorded");
    std::fs::create_dir_all(&files)?;
    let recorded = recorded(&bench.programs, &files)?;
    for workload in workload::bystanders(bench.size, Bench::cpu()) {
        if let Some(reason) = workload.unavailable() {
            results.leave_out(workload.name, &reason);
            continue;
        }
        of_workload(bench, &workload, recorded.pid(), results)?;
    }
    if let Some(server) = server
        && let Some(load) = or_left_out(server.load(bench), results, LLAMA)?
    {
        of_workload(bench, &load, recorded.pid(), results)?;
    }
    Ok(())
}

/// A process to record that hardly works: a thread that sleeps for 10 ms, again and again. It runs during both
/// halves of each pair.
fn recorded(programs: &Programs, files: &std::path::Path) -> Result<Job> {
    let mut command = Command::new(&programs.workload);
    command.args(["sleeps", "--count", "1000000000", "--us", "10000"]);
    let mut job = Job::start(&mut command, files, "recorded")?;
    job.until("it slept", |job| ready_ns(&job.stdout()))?;
    Ok(job)
}

fn of_workload(bench: &Bench, workload: &Workload, pid: u32, results: &mut Results) -> Result<()> {
    let mut tracers: Vec<_> = tracer::BESIDE
        .into_iter()
        .filter(|tracer| bench.wants(workload.name, tracer.name))
        .map(|tracer| (tracer, Pairs::default()))
        .collect();
    for round in 0..bench.pairs {
        for (tracer, pairs) in &mut tracers {
            let measured = pairs.measure(round, tracer, |tracer| bench.beside(tracer, pid, workload));
            let what = format!("{} beside {}, pair {}", workload.name, tracer.name, round + 1);
            if or_left_out(measured, results, &what)?.is_some() {
                SUITE.progress(workload.name, tracer.name, round, bench.pairs, &pairs.latest());
            }
        }
    }
    for (tracer, pairs) in &tracers {
        SUITE.add(results, workload, tracer, pairs);
        let of = [SUITE.name(), workload.name, tracer.name, "added_ns_per_unit"];
        results.add(of, &pairs.added_ns, &[], "");
    }
    Ok(())
}
