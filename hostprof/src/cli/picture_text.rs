//! A picture as a few lines of text: what `--once` prints without `--json`.

use std::fmt::Write as _;

use crate::{
    humane::{count, duration},
    live::{Call, Picture, Share},
};

/// Threads, calls and roles that are shown; JSON has all.
const MOST: usize = 20;

/// The text.
pub fn text(picture: &Picture) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut out, picture);
    out
}

fn write(out: &mut String, picture: &Picture) -> std::fmt::Result {
    let window = picture.to.0.saturating_sub(picture.from.0);
    writeln!(
        out,
        "{} · {} of {} · {} threads · {} records",
        picture.target.name,
        duration(window),
        duration(picture.target.elapsed_ns),
        picture.all.threads,
        count(picture.health.records),
    )?;
    if let Some(mostly) = &picture.mostly {
        writeln!(out, "mostly   {}", mostly.text)?;
    }
    writeln!(out, "all      {}", states(&picture.all))?;
    for role in picture.roles.iter().take(MOST) {
        let name = if role.name.is_empty() { "(no role)" } else { &role.name };
        writeln!(out, "role     {name} ({} threads): {}", role.share.threads, states(&role.share))?;
    }
    let mut threads: Vec<_> = picture.threads.iter().collect();
    threads.sort_by_key(|thread| std::cmp::Reverse(thread.share.times.on_cpu_ns));
    for thread in threads.into_iter().take(MOST) {
        let call = thread.top_call.as_ref().map(|call| format!(" · {}", call.name)).unwrap_or_default();
        writeln!(out, "thread   {} {}: {}{call}", thread.tid, thread.comm, states(&thread.share))?;
    }
    for call in picture.calls.iter().take(MOST) {
        writeln!(out, "call     {}: {}", call.name, lengths(call))?;
    }
    for engine in &picture.engines {
        let of = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), count);
        let (running, waiting) = (of(engine.running), of(engine.waiting));
        writeln!(out, "engine   {} {}: {running} running, {waiting} waiting", engine.engine, engine.server)?;
    }
    let dropped: u64 = picture.health.probes.iter().map(|probe| probe.dropped).sum();
    if dropped > 0 {
        writeln!(out, "LOST     {} records", count(dropped))?;
    }
    Ok(())
}

/// States with at least a hundredth of the time, most first.
fn states(share: &Share) -> String {
    let all = share.wall_ns.max(1) as f64;
    let mut states: Vec<(&str, u64)> =
        share.times.words().filter(|(_, ns)| *ns as f64 >= all / 100.0).collect();
    states.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    let words: Vec<String> =
        states.iter().map(|(word, ns)| format!("{word} {:.0}%", *ns as f64 / all * 100.0)).collect();
    words.join(" ")
}

fn lengths(call: &Call) -> String {
    let latency = &call.latency;
    let of = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), duration);
    format!("{} times, p50 {}, p99 {}", count(latency.count), of(latency.p50_ns), of(latency.p99_ns))
}
