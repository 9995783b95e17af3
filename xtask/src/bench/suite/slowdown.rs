//! How much slower a workload is that is recorded, by hostprof and by its peers.

use anyhow::Result;

use crate::bench::{
    pair::{Bench, Pairs},
    results::Results,
    server::Server,
    suite::{Suite, or_left_out},
    tracer::{self, Tracer},
    workload::{self, LLAMA, Workload},
};

const SUITE: Suite = Suite::Slowdown;

pub fn run(bench: &Bench, server: Option<&Server>, results: &mut Results) -> Result<()> {
    for workload in workload::targets(&bench.programs, bench.size, Bench::cpu()) {
        of_workload(bench, &workload, None, results)?;
    }
    let Some(server) = server else {
        results.leave_out(LLAMA, "no server (name one with --llama, or --llama-url and --llama-pid)");
        return Ok(());
    };
    if let Some(load) = or_left_out(server.load(bench), results, LLAMA)? {
        of_workload(bench, &load, Some(server.pid()), results)?;
    }
    Ok(())
}

/// Every tracer once a round, so that what drifts on the machine drifts for all. A tracer starts the workload,
/// or observes the process that works for it.
fn of_workload(bench: &Bench, workload: &Workload, pid: Option<u32>, results: &mut Results) -> Result<()> {
    if let Some(reason) = workload.unavailable() {
        results.leave_out(workload.name, &reason);
        return Ok(());
    }
    let mut tracers: Vec<(Tracer, Pairs)> = Vec::new();
    for tracer in tracer::ALL {
        if !tracer.suits(workload.cpu) || !bench.wants(workload.name, tracer.name) {
            continue;
        }
        match tracer.unavailable() {
            Some(reason) => results.leave_out(tracer.name, &reason),
            None => tracers.push((tracer, Pairs::default())),
        }
    }
    for round in 0..bench.pairs {
        for (tracer, pairs) in &mut tracers {
            let measured = pairs.measure(round, tracer, |tracer| match pid {
                Some(pid) => bench.beside(tracer, pid, workload),
                None => bench.around(tracer, workload),
            });
            let what = format!("{}, {}, pair {}", workload.name, tracer.name, round + 1);
            if or_left_out(measured, results, &what)?.is_some() {
                SUITE.progress(workload.name, tracer.name, round, bench.pairs, &pairs.latest());
            }
        }
    }
    for (tracer, pairs) in &tracers {
        SUITE.add(results, workload, tracer, pairs);
    }
    Ok(())
}
