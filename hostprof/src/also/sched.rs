//! `sched.txt`: what `perf sched` tells of the target: each time it was switched out, a sum for each thread, and
//! how long each waited for a CPU. Of other tasks, which perf recorded too, nothing is kept.

use std::{collections::BTreeSet, io::Write as _, process::Stdio};

use super::perf;
use crate::{
    recording::{Recording, RunFolder},
    table::ThreadRow,
    units::Tgid,
};

/// What is made.
pub const FILE: &str = "sched.txt";

/// Makes it from a raw recording in the folder, for the threads that the table `thread` tells.
pub fn make(folder: &RunFolder, raw: &str) -> Result<(), String> {
    let raw = folder.path().join(raw);
    let raw = raw.to_string_lossy();
    let (processes, threads) = target(folder)?;
    let failed = |error: String| format!("make {FILE}: {error}");
    let mut file = folder.create_output(FILE).map_err(|error| error.to_string())?;
    let written = |result: std::io::Result<()>| result.map_err(|error| failed(error.to_string()));
    written(writeln!(
        file,
        "# perf sched timehist: a line for each switch-out; time is CLOCK_MONOTONIC, as in the tables"
    ))?;
    let of = perf::list(processes.into_iter().map(Tgid));
    let mut timehist = perf::reader(&["sched", "timehist", "-S", "--state", "-i", &raw, "--pid", &of]);
    timehist.stdout(Stdio::from(file.try_clone().map_err(|error| failed(error.to_string()))?));
    perf::run(timehist).map_err(failed)?;
    written(writeln!(file, "\n# perf sched latency: from woken to running, by thread"))?;
    let mut kept = Vec::new();
    let latency = perf::reader(&["sched", "latency", "-p", "-i", &raw]);
    perf::read_lines(latency, |line| {
        if is_head(line) || tid_of(line).is_some_and(|tid| threads.contains(&tid)) {
            kept.push(line.to_owned());
        }
    })
    .map_err(failed)?;
    written(writeln!(file, "{}", kept.join("\n")))
}

/// The processes and threads that were recorded.
fn target(folder: &RunFolder) -> Result<(BTreeSet<u32>, BTreeSet<u32>), String> {
    let failed = |error| format!("make {FILE}: {error}");
    let recording = Recording::open(folder.path()).map_err(failed)?;
    let (mut processes, mut threads) = (BTreeSet::new(), BTreeSet::new());
    for rows in recording.rows::<ThreadRow>().map_err(failed)? {
        for row in rows.map_err(failed)? {
            processes.insert(row.tgid);
            threads.insert(row.tid);
        }
    }
    Ok((processes, threads))
}

fn is_head(line: &str) -> bool {
    line.trim_start().starts_with("Task ")
}

/// `  pool worker:4711  |   2.018 ms | …`: the thread's id.
fn tid_of(line: &str) -> Option<u32> {
    line.split_once('|')?.0.trim().rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_latencies_names_its_thread_last() {
        assert_eq!(tid_of("  memfd:sealed-91:13484 |      0.139 ms |        2 |"), Some(13484));
        assert_eq!(tid_of("  TOTAL:                |    957.163 ms |    51244 |"), None);
        assert_eq!(tid_of(" -----------------"), None);
        assert!(is_head("  Task                  |   Runtime ms  | Switches |"));
    }
}
