//! Requests told in full: phases as a tree, what was waited for in each, and the machine beside it.

use std::fmt::{self, Write};

use super::text::heading;
use crate::{
    humane::{count, duration, fitted, percent, plural, printable, share},
    story::{Beside, States, Story, Told, ToldPhase, Who, WindowAccount},
};

/// No line is wider.
const WIDTH: usize = 118;
/// Threads told of a phase, and other things.
const THREADS: usize = 6;
const OTHERS: usize = 5;
/// Of shorter phases only the critical path is told.
const SHORT_NS: u64 = 1_000_000;

/// Sets the requests told; nothing where there are none.
pub fn write(out: &mut String, story: Option<&Story>) -> fmt::Result {
    let Some(story) = story else { return Ok(()) };
    for told in &story.told {
        request(out, told, story)?;
    }
    Ok(())
}

fn request(out: &mut String, told: &Told, story: &Story) -> fmt::Result {
    let row = &told.request;
    let tokens = |tokens: Option<u32>| tokens.map_or_else(|| "?".to_owned(), |tokens| count(tokens.into()));
    let lengths = match (row.input_tokens, row.output_tokens) {
        (None, None) => String::new(),
        (input, output) => format!("{} → {} tokens in ", tokens(input), tokens(output)),
    };
    heading(
        out,
        "EXECUTION STORY",
        &format!(
            "the {} of {}: {} · {lengths}{} · source {}",
            told.which,
            plural(story.requests, "request"),
            printable(&row.request_id),
            plural(row.chunks.into(), "chunk"),
            story.source,
        ),
    )?;
    let latency = |name: &str, ns: Option<u64>| ns.map(|ns| format!("{name} {}", duration(ns)));
    let mut latencies: Vec<String> =
        [latency("TTFT", told.ttft_ns), latency("TPOT", told.tpot_ns), latency("e2e", told.e2e_ns)]
            .into_iter()
            .flatten()
            .collect();
    latencies.extend(row.error.map(|error| format!("failed: {error}")));
    if row.end_mono_ns.is_none() {
        latencies.push("in flight when recording ended".to_owned());
    }
    let error = match row.join_error_ns {
        Some(ns) => format!("off by {} at most", duration(ns)),
        None => "its error is not known".to_owned(),
    };
    writeln!(out, "{} · clock {}, {error}", latencies.join(" · "), row.join_tier)?;
    writeln!(out, "0 ns  arrives, with {} in flight", others(told.in_flight_at_arrival))?;
    for engine in &told.engine_at_arrival {
        writeln!(out, "├─ engine: {}", printable(engine))?;
    }
    for phase in &told.phases {
        phase_tree(out, phase, row.arrival_mono_ns, story)?;
    }
    writeln!(out, "└─ {} after the arrival: end", duration(told.end_mono_ns - row.arrival_mono_ns))?;
    writeln!(out, "   parts of its work")?;
    for part in &told.sub_phases {
        let time = part.ns.map_or_else(|| "-".to_owned(), duration);
        writeln!(out, "     {:<15} {time:>8}  {}", part.name, part.source)?;
    }
    if !told.itl_trend_ns.is_empty() {
        let trend: Vec<String> = told.itl_trend_ns.iter().map(|ns| duration(*ns)).collect();
        writeln!(out, "   median gaps over the response: {}", trend.join(" → "))?;
    }
    if !told.observations.is_empty() {
        writeln!(out, "   observed")?;
        told.observations.iter().try_for_each(|line| writeln!(out, "     {}", printable(line)))?;
    }
    Ok(())
}

fn others(number: u64) -> String {
    match number {
        0 => "no other request".to_owned(),
        1 => "1 other request".to_owned(),
        more => format!("{} other requests", count(more)),
    }
}

