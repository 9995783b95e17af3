//! What the recorder itself uses: CPU time and disk for its records, memory; and how soon it begins and ends.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use calibration::sys::clock::mono_ns;

use crate::bench::{
    job::Job,
    pair::Bench,
    parse::work::ready_ns,
    recording::Facts,
    results::Results,
    server::Server,
    stats::Summary,
    suite::{Suite, or_left_out},
    tracer::{DEFAULT, SCHED, SYSCALL, Target, Tracer},
    workload::{self, LLAMA, Workload},
};

const SUITE: Suite = Suite::Collector;
const START: &str = "start and end";
/// How long a recording goes on once it has begun.
const SOME_RECORDS: Duration = Duration::from_millis(200);

pub fn run(bench: &Bench, server: Option<&Server>, results: &mut Results) -> Result<()> {
    let workloads = [workload::pipe(bench.size, Bench::cpu()), workload::messaging(bench.size)];
    for tracer in [SCHED, DEFAULT, SYSCALL] {
        let wanted: Vec<_> =
            workloads.iter().filter(|workload| bench.wants(workload.name, tracer.name)).collect();
        let server = server.filter(|_| bench.wants(LLAMA, tracer.name));
        if wanted.is_empty() && server.is_none() && !bench.wants(START, tracer.name) {
            continue;
        }
        let fixed_cpu_s = start_and_end(bench, &tracer, results)?;
        for workload in wanted {
            match workload.unavailable() {
                Some(reason) => results.leave_out(workload.name, &reason),
                None => usage(bench, &tracer, workload, None, fixed_cpu_s, results)?,
            }
        }
        if let Some(server) = server
            && let Some(load) = or_left_out(server.load(bench), results, LLAMA)?
        {
            usage(bench, &tracer, &load, Some(server.pid()), fixed_cpu_s, results)?;
        }
    }
    Ok(())
}

/// Of recordings that count: per record, and in all. The recorder starts the workload, or observes the process
/// that works for it.
fn usage(
    bench: &Bench,
    tracer: &Tracer,
    workload: &Workload,
    pid: Option<u32>,
    fixed_cpu_s: f64,
    results: &mut Results,
) -> Result<()> {
    let (mut facts, mut rejected): (Vec<Facts>, _) = (Vec::new(), Vec::new());
    for round in 0..bench.pairs {
        let what = format!("{}, {}, recording {}", workload.name, tracer.name, round + 1);
        let measured = match pid {
            Some(pid) => bench.beside(tracer, pid, workload),
            None => bench.around(tracer, workload),
        };
        let Some(measured) = or_left_out(measured, results, &what)? else { continue };
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
        SUITE.progress(workload.name, tracer.name, round, bench.pairs, &latest);
    }
    let per_record = |total: &dyn Fn(&Facts) -> f64| -> Vec<f64> {
        facts
            .iter()
            .filter(|facts| facts.records > 0)
            .map(|facts| total(facts) / facts.records as f64)
            .collect()
    };
    let of = |quantity| [SUITE.name(), workload.name, tracer.name, quantity];
    let cpu = per_record(&|facts| (facts.own_cpu_s - fixed_cpu_s) * 1e6);
    results.add(of("cpu_s_per_million_records"), &cpu, &rejected, "less own_cpu_s of next to nothing");
    let bytes = per_record(&|facts| facts.file_bytes as f64);
    results.add(of("bytes_per_record"), &bytes, &[], "all part files");
    let peak: Vec<_> = facts.iter().map(|facts| facts.peak_bytes as f64 / f64::from(1 << 20)).collect();
    results.add(of("peak_mib"), &peak, &[], "rings included, each twice");
    Ok(())
}

