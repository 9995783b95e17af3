//! Probe `http` in a recording: what the kernel half is told at the start, and what is noted at the end.

use hostprof_common::http::HttpStats;

use super::pipeline::Folded;
use crate::{
    bpf::{Kernel, LoadError},
    humane::plural,
    probe::{HTTP, HttpCounts, Selection},
    recording::Config,
    sink::SinkError,
    target::Proc,
    units::Tgid,
};

/// Tells the kernel half, where the probe is on, which ports the target listens on, so that the first arrival at each
/// counts.
///
/// # Errors
///
/// The map cannot be written.
pub fn tell_ports(
    kernel: &mut Kernel,
    proc: &Proc,
    probes: &Selection,
    processes: &[Tgid],
) -> Result<(), LoadError> {
    if !probes.has(HTTP) {
        return Ok(());
    }
    for port in processes.iter().flat_map(|&tgid| proc.listening_ports(tgid)) {
        kernel.listens(port)?;
    }
    Ok(())
}

/// Notes, where the probe was on, what was counted.
///
/// # Errors
///
/// The counters cannot be read.
pub fn note(
    config: &mut Config,
    kernel: &Kernel,
    folded: &Result<Folded, SinkError>,
) -> Result<(), LoadError> {
    if let Ok(folded) = folded
        && let Some(probe) = config.probes.iter_mut().find(|probe| probe.name == HTTP && probe.on)
    {
        probe.notes.extend(notes(&kernel.http_stats()?, &folded.http));
    }
    Ok(())
}

/// What was counted, and why requests may be missing.
fn notes(stats: &HttpStats, counts: &HttpCounts) -> Vec<String> {
    let mut notes = vec![format!(
        "{}; {} were no requests to a language model (metrics, health, pages)",
        plural(counts.requests, "request"),
        counts.others
    )];
    let mut note = |count: u64, what: &str, text: &str| {
        if count > 0 {
            notes.push(format!("{} {text}", plural(count, what)));
        }
    };
    note(stats.tls, "connection", "not read: TLS is not supported (record behind what ends it)");
    note(stats.http2, "connection", "not read: HTTP/2 is not supported");
    note(stats.io_uring, "transfer", "not read: sockets of io_uring are not supported");
    note(stats.untold, "connection", "not read: more than there is room for at a time");
    note(counts.lost_places, "time", "the end of a message was not seen; its request's end may be late");
    notes
}
