//! What the recorder itself uses: CPU time and disk for its records, memory; and how soon it begins and ends.

use std::{process::Command, time::Instant};

use anyhow::{Context, Result};
use calibration::sys::clock::mono_ns;

use crate::bench::{
    job::Job,
    pair::Bench,
    parse::work::ready_ns,
    recording::Facts,
    results::Results,
    suite::{Suite, bystander, or_left_out, slowdown::progress},
    tracer::{DEFAULT, SCHED, SYSCALL, Target, Tracer},
    workload::{self, Workload},
};

const SUITE: Suite = Suite::Collector;

pub fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    for workload in [workload::pipe(bench.size, Bench::cpu()), workload::messaging(bench.size)] {
        if let Some(reason) = workload.unavailable() {
            results.leave_out(workload.name, &reason);
            continue;
        }
        for tracer in [SCHED, DEFAULT, SYSCALL] {
            if bench.wants(workload.name, tracer.name) {
                usage(bench, &tracer, &workload, results)?;
            }
        }
    }
    for tracer in [SCHED, DEFAULT, SYSCALL] {
        if bench.wants("start and end", tracer.name) {
            start_and_end(bench, &tracer, results)?;
        }
    }
    Ok(())
}

/// Of recordings that count: per record, and in all.
fn usage(bench: &Bench, tracer: &Tracer, workload: &Workload, results: &mut Results) -> Result<()> {
    let (mut facts, mut rejected): (Vec<Facts>, _) = (Vec::new(), Vec::new());
    for round in 0..bench.pairs {
        let what = format!("{}, {}, recording {}", workload.name, tracer.name, round + 1);
        let Some(measured) = or_left_out(bench.around(tracer, workload), results, &what)? else { continue };
        let latest = match measured {
            Ok(sample) => {
                facts.extend(sample.facts);
                sample.facts.map(|facts| format!("{} records", facts.records)).unwrap_or_default()
            }
            Err(reason) => {
                rejected.push(format!("recording {}: {reason}", round + 1));
                reason
            }
        };
        progress(SUITE, workload.name, tracer.name, round, bench.pairs, &latest);
    }
    let per_record = |total: &dyn Fn(&Facts) -> f64| -> Vec<f64> {
        facts
            .iter()
            .filter(|facts| facts.records > 0)
            .map(|facts| total(facts) / facts.records as f64)
            .collect()
    };
    let of = |quantity| [SUITE.name(), workload.name, tracer.name, quantity];
    let cpu = per_record(&|facts| facts.own_cpu_s * 1e6);
    results.add(of("cpu_s_per_million_records"), &cpu, &rejected, "start and end included");
    let bytes = per_record(&|facts| facts.file_bytes as f64);
    results.add(of("bytes_per_record"), &bytes, &[], "all part files");
    let peak: Vec<_> = facts.iter().map(|facts| facts.peak_bytes as f64 / f64::from(1 << 20)).collect();
    results.add(of("peak_mib"), &peak, &[], "rings included where touched");
    Ok(())
}

/// From the recorder's start to the first instruction of what it records, which it holds back until it is
/// attached; and from Ctrl-C to its end, attached to a process.
fn start_and_end(bench: &Bench, tracer: &Tracer, results: &mut Results) -> Result<()> {
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    for round in 0..bench.pairs {
        let what = format!("start and end, {}, recording {}", tracer.name, round + 1);
        if let Some(ms) = or_left_out(first_record_ms(bench, tracer), results, &what)? {
            starts.push(ms);
        }
        if let Some(ms) = or_left_out(detach_ms(bench, tracer), results, &what)? {
            ends.push(ms);
        }
        let ms = |values: &[f64]| values.last().map_or_else(|| "?".to_owned(), |ms| format!("{ms:.0} ms"));
        let latest = format!("{} to start, {} to end", ms(&starts), ms(&ends));
        progress(SUITE, "start and end", tracer.name, round, bench.pairs, &latest);
    }
    results.add([SUITE.name(), "start", tracer.name, "first_record_ms"], &starts, &[], "");
    results.add([SUITE.name(), "end", tracer.name, "detach_ms"], &ends, &[], "Ctrl-C to exit, files written");
    Ok(())
}

fn first_record_ms(bench: &Bench, tracer: &Tracer) -> Result<f64> {
    let dir = bench.empty_scratch()?;
    let program = bench.programs.workload.to_string_lossy().into_owned();
    let argv = [&program, "pipe-ping", "--count", "10"].map(str::to_owned);
    let mut command = tracer.command(&bench.programs, dir, Target::Command(&argv), None)?;
    let started_ns = mono_ns();
    let mut job = Job::start(&mut command, dir, "tracer")?;
    job.finish()?;
    let ready_ns = ready_ns(&job.stdout()).context("read when the workload began: it did not say")?;
    Ok(ready_ns.saturating_sub(started_ns) as f64 / 1e6)
}

fn detach_ms(bench: &Bench, tracer: &Tracer) -> Result<f64> {
    let dir = bench.empty_scratch()?;
    let recorded = bystander::recorded(&bench.programs, dir)?;
    let mut command: Command = tracer.command(&bench.programs, dir, Target::Pid(recorded.pid()), None)?;
    let mut job = Job::start(&mut command, dir, "tracer")?;
    job.until("it recorded", |job| tracer.has_begun(dir, &job.stderr()).then_some(()))?;
    let asked = Instant::now();
    job.interrupt();
    job.finish()?;
    Ok(asked.elapsed().as_secs_f64() * 1e3)
}
