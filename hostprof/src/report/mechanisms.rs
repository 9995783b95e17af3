//! Latencies by place and by load, what carried the tail, what was found, and each role's states by phase.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use super::{
    columns::{
        Align::{self, Left, Right},
        Columns,
    },
    story::states,
    text::heading,
};
use crate::{
    humane::{count, duration, percent, plural, printable, rate, share},
    lengths::Latency,
    story::{Group, RULES, RoleAccount, States, Story, Tail},
};

const PERCENTILES: [(&str, Align); 7] = [
    ("", Left),
    ("COUNT", Right),
    ("P50", Right),
    ("P90", Right),
    ("P95", Right),
    ("P99", Right),
    ("MAX", Right),
];
/// Parts of the tail shown.
const CARRIED: usize = 8;

/// What was found, or that nothing was.
pub fn findings(out: &mut String, story: Option<&Story>) -> fmt::Result {
    let Some(story) = story else { return Ok(()) };
    heading(
        out,
        "FINDINGS",
        "what slow requests had: attribution; that it is the cause, an experiment has to show",
    )?;
    for (at, finding) in story.findings.iter().enumerate() {
        let steady = if finding.steady { "; typical ones have it as well" } else { "" };
        writeln!(
            out,
            "{}. {}: {} ({}), {} of slow windows' time{steady}",
            at + 1,
            finding.cause,
            finding.title,
            finding.windows,
            share(finding.slow_ns, finding.slow_length_ns),
        )?;
        finding.evidence.iter().try_for_each(|line| writeln!(out, "   {}", printable(line)))?;
    }
    if story.findings.is_empty() {
        let causes: Vec<&str> = RULES.iter().map(|rule| rule.word).collect();
        writeln!(out, "no offender found (looked for {})", causes.join(", "))?;
    }
    if let Some(why) = &story.path_missing {
        writeln!(out, "no critical path: {}", printable(why))?;
    }
    writeln!(out, "compared {}", story.compared.join(" · "))
}

/// Percentiles, and gaps by place and by load.
pub fn latency(out: &mut String, story: Option<&Story>) -> fmt::Result {
    let Some(story) = story else { return Ok(()) };
    let told = &story.latencies;
    heading(
        out,
        "LATENCY",
        &format!("of {} seen by {}, from arrival", plural(story.requests, "request"), story.source),
    )?;
    let tpot = if told.tpot_by_chunks { "TPOT (a chunk)" } else { "TPOT" };
    let mut columns = Columns::new(&PERCENTILES);
    for (name, latency) in [("TTFT", &told.ttft), ("ITL", &told.itl), (tpot, &told.tpot), ("e2e", &told.e2e)]
    {
        let mut cells = vec![name.to_owned()];
        cells.extend(cells_of(latency));
        columns.row(cells);
    }
    write!(out, "{columns}")?;
    let goodput = match (told.goodput_per_second, told.goodput_ratio) {
        (Some(per_second), Some(ratio)) => {
            format!("goodput {}/s, {} of requests", rate(per_second), percent(ratio))
        }
        _ => "goodput: no target set (--goodput)".to_owned(),
    };
    writeln!(
        out,
        "{} requests/s · {} {}/s · {goodput}",
        rate(told.requests_per_second),
        rate(told.tokens_per_second),
        if told.tpot_by_chunks { "chunks" } else { "output tokens" },
    )?;
    let tiers: Vec<String> = story
        .join_tiers
        .iter()
        .map(|(tier, requests)| format!("{tier} for {}", plural(*requests, "request")))
        .collect();
    let error = match story.join_error_max_ns {
        Some(ns) => format!("off by {} at most", duration(ns)),
        None => "how far off is not known".to_owned(),
    };
    writeln!(out, "clock {} · {error} · {} in flight at the end", tiers.join(", "), count(story.unfinished))?;
    for (what, groups) in [
        ("gaps by the place of their token", &told.by_position),
        ("gaps by requests in flight", &told.by_in_flight),
    ] {
        if !groups.is_empty() {
            writeln!(out, "{what}")?;
            let mut columns = Columns::new(&PERCENTILES);
            for group in groups {
                let mut cells = vec![range(group)];
                cells.extend(cells_of(&group.itl));
                columns.row(cells);
            }
            write!(out, "{columns}")?;
        }
    }
    Ok(())
}

