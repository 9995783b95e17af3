//! The bubble ledger as a bar and a table, and GPU and launching thread beside each other.

use std::fmt::{self, Write};

use super::escape::Escaped;
use crate::{
    humane::{count, duration, percent, share},
    story::{GpuBubbles, Overlap},
};

const WIDTH: f64 = 1200.0;
/// States and calls in the table; the text and JSON have more.
const BLAMED: usize = 12;

/// Sets one GPU's.
pub fn write(out: &mut String, bubbles: &GpuBubbles) -> fmt::Result {
    let account = &bubbles.account;
    let launcher = &bubbles.launcher;
    let when =
        if bubbles.scope == "requests" { "while a request was in flight" } else { "over the recording" };
    writeln!(
        out,
        "<section><h2>GPU {}: idle {} {when}</h2><p>Blamed on what the launching thread, {} {}, did then ({}; confidence \
         {:.2}). Idle {} of {} sampled.</p>",
        bubbles.gpu,
        duration(account.blamed_ns),
        Escaped(launcher.who.role.as_deref().unwrap_or(&launcher.who.comm)),
        launcher.who.tid,
        Escaped(&launcher.why),
        launcher.confidence,
        duration(account.idle_ns),
        duration(account.sampled_ns),
    )?;
    bar(out, bubbles.blame.iter().map(|of| (format!("s-{}", of.state), of.state.to_owned(), of.idle_ns)))?;
    writeln!(
        out,
        "<table><tr><th>state</th><th>call</th><th>idle</th><th></th><th>at least</th><th>at most</th><th>gaps</th>\
         <th>longest</th><th>waited for</th></tr>"
    )?;
    for of in bubbles.blame.iter().take(BLAMED) {
        let waited = of.waited_for.first().map(|waited| {
            let thread = waited.who.as_ref().zip(waited.state);
            let whom = thread.map(|(who, state)| {
                format!("{} {} {state}", who.role.as_deref().unwrap_or(&who.comm), who.tid)
            });
            format!(
                "{} {}",
                whom.unwrap_or_else(|| waited.by.replace('_', " ")),
                share(waited.idle_ns, of.idle_ns)
            )
        });
        writeln!(
            out,
            "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            of.state,
            Escaped(of.call.as_deref().unwrap_or("–")),
            duration(of.idle_ns),
            share(of.idle_ns, account.blamed_ns),
            duration(of.least_ns),
            duration(of.most_ns),
            count(of.gaps.count),
            of.gaps.max_ns.map_or_else(|| "–".to_owned(), duration),
            Escaped(waited.as_deref().unwrap_or("–")),
        )?;
    }
    writeln!(out, "</table>")?;
    overlap(out, &bubbles.overlap)?;
    if let Some(led) = launcher.led_ratio {
        writeln!(
            out,
            "<p class=\"note\">That thread was on a CPU just before {} of {} starts of the GPU. When within a sample the GPU \
             was idle is not known: at least and at most say how far that matters.</p>",
            percent(led),
            count(launcher.starts)
        )?;
    }
    writeln!(out, "</section>")
}

fn overlap(out: &mut String, overlap: &Overlap) -> fmt::Result {
    let parts = [
        ("o-both", "GPU active, thread on a CPU", overlap.both_ns),
        ("o-gpu", "GPU alone", overlap.gpu_only_ns),
        ("o-cpu", "thread alone", overlap.cpu_only_ns),
        ("o-neither", "neither", overlap.neither_ns),
    ];
    let all = overlap.total_ns();
    bar(out, parts.iter().map(|(class, what, ns)| ((*class).to_owned(), (*what).to_owned(), *ns)))?;
    write!(out, "<p class=\"legend note\">")?;
    for (class, what, ns) in parts {
        write!(
            out,
            "<span><svg width=\"10\" height=\"10\"><rect class=\"{class}\" width=\"10\" height=\"10\"/></svg>{what} {}</span>",
            share(ns, all)
        )?;
    }
    writeln!(out, "</p>")
}

/// Parts of a whole, side by side: class, title and size of each.
fn bar(out: &mut String, parts: impl Iterator<Item = (String, String, u64)>) -> fmt::Result {
    let parts: Vec<_> = parts.collect();
    let all = parts.iter().map(|(_, _, ns)| ns).sum::<u64>().max(1) as f64;
    write!(
        out,
        "<svg class=\"drawing\" viewBox=\"0 0 {WIDTH:.0} 18\" role=\"img\" aria-label=\"shares of time\">"
    )?;
    let mut x = 0.0;
    for (class, title, ns) in parts {
        let width = ns as f64 / all * WIDTH;
        write!(
            out,
            "<rect class=\"{class}\" x=\"{x:.1}\" width=\"{width:.1}\" height=\"14\"><title>{} {}</title></rect>",
            Escaped(&title),
            duration(ns)
        )?;
        x += width;
    }
    writeln!(out, "</svg>")
}