/// From the recorder's start to the first instruction of a command, which it holds back until it is attached; to
/// the first record it has of a process that switches all the time; and from Ctrl-C to its end. Yields the CPU time of a recording of next to
/// nothing: what each recording costs before its first record.
fn start_and_end(bench: &Bench, tracer: &Tracer, results: &mut Results) -> Result<f64> {
    let (mut starts_ms, mut own_cpu_s) = (Vec::new(), Vec::new());
    let (mut firsts_ms, mut ends_ms) = (Vec::new(), Vec::new());
    for round in 0..bench.pairs {
        let what = format!("{START}, {}, recording {}", tracer.name, round + 1);
        if let Some((ms, facts)) = or_left_out(of_next_to_nothing(bench, tracer), results, &what)? {
            starts_ms.push(ms);
            own_cpu_s.push(facts.own_cpu_s);
        }
        if let Some((first_ms, end_ms)) = or_left_out(of_a_process(bench, tracer), results, &what)? {
            firsts_ms.push(first_ms);
            ends_ms.push(end_ms);
        }
        let ms = |values: &[f64]| values.last().map_or_else(|| "?".to_owned(), |ms| format!("{ms:.0} ms"));
        let latest = format!("{} to first record, {} to end", ms(&firsts_ms), ms(&ends_ms));
        SUITE.progress(START, tracer.name, round, bench.pairs, &latest);
    }
    let of = |quantity| [SUITE.name(), START, tracer.name, quantity];
    results.add(of("first_record_ms"), &firsts_ms, &[], "exec to the first record drained");
    results.add(of("command_ms"), &starts_ms, &[], "exec to exec");
    results.add(of("own_cpu_s"), &own_cpu_s, &[], "a recording of next to nothing");
    results.add(of("detach_ms"), &ends_ms, &[], "Ctrl-C to exit, files written");
    Ok(Summary::of(&own_cpu_s).map_or(0.0, |summary| summary.median))
}

/// How long until the workload began, and what the recorder tells of itself.
fn of_next_to_nothing(bench: &Bench, tracer: &Tracer) -> Result<(f64, Facts)> {
    let dir = bench.empty_scratch()?;
    let program = bench.programs.workload.to_string_lossy().into_owned();
    let argv = [&program, "pipe-ping", "--count", "10"].map(str::to_owned);
    let mut command = tracer.command(&bench.programs, dir, Target::Command(&argv), None)?;
    let started_ns = mono_ns();
    let mut job = Job::start(&mut command, dir, "tracer")?;
    job.finish()?;
    let ready_ns = ready_ns(&job.stdout()).context("read when the workload began: it did not say")?;
    let traced = tracer.judge(&bench.programs, dir, &job.stderr())?.map_err(anyhow::Error::msg)?;
    let facts = traced.facts.context("read the recording: it tells nothing of its recorder")?;
    Ok((ready_ns.saturating_sub(started_ns) as f64 / 1e6, facts))
}

/// Of a process that switches all the time: how long until its first record was read, and from Ctrl-C to the end.
fn of_a_process(bench: &Bench, tracer: &Tracer) -> Result<(f64, f64)> {
    let dir = bench.empty_scratch()?;
    let mut command = Command::new(&bench.programs.workload);
    command.args(["pipe-ping", "--count", "1000000000"]);
    let mut recorded = Job::start(&mut command, dir, "recorded")?;
    recorded.until("it began", |job| ready_ns(&job.stdout()))?;
    let mut command: Command = tracer.command(&bench.programs, dir, Target::Pid(recorded.pid()), None)?;
    let started_ns = mono_ns();
    let mut job = Job::start(&mut command, dir, "tracer")?;
    job.until("it recorded", |job| tracer.has_begun(dir, &job.stderr()).then_some(()))?;
    std::thread::sleep(SOME_RECORDS);
    let asked = Instant::now();
    job.interrupt();
    job.finish()?;
    let end_ms = asked.elapsed().as_secs_f64() * 1e3;
    let traced = tracer.judge(&bench.programs, dir, &job.stderr())?.map_err(anyhow::Error::msg)?;
    let first_ns =
        traced.facts.and_then(|facts| facts.first_record_ns).context("read when it had a record")?;
    Ok((first_ns.saturating_sub(started_ns) as f64 / 1e6, end_ms))
}
