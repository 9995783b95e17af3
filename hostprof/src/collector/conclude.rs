//! How a recording ends: its last words in `config.json`, and what the user is told.

use std::{process::ExitStatus, time::Duration};

use anyhow::Result;

use super::{
    RESERVE_FILE,
    options::{Options, Outcome},
    pipeline::Folded,
    spans, watch,
};
use crate::{
    clock,
    probe::SCHED,
    recording::{Config, Dropped, EndReason, Ended, Moment, RunFolder},
    sink::SinkError,
    target::HeldCommand,
    units::MonoNs,
};

/// Writes how a recording ended, and waits for a command that outlives it.
pub fn conclude(
    mut config: Config,
    folder: &RunFolder,
    stop: MonoNs,
    mut notes: Vec<String>,
    folded: &Result<Folded, SinkError>,
    ended: &watch::End,
    command: Option<&HeldCommand>,
) -> Result<Outcome> {
    let (reason, failure) = end(ended.reason.clone(), folded);
    notes.extend(failure.iter().map(|error| format!("{error}: what was written before is readable")));
    if let Ok(folded) = folded {
        notes.extend(folded_notes(folded));
    }
    config.ended = Some(Ended { at: Moment::new(clock::wall(), stop), reason: reason.clone() });
    let status = match (ended.status, command) {
        (Some(status), _) => Some(status),
        // The recording is over and the command is not: its status is still hostprof's.
        (None, Some(command)) if !ended.abandon_command => {
            eprintln!("hostprof: recording ended ({reason}), waiting for the command");
            command.wait()
        }
        _ => None,
    };
    config.exit_status = status.map(shell_status);
    // Gives the space back that the end needs on a full disk.
    let _ = std::fs::remove_file(folder.path().join(RESERVE_FILE));
    if let Err(error) = config.write(folder) {
        notes.push(error.to_string());
    }
    if let Some(error) = failure
        && !error.is_disk_full()
    {
        return Err(error.into());
    }
    let length = Duration::from_nanos(stop.0.saturating_sub(config.started.mono_ns.0));
    let totals = config.totals.unwrap_or_default();
    Ok(Outcome { run: folder.path().to_owned(), reason, length, totals, notes, status })
}

/// The status a shell would tell: 128 + n for a signal.
pub fn shell_status(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// How often the kernel skipped a program, by probe: of the programs of system calls, which run for all
/// their probes, by the first that is on.
pub fn skipped(recursion: Option<(u64, u64)>, options: &Options) -> Vec<(&'static str, u64)> {
    let Some((switches, calls)) = recursion else { return Vec::new() };
    let of_calls = spans::PROBES.iter().map(|(_, name)| *name).find(|name| options.probes.has(name));
    [Some((SCHED, switches)), of_calls.map(|name| (name, calls))].into_iter().flatten().collect()
}

/// How it ended, and the failure if that was one.
fn end(reason: EndReason, folded: &Result<Folded, SinkError>) -> (EndReason, Option<SinkError>) {
    match folded {
        Ok(_) => (reason, None),
        Err(error) if error.is_disk_full() => (EndReason::DiskFull, Some(error.clone())),
        Err(error) => (EndReason::Error(error.to_string()), Some(error.clone())),
    }
}

fn folded_notes(folded: &Folded) -> Vec<String> {
    let mut notes = Vec::new();
    let counts = &folded.counts;
    if counts.lost_switches > 0 {
        notes.push(format!(
            "{} context switches have no record (hostprof check names the threads)",
            counts.lost_switches
        ));
    }
    if counts.orphans > 0 {
        notes.push(format!("{} records are of threads whose beginning was lost", counts.orphans));
    }
    if folded.late > 0 {
        notes.push(format!("{} records came later than the order allows for", folded.late));
    }
    if folded.undecodable > 0 {
        notes.push(format!("{} bytes from the kernel were no record", folded.undecodable));
    }
    notes
}

pub fn untold_note(calls: u64) -> Option<String> {
    (calls > 0).then(|| {
        format!("{calls} sends and receives are in no process's network bytes (raise --max-threads)")
    })
}

pub fn dropped_list(dropped: &[(&str, u64)]) -> Vec<Dropped> {
    dropped.iter().map(|&(probe, records)| Dropped { probe: probe.to_owned(), records }).collect()
}
