//! `hostprof list`: the recordings in a folder.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use chrono::{DateTime, Local, SecondsFormat};
use serde::Serialize;

use crate::{
    recording::{Config, Recording, RecordingError},
    table::{OffCpuRow, ThreadRow},
};

/// Lists recordings: when, how long, of what, how big, how they ended.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    /// Folder the runs are in.
    #[arg(
        short = 'o',
        long,
        env = "HOSTPROF_OUT",
        hide_env_values = true,
        value_name = "DIR",
        default_value = "runs"
    )]
    pub out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let runs: Vec<Run> = Recording::list(&args.out)?.into_iter().map(Run::read).collect();
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &runs).context("print runs")?;
        writeln!(out)
    } else if runs.is_empty() {
        writeln!(io::stderr(), "no runs in {} (make one with `hostprof record`)", args.out.display())
    } else {
        print(&mut out, &runs)
    }
    .context("print runs")?;
    Ok(ExitCode::SUCCESS)
}

/// A recording, or why it cannot be read.
#[derive(Debug, Serialize)]
struct Run {
    path: PathBuf,
    #[serde(flatten)]
    found: Found,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Found {
    Run(Box<Summary>),
    Unreadable { error: String },
}

#[derive(Debug, Serialize)]
struct Summary {
    /// RFC 3339, local time with its offset.
    started: String,
    /// Until the last row where the recording has no end yet, or never will.
    duration_ns: u64,
    target: String,
    threads: u64,
    off_cpu_rows: u64,
    /// Records lost; null where the recording never got to counting them.
    lost: Option<u64>,
    bytes: u64,
    ended: String,
    incomplete_parts: usize,
}

impl Run {
    fn read(path: PathBuf) -> Self {
        let found = match Recording::open(&path).and_then(|recording| summary(&recording)) {
            Ok(summary) => Found::Run(Box::new(summary)),
            Err(error) => Found::Unreadable { error: error.to_string() },
        };
        Self { path, found }
    }
}

fn summary(recording: &Recording) -> Result<Summary, RecordingError> {
    let config = recording.config();
    let off_cpu = recording.parts::<OffCpuRow>()?;
    let started = config.started.mono_ns.0;
    let end = match &config.ended {
        Some(ended) => ended.at.mono_ns.0,
        None => {
            off_cpu.iter().filter_map(|part| part.span_mono_ns).map(|(_, end)| end).max().unwrap_or(started)
        }
    };
    let goes_on = recording.goes_on();
    let threads = match &config.totals {
        Some(totals) => totals.threads,
        None => recording.parts::<ThreadRow>()?.iter().map(|part| part.rows).sum(),
    };
    Ok(Summary {
        started: local_time(config.started.wall_ns.0),
        duration_ns: end.saturating_sub(started),
        target: target(config),
        threads,
        off_cpu_rows: off_cpu.iter().map(|part| part.rows).sum(),
        lost: config.totals.as_ref().map(|totals| totals.dropped.iter().map(|lost| lost.records).sum()),
        bytes: recording.bytes()?,
        ended: match &config.ended {
            Some(ended) => ended.reason.to_string(),
            None if goes_on => "recording".to_owned(),
            None => "killed".to_owned(),
        },
        incomplete_parts: if goes_on { 0 } else { recording.incomplete_parts()?.len() },
    })
}

fn local_time(wall_ns: u64) -> String {
    DateTime::from_timestamp_nanos(wall_ns as i64)
        .with_timezone(&Local)
        .to_rfc3339_opts(SecondsFormat::Secs, false)
}

fn target(config: &Config) -> String {
    let target = &config.target;
    let mut text = format!("{} {}", target.kind, target.value);
    if let Some(engine) = &target.engine {
        text = format!("{text} ({engine})");
    }
    text.trim().to_owned()
}

const HEADINGS: [&str; 9] =
    ["run", "started", "length", "target", "threads", "off_cpu rows", "lost", "size", "ended"];

/// Columns set to the right.
const NUMBERS: [bool; 9] = [false, false, true, false, true, true, true, true, false];

/// The widest a target is shown: a command line can be long.
const TARGET_WIDTH: usize = 40;

fn print(out: &mut impl Write, runs: &[Run]) -> io::Result<()> {
    let mut lines = vec![HEADINGS.map(str::to_owned)];
    for run in runs {
        let name = run.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        lines.push(match &run.found {
            Found::Run(summary) => cells(name, summary),
            Found::Unreadable { .. } => {
                let mut line: [String; 9] = Default::default();
                line[0] = name;
                "unreadable".clone_into(&mut line[8]);
                line
            }
        });
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    for line in &lines {
        let cells: Vec<String> = line
            .iter()
            .zip(widths)
            .zip(NUMBERS)
            .map(
                |((cell, width), number)| {
                    if number { format!("{cell:>width$}") } else { format!("{cell:width$}") }
                },
            )
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    for run in runs {
        if let Found::Unreadable { error } = &run.found {
            writeln!(out, "{error}")?;
        }
    }
    Ok(())
}

fn cells(name: String, summary: &Summary) -> [String; 9] {
    let mut target = summary.target.clone();
    if target.chars().count() > TARGET_WIDTH {
        target = target.chars().take(TARGET_WIDTH - 1).chain(['…']).collect();
    }
    let mut ended = summary.ended.clone();
    if summary.incomplete_parts > 0 {
        ended = format!("{ended} ({} unfinished left out)", summary.incomplete_parts);
    }
    [
        name,
        summary.started.clone(),
        length(summary.duration_ns),
        target,
        summary.threads.to_string(),
        grouped(summary.off_cpu_rows),
        summary.lost.map_or_else(|| "?".to_owned(), grouped),
        size(summary.bytes),
        ended,
    ]
}

/// `1h02m03s`, `2m03s`, `3.4s`.
fn length(ns: u64) -> String {
    let tenths = ns / 100_000_000;
    let seconds = tenths / 10;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}.{}s", tenths % 10),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

/// `12 345 678`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        Summary {
            started: "2026-11-23T18:06:38+01:00".into(),
            duration_ns: 62_345_000_000,
            target: "pid 4211 (vllm)".into(),
            threads: 391,
            off_cpu_rows: 1_234_567,
            lost: Some(0),
            bytes: 5_000_000,
            ended: "duration".into(),
            incomplete_parts: 0,
        }
    }

