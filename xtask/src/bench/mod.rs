//! `cargo xtask bench`: what hostprof costs and what it can take, beside its peers.
//!
//! Builds as the invoking user, measures as root, and leaves a run folder: `results.json`, `table.txt`. How to
//! read it: docs/benchmarks.md. Nothing here is a test: a figure is compared, never asserted.

mod bpf_stats;
mod compare;
mod job;
mod machine;
mod pair;
mod parse;
mod programs;
mod recording;
mod results;
mod server;
mod stats;
mod suite;
mod table;
mod tracer;
mod workload;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{
    bench::{
        machine::Machine, pair::Bench, programs::Programs, results::Results, server::Server, suite::Suite,
        workload::Size,
    },
    process,
    setup::{self, UserHalf},
    workspace::Workspace,
};

/// Fewer have no 95 % interval worth its name.
const PAIRS: usize = 7;
const QUICK_PAIRS: usize = 2;

#[derive(Args, Debug)]
pub struct Options {
    /// What to measure [default: all]
    #[arg(value_enum, value_name = "SUITE")]
    suites: Vec<Suite>,
    /// Pairs of each line, 7 at least
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(PAIRS as i64..))]
    pairs: Option<u16>,
    /// Short workloads, two pairs: does the benchmark work here? The figures tell nothing
    #[arg(long, conflicts_with = "pairs")]
    quick: bool,
    /// Only lines with this in the name of their workload or tracer; each that is given narrows it further
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// No lines with this in the name of their workload or tracer; may be given more than once
    #[arg(long, value_name = "TEXT")]
    without: Vec<String>,
    /// Records of the recordings that suite offline reads: 1000000,10000000 [default: 100 k, 1 M, 10 M]
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(100..))]
    records: Vec<u64>,
    /// How long a storm of suite collector lasts [default: 10]
    #[arg(long, value_name = "S", conflicts_with = "quick", value_parser = clap::value_parser!(u32).range(1..))]
    storm_seconds: Option<u32>,
    /// Write the results here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder of runs; this one becomes bench_NNN in it
    #[arg(short, long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// Compare with the results of an earlier run, line by line
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Build nothing: measure the hostprof in this folder, with its calibration and workload
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    #[command(flatten)]
    server: server::Wanted,
}

/// Builds where that is wanted, becomes root where it is not, and measures.
pub fn run(options: &Options) -> Result<ExitCode> {
    // Before anything is measured, and not an hour later.
    let baseline = options.compare.as_deref().map(Results::read).transpose()?;
    let dir = if let Some(dir) = &options.programs {
        dir.clone()
    } else {
        let workspace = Workspace::find()?;
        setup::build(&workspace, UserHalf::Shipped)?;
        UserHalf::Shipped.folder(&workspace)
    };
    if !process::is_root() {
        return again_as_root(&dir, options.programs.is_some());
    }
    job::take_signals()?;
    let programs = Programs::of(&dir)?;
    let machine = Machine::here(env::args().collect::<Vec<_>>().join(" "), &programs)?;
    let folder = new_folder(&options.out)?;
    eprintln!(
        "{} · {} CPUs · load {} · {}",
        machine.kernel,
        machine.cpus,
        machine.load_average,
        folder.display()
    );
    let mut results = Results::new(machine, options.quick);
    let scratch = folder.join("scratch");
    let measured = measure(options, programs, &scratch, &mut results);
    let _ = fs::remove_dir_all(&scratch);
    let kept = keep(options, &folder, &results, baseline.as_ref());
    give_to_caller(&folder);
    measured.and(kept)?;
    println!("{}", folder.display());
    Ok(ExitCode::SUCCESS)
}

/// The rest of the run, in the caller's environment: only root may attach, and end what root has started.
fn again_as_root(programs: &Path, are_named: bool) -> Result<ExitCode> {
    process::become_root()?;
    let mut command = process::as_root("env");
    if let Some(path) = env::var_os("PATH") {
        command.arg(format!("PATH={}", path.to_string_lossy()));
    }
    command.arg(env::current_exe().context("find this program")?).args(env::args_os().skip(1));
    if !are_named {
        command.arg("--programs").arg(programs);
    }
    let status = command.status().context("run sudo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(options: &Options, programs: Programs, scratch: &Path, results: &mut Results) -> Result<()> {
    let (size, pairs) = if options.quick { (Size::Quick, QUICK_PAIRS) } else { (Size::Full, PAIRS) };
    let pairs = options.pairs.map_or(pairs, usize::from);
    let (only, without) = (options.only.clone(), options.without.clone());
    let records = options.records.clone();
    let storm_s = options.storm_seconds.unwrap_or(if options.quick { 1 } else { 10 });
    let files = scratch.join("server");
    fs::create_dir_all(&files).with_context(|| format!("create {}", files.display()))?;
    let server = Server::provide(&options.server, &files)?;
    let scratch = scratch.join("measured");
    let bench = Bench { programs, scratch, pairs, size, only, without, records, storm_s };
    let suites = if options.suites.is_empty() { &Suite::ALL[..] } else { &options.suites };
    for suite in suites {
        suite.run(&bench, server.as_ref(), results)?;
    }
    Ok(())
}

/// Writes what was measured, all or not, and shows it.
fn keep(options: &Options, folder: &Path, results: &Results, baseline: Option<&Results>) -> Result<()> {
    let mut text = table::of(results);
    if let Some(baseline) = baseline {
        text += &compare::of(baseline, results);
    }
    if results.quick {
        text += "\na quick run: these figures tell nothing\n";
    }
    print!("{text}");
    let json = results.to_json()?;
    let files = [(Some(folder.join("results.json")), &json), (Some(folder.join("table.txt")), &text)];
    for (path, content) in files.into_iter().chain([(options.json.clone(), &json)]) {
        if let Some(path) = path {
            fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}

/// `bench_001` and so on.
fn new_folder(runs: &Path) -> Result<PathBuf> {
    fs::create_dir_all(runs).with_context(|| format!("create {}", runs.display()))?;
    for number in 1..1000 {
        let folder = runs.join(format!("bench_{number:03}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(err).with_context(|| format!("create {}", folder.display())),
        }
    }
    bail!("create {}/bench_NNN: there are 999 (remove some)", runs.display())
}

/// What root has written is the user's who called sudo.
fn give_to_caller(folder: &Path) {
    let id = |name| env::var(name).ok().and_then(|id| id.parse().ok());
    let (Some(user), Some(group)) = (id("SUDO_UID"), id("SUDO_GID")) else { return };
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in files.chain([folder.to_owned()]) {
        if let Err(err) = std::os::unix::fs::lchown(&path, Some(user), Some(group)) {
            eprintln!("give {} to its caller: {err}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn a_run_has_seven_pairs_or_is_a_quick_one() {
        let parse = |words: &[&str]| Line::try_parse_from([&["bench"], words].concat());
        assert_eq!(parse(&["slowdown", "--pairs", "9"]).unwrap().options.pairs, Some(9));
        assert!(parse(&["--pairs", "6"]).is_err());
        assert!(parse(&["--pairs", "9", "--quick"]).is_err());
        assert!(parse(&["--quick", "collector", "offline"]).unwrap().options.quick);
    }
}
