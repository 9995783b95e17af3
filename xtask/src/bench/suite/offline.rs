//! How `report` and `check` grow with the recording: time, memory, and time for the same number of records.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::bench::{
    job::Job,
    pair::Bench,
    recording::{self, Facts},
    results::Results,
    stats::Summary,
    suite::{Suite, or_left_out},
    tracer::{DEFAULT, Target},
    workload::{self, Size},
};

const SUITE: Suite = Suite::Offline;
const RECORDS: [u64; 3] = [100_000, 1_000_000, 10_000_000];
const QUICK_RECORDS: [u64; 2] = [10_000, 100_000];
const COMMANDS: [&str; 2] = ["report", "check"];

pub fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let records = match (&bench.records[..], bench.size) {
        ([], Size::Full) => &RECORDS[..],
        ([], Size::Quick) => &QUICK_RECORDS[..],
        (records, _) => records,
    };
    let mut smaller: [Option<(f64, Facts)>; 2] = [None; 2];
    for &records in records {
        let what = format!("a recording of {records} records");
        let Some((run, facts)) = or_left_out(record(bench, records), results, &what)? else { break };
        for (command, smaller) in COMMANDS.into_iter().zip(&mut smaller) {
            if !bench.wants("records", command) {
                continue;
            }
            let Some(took) = of_recording(bench, command, &run, facts, results)? else { continue };
            if let Some((smaller_took, smaller)) = *smaller {
                let growth = (took / smaller_took) / (facts.records as f64 / smaller.records as f64);
                let name = format!("{} to {} records", rounded(smaller.records), rounded(facts.records));
                let of = [SUITE.name(), &name, command, "time_ratio_to_linear"];
                results.add(of, &[growth], &[], "1: twice the records, twice the time");
            }
            *smaller = Some((took, facts));
        }
    }
    Ok(())
}

/// A recording of about so many records.
fn record(bench: &Bench, records: u64) -> Result<(PathBuf, Facts)> {
    let dir = bench.empty_scratch()?;
    eprintln!("{}: recording {records} records", SUITE.name());
    let mut pipe = workload::pipe(bench.size, Bench::cpu());
    if let Some(last) = pipe.argv.last_mut() {
        // Each round trip is a switch there and one back.
        *last = records.div_ceil(2).to_string();
    }
    let mut command = DEFAULT.command(&bench.programs, dir, Target::Command(&pipe.argv), pipe.cpu)?;
    Job::start(&mut command, dir, "recorder")?.finish()?;
    let run = recording::find(&dir.join("runs")).context("find the recording: there is none")?;
    let facts = recording::judge(&bench.programs.hostprof, &run)?.map_err(anyhow::Error::msg)?;
    Ok((run, facts))
}

/// Adds the lines of one command on one recording; yields the median time.
fn of_recording(
    bench: &Bench,
    command: &str,
    run: &Path,
    facts: Facts,
    results: &mut Results,
) -> Result<Option<f64>> {
    let name = format!("{} records", rounded(facts.records));
    let (mut times, mut peaks) = (Vec::new(), Vec::new());
    for round in 0..bench.pairs {
        let measured = once(bench, command, run);
        let Some((took_s, peak_bytes)) = or_left_out(measured, results, &format!("{command} of {name}"))?
        else {
            return Ok(None);
        };
        times.push(took_s);
        peaks.push(peak_bytes as f64 / f64::from(1 << 20));
        SUITE.progress(&name, command, round, bench.pairs, &format!("{took_s:.2} s"));
    }
    results.add([SUITE.name(), &name, command, "time_s"], &times, &[], "");
    results.add([SUITE.name(), &name, command, "peak_mib"], &peaks, &[], "seen every 5 ms");
    Ok(Summary::of(&times).map(|summary| summary.median))
}

fn once(bench: &Bench, subcommand: &str, run: &Path) -> Result<(f64, u64)> {
    let mut command = Command::new(&bench.programs.hostprof);
    command.arg(subcommand).arg(run);
    let started = Instant::now();
    let mut job = Job::start(&mut command, &bench.scratch, subcommand)?;
    job.finish()?;
    Ok((started.elapsed().as_secs_f64(), job.peak_bytes()))
}

/// To one digit, so that runs have lines of the same name: the count differs by a few.
fn rounded(records: u64) -> String {
    let power = 10_u64.pow(records.checked_ilog10().unwrap_or_default());
    let records = (records + power / 2) / power * power;
    match records {
        1_000_000.. => format!("{} M", records / 1_000_000),
        1_000.. => format!("{} k", records / 1_000),
        _ => records.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_of_about_a_size_have_one_name() {
        assert_eq!(rounded(100_071), "100 k");
        assert_eq!(rounded(98_000), "100 k");
        assert_eq!(rounded(10_000_123), "10 M");
        assert_eq!(rounded(7), "7");
    }
}