fn range(group: &Group) -> String {
    if group.from == group.to {
        count(group.from)
    } else {
        format!("{} to {}", count(group.from), count(group.to))
    }
}

fn cells_of(latency: &Latency) -> Vec<String> {
    let told = [latency.p50_ns, latency.p90_ns, latency.p95_ns, latency.p99_ns, latency.max_ns];
    let told = told.map(|ns| ns.map_or_else(|| "-".to_owned(), duration));
    std::iter::once(count(latency.count)).chain(told).collect()
}

/// What carried the slowest gaps.
pub fn tail(out: &mut String, story: Option<&Story>) -> fmt::Result {
    let Some(Tail { slow, typical, slow_ns, typical_ns, carried, gaps, slow_prefills, typical_prefills }) =
        story.and_then(|story| story.tail.as_ref())
    else {
        return Ok(());
    };
    heading(
        out,
        "TAIL",
        &format!(
            "the slowest {} of {} gaps between tokens took {} on average, {typical} about the median {}",
            count(*slow),
            count(*gaps),
            duration(*slow_ns),
            duration(*typical_ns)
        ),
    )?;
    let excess_ns = slow_ns.saturating_sub(*typical_ns);
    let mut columns = Columns::new(&[
        ("WHO", Left),
        ("STATE", Left),
        ("IN SLOW", Right),
        ("IN TYPICAL", Right),
        ("EXCESS", Right),
        ("", Right),
    ]);
    for part in carried.iter().filter(|part| part.excess_ns > 0).take(CARRIED) {
        let excess = part.excess_ns.unsigned_abs();
        columns.row(vec![
            printable(&part.who),
            part.state.to_owned(),
            duration(part.slow_ns),
            duration(part.typical_ns),
            duration(excess),
            share(excess, excess_ns),
        ]);
    }
    write!(out, "{columns}")?;
    writeln!(
        out,
        "other requests in prefill meanwhile: {slow_prefills:.2} on average in slow gaps, {typical_prefills:.2} in typical"
    )
}

/// Each role's states by phase, over all requests.
pub fn ledger(out: &mut String, story: Option<&Story>) -> fmt::Result {
    let Some(story) = story.filter(|story| !story.ledger.is_empty()) else { return Ok(()) };
    heading(
        out,
        "LEDGER BY PHASE",
        "all threads' time in the windows of all requests; time that requests share counts for each of them",
    )?;
    let mut sums: BTreeMap<(&str, Option<&str>), (u64, u64, States)> = BTreeMap::new();
    let (mut withheld, mut windows) = (0_u64, BTreeMap::new());
    for window in story.ledger.iter().flat_map(|request| &request.windows) {
        withheld += u64::from(window.withheld.is_some());
        let (number, in_flight): &mut (u64, f64) = windows.entry(window.kind).or_default();
        *number += 1;
        *in_flight += window.in_flight.mean;
        for RoleAccount { role, threads, wall_ns, states_ns } in &window.roles {
            let (most, wall, states) = sums.entry((window.kind, role.as_deref())).or_default();
            *most = (*most).max(*threads);
            *wall += wall_ns;
            for (state, ns) in states_ns {
                *states.entry(*state).or_default() += ns;
            }
        }
    }
    let mut columns = Columns::new(&[
        ("PHASE", Left),
        ("WINDOWS", Right),
        ("IN FLIGHT", Right),
        ("ROLE", Left),
        ("THREADS", Right),
        ("WALL", Right),
        ("STATES", Left),
    ]);
    for kind in ["request", "handover", "queue", "prefill", "decode", "stream", "answer"] {
        let Some((number, in_flight)) = windows.get(kind) else { continue };
        let mut head = [kind.to_owned(), count(*number), format!("{:.1}", in_flight / *number as f64)];
        for ((_, role), (threads, wall_ns, of)) in
            sums.range((kind, None)..).take_while(|((of, _), _)| *of == kind)
        {
            let mut cells: Vec<String> = std::mem::take(&mut head).into();
            cells.extend([
                role.map_or_else(|| "(none told)".to_owned(), printable),
                count(*threads),
                duration(*wall_ns),
            ]);
            let states = states(of, *wall_ns);
            columns.flowing(cells, states.split(" · ").map(str::to_owned).collect());
        }
    }
    write!(out, "{columns}")?;
    if withheld > 0 {
        writeln!(
            out,
            "withheld: {}, since records were lost or only counted in them",
            plural(withheld, "window")
        )?;
    }
    Ok(())
}
