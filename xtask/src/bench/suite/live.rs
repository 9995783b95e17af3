//! What a live view uses beyond the recording it looks at, with many threads and with busy ones; and whether a view
//! whose terminal is stopped costs a record.
//!
//! Both halves of a pair record the same process for the same time; one of them shows a view ten times a second, on a
//! pseudo-terminal that `script` makes. What each used is what it says of itself in `config.json`.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};

use crate::bench::{
    job::Job,
    pair::Bench,
    parse::work::ready_ns,
    programs::on_path,
    recording::{self, Facts},
    results::{Better, Results},
    suite::{Suite, or_left_out},
    workload::Size,
};

const SUITE: Suite = Suite::Live;
const TRACER: &str = "live at 10 Hz";

/// A process to look at.
struct Watched {
    name: &'static str,
    arguments: &'static [&'static str],
}

const WATCHED: [Watched; 2] = [
    // 10 000 switches a second.
    Watched {
        name: "500 threads",
        arguments: &["sleeps", "--count", "1000000000", "--us", "50000", "--more", "499"],
    },
    // 200 000 records a second.
    Watched {
        name: "200 busy threads",
        arguments: &["sleeps", "--count", "1000000000", "--us", "800", "--more", "199"],
    },
];

/// How hostprof looks on.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// Not at all.
    Record,
    /// On a terminal that is read.
    View,
    /// On a terminal that nobody reads.
    Stopped,
}

pub fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let Some(script) = on_path("script") else {
        results.leave_out("live", "script is not installed (apt install bsdutils)");
        return Ok(());
    };
    for watched in WATCHED.iter().filter(|watched| bench.wants(watched.name, TRACER)) {
        of_process(bench, &script, watched, results)?;
    }
    Ok(())
}

fn of_process(bench: &Bench, script: &Path, watched: &Watched, results: &mut Results) -> Result<()> {
    let seconds = if bench.size == Size::Full { 10 } else { 3 };
    let (mut added, mut rates, mut stopped_rates) = (Vec::new(), Vec::new(), Vec::new());
    let mut rejected = Vec::new();
    for round in 0..bench.pairs {
        let mut halves = [How::Record, How::View];
        if round % 2 == 1 {
            halves.reverse();
        }
        let mut measured = Vec::new();
        for how in halves.into_iter().chain([How::Stopped]) {
            let what = format!("{}, {}, round {}", watched.name, name(how), round + 1);
            match or_left_out(record(bench, script, watched, how, seconds), results, &what)? {
                Some(Ok(facts)) => measured.push((how, facts)),
                Some(Err(reason)) => rejected.push(format!("{what}: {reason}")),
                None => {}
            }
        }
        let of = |wanted| measured.iter().find(|(how, _)| *how == wanted).map(|(_, facts)| facts);
        if let (Some(alone), Some(viewed)) = (of(How::Record), of(How::View)) {
            // The two halves may have had other amounts of work.
            let per_record = alone.own_cpu_s / alone.records.max(1) as f64;
            let used = viewed.own_cpu_s - per_record * viewed.records as f64;
            added.push(used / f64::from(seconds) * 100.0);
        }
        let rate = |facts: &Facts| facts.records as f64 / f64::from(seconds);
        rates.extend(of(How::View).map(rate));
        stopped_rates.extend(of(How::Stopped).map(rate));
        let latest =
            added.last().map_or_else(|| "rejected".to_owned(), |added| format!("{added:.2} % of a core"));
        SUITE.progress(watched.name, TRACER, round, bench.pairs, &latest);
    }
    let of = |quantity| [SUITE.name(), watched.name, TRACER, quantity];
    results.add(
        of("added_percent_of_core"),
        &added,
        &rejected,
        "beyond the same recording alone, for as many records",
    );
    results.add_line(of("records_per_s_without_loss"), Better::Higher, &rates, &[], "as many as there were");
    let stopped = "the terminal is not read";
    results.add_line(of("records_per_s_stopped"), Better::Higher, &stopped_rates, &[], stopped);
    Ok(())
}

/// Records a process of its own for so long; what hostprof used, or why it does not count.
fn record(
    bench: &Bench,
    script: &Path,
    watched: &Watched,
    how: How,
    seconds: u32,
) -> Result<Result<Facts, String>> {
    let dir = bench.empty_scratch()?;
    let mut command = Command::new(&bench.programs.workload);
    let mut target = Job::start(command.args(watched.arguments), dir, "watched")?;
    target.until("it began", |job| ready_ns(&job.stdout()))?;
    let out = dir.join("runs");
    let line = format!(
        "{} {} --pid {} --duration {seconds}s -o {}",
        bench.programs.hostprof.display(),
        if how == How::Record { "record" } else { "live --record --refresh 100ms" },
        target.pid(),
        out.display(),
    );
    // A terminal of 120 by 40; what `script` cannot write to a pipe that nobody reads stays in the terminal.
    let line = match how {
        How::Record => format!("exec {line}"),
        How::View => format!("exec {} -qec 'stty rows 40 cols 120; exec {line}' /dev/null", script.display()),
        How::Stopped => {
            format!("{} -qec 'stty rows 40 cols 120; exec {line}' /dev/null | sleep 1000", script.display())
        }
    };
    let mut command = Command::new("sh");
    command.args(["-c", &line]).env("TERM", "xterm-256color");
    let mut recorder = Job::start(&mut command, dir, "recorder")?;
    // A view goes on when its recording has ended.
    let run = recorder.until("it had recorded", |_| {
        let run = recording::find(&out)?;
        let config = std::fs::read_to_string(run.join("config.json")).ok()?;
        let config: serde_json::Value = serde_json::from_str(&config).ok()?;
        (!config["ended"].is_null() && !config["totals"].is_null()).then_some(run)
    })?;
    drop(recorder);
    drop(target);
    recording::judge(&bench.programs.hostprof, &run).context("judge the recording")
}

fn name(how: How) -> &'static str {
    match how {
        How::Record => "recorded",
        How::View => "viewed",
        How::Stopped => "viewed on a stopped terminal",
    }
}