    #[test]
    fn runs_are_a_line_each_and_errors_follow() {
        let killed = Summary {
            target: "command python3 -m vllm.entrypoints.openai.api_server --model x".into(),
            lost: None,
            bytes: 12,
            duration_ns: 3_725_000_000_000,
            ended: "killed".into(),
            incomplete_parts: 1,
            ..summary()
        };
        let runs = [
            Run { path: "runs/run_001".into(), found: Found::Run(Box::new(summary())) },
            Run { path: "runs/run_002".into(), found: Found::Run(Box::new(killed)) },
            Run { path: "runs/run_003".into(), found: Found::Unreadable { error: "open it: no".into() } },
        ];
        let mut out = Vec::new();
        print(&mut out, &runs).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        run      started                      length  target                                    threads  off_cpu rows  lost     size  ended
        run_001  2026-11-23T18:06:38+01:00     1m02s  pid 4211 (vllm)                               391     1 234 567     0  4.8 MiB  duration
        run_002  2026-11-23T18:06:38+01:00  1h02m05s  command python3 -m vllm.entrypoints.ope…      391     1 234 567     ?     12 B  killed (1 unfinished left out)
        run_003                                                                                                                       unreadable
        open it: no
        ");
    }

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(
            ["0.0s", "59.9s", "1m00s", "1h00m01s"],
            [0, 59_999_999_999, 60_000_000_000, 3_601_000_000_000].map(length)
        );
        assert_eq!(["0", "999", "1 000", "12 345 678"], [0, 999, 1_000, 12_345_678].map(grouped));
        assert_eq!(["0 B", "1023 B", "1.0 KiB", "2048.0 TiB"], [0, 1023, 1024, 1 << 51].map(size));
    }
}