fn phase_tree(out: &mut String, phase: &ToldPhase, arrival_ns: u64, story: &Story) -> fmt::Result {
    let account = &phase.account;
    writeln!(
        out,
        "├─ {} after: {} {}  {}",
        duration(account.start_mono_ns - arrival_ns),
        account.kind.to_uppercase(),
        duration(account.len_ns()),
        in_flight(account),
    )?;
    if let Some(why) = &account.withheld {
        return writeln!(out, "│    withheld: {why}");
    }
    let length = account.len_ns();
    let path: Vec<String> = phase
        .path
        .iter()
        .take(OTHERS + 1)
        .map(|part| format!("{} {} {}", who(&part.who), part.state, cell(part.ns, length)))
        .collect();
    match (&story.path_missing, path.is_empty()) {
        (Some(why), _) => writeln!(out, "│    waited for  not measured: {why}")?,
        (None, true) => writeln!(out, "│    waited for  not measured: its thread is not known, or too much")?,
        (None, false) => list(out, "waited for", &path, phase.path.len())?,
    }
    let pairs: Vec<String> = phase
        .waited_for
        .iter()
        .take(OTHERS)
        .map(|pair| {
            format!(
                "{} for {}: {} in {}, {}",
                who(&pair.waiter),
                who(&pair.waker),
                duration(pair.blocked_ns),
                pair.state,
                plural(pair.times, "time"),
            )
        })
        .collect();
    list(out, "who for whom", &pairs, phase.waited_for.len())?;
    if length < SHORT_NS {
        return Ok(());
    }
    let threads: Vec<String> = phase
        .threads
        .iter()
        .take(THREADS)
        .map(|thread| format!("{} {}", who(&thread.who), states(&thread.states_ns, thread.wall_ns)))
        .collect();
    list(out, "threads", &threads, phase.threads.len())?;
    let episodes: Vec<String> = phase
        .episodes
        .iter()
        .take(OTHERS)
        .map(|episode| {
            let call = episode.call.as_ref().filter(|call| *call != episode.state);
            let call = call.map(|call| format!(" in {call}")).unwrap_or_default();
            let queue = match episode.runqueue_ns {
                0 => String::new(),
                ns => format!(", {} of it runnable", duration(ns)),
            };
            let woken = episode.woken_by.as_ref().map(|by| format!(", woken by {by}")).unwrap_or_default();
            let at = duration(episode.start_mono_ns.saturating_sub(arrival_ns));
            format!(
                "at {at} {} {} {}{call}{queue}{woken}",
                who(&episode.who),
                episode.state,
                duration(episode.ns)
            )
        })
        .collect();
    list(out, "over 1 ms", &episodes, phase.episodes.len())?;
    list(out, "GPU", &phase.gpus, phase.gpus.len())?;
    list(out, "machine", &[machine(&phase.beside)], 1)
}

/// A label and lines, of which there are more.
fn list(out: &mut String, label: &str, lines: &[String], all: usize) -> fmt::Result {
    const LABEL: usize = 14;
    for (at, line) in lines.iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        writeln!(out, "│    {label:<LABEL$}{}", fitted(line, WIDTH - LABEL - 5))?;
    }
    match all.saturating_sub(lines.len()) {
        0 => Ok(()),
        _ if lines.is_empty() => Ok(()),
        more => writeln!(out, "│    {:<LABEL$}and {} more (--json lists them)", "", count(more as u64)),
    }
}

/// A batched engine serves others with the same time: said for each window.
fn in_flight(account: &WindowAccount) -> String {
    let open = account.in_flight;
    match open.max {
        0 | 1 => "alone".to_owned(),
        max => format!("shared: {:.1} in flight on average, {} at most", open.mean, count(max)),
    }
}

fn who(who: &Who) -> String {
    match &who.role {
        Some(role) => format!("{} {}", printable(role), who.tid),
        None => format!("{} {}", printable(&who.comm), who.tid),
    }
}

fn cell(ns: u64, whole_ns: u64) -> String {
    format!("{} {}", duration(ns), share(ns, whole_ns))
}

pub(super) fn states(states: &States, wall_ns: u64) -> String {
    let mut states: Vec<(&str, u64)> = states.iter().map(|(state, ns)| (*state, *ns)).collect();
    states.sort_by_key(|(state, ns)| (std::cmp::Reverse(*ns), *state));
    let told = states.iter().take(4).map(|(state, ns)| format!("{state} {}", cell(*ns, wall_ns)));
    told.collect::<Vec<_>>().join(" · ")
}

pub(super) fn machine(beside: &Beside) -> String {
    let mut told = Vec::new();
    let mut ratio = |what: &str, ratio: Option<f64>| {
        told.extend(ratio.map(|ratio| format!("{what} {}", percent(ratio))));
    };
    ratio("CPUs busy", beside.cpu_busy_ratio);
    ratio("tasks waited for memory", beside.memory_some_ratio);
    ratio("quota used up in periods", beside.throttled_periods_ratio);
    if let (Some(disk), Some(ns)) = (&beside.disk, beside.disk_await_ns) {
        told.push(format!("{} {} a read or write", printable(disk), duration(ns)));
    }
    if beside.major_faults > 0 {
        told.push(plural(beside.major_faults, "major fault"));
    }
    told.extend(beside.gpu_idle_ns.map(|ns| format!("GPU without work for {}", duration(ns))));
    match (told.is_empty(), beside.sampled_ns) {
        (true, None) => "not measured: no samples around it".to_owned(),
        (_, Some(ns)) => format!("{} (samples {} apart)", told.join(" · "), duration(ns)),
        (false, None) => told.join(" · "),
    }
}
