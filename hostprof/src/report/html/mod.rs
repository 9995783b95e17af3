//! The report as one HTML file: findings, drawings of threads and requests on one time axis, and the text. It names no
//! other file and runs no script; all that comes from a recording is escaped.

mod bubbles;
mod escape;
mod svg;

use std::fmt::{self, Write};

use self::escape::Escaped;
use super::{Detail, Report, render};
use crate::{
    humane::{duration, share},
    story::{Finding, Group, RULES, Story, Told},
};

/// Nothing may be loaded, whatever a name holds.
const HEAD: &str = "<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
                    style-src 'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width\">\n";
const STYLE: &str = include_str!("style.css");

/// Sets the report as a page.
pub fn html(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = page(&mut out, report);
    out
}

fn page(out: &mut String, report: &Report) -> fmt::Result {
    let run = &report.run;
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n{HEAD}<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>",
        Escaped(&run.name)
    )?;
    writeln!(
        out,
        "<header><h1>{}</h1><p>{} · {} · {} · {}, Linux {}</p></header>",
        Escaped(&run.name),
        Escaped(&run.target),
        Escaped(run.engine.as_deref().unwrap_or("no known engine")),
        Escaped(&run.started),
        Escaped(&run.host),
        Escaped(&run.kernel),
    )?;
    quality(out, report)?;
    if let Some(story) = &report.story {
        findings(out, story)?;
        writeln!(out, "<section><h2>Threads and requests</h2>")?;
        svg::write(out, &story.timeline, report, &[])?;
        writeln!(out, "</section>")?;
        story.told.iter().try_for_each(|told| request(out, told, report))?;
        groups(out, "Gaps between tokens, by the place of their token", &story.latencies.by_position)?;
        groups(out, "Gaps between tokens, by requests in flight", &story.latencies.by_in_flight)?;
    } else {
        writeln!(out, "<section><p>No requests were recorded: where they waited is not told.</p></section>")?;
    }
    report.bubbles.iter().try_for_each(|of| bubbles::write(out, of))?;
    let text = render(report, Detail { threads: 100, others: 30 });
    writeln!(out, "<section><h2>Report</h2>\n<pre>{}</pre></section>\n</body>\n</html>", Escaped(&text))
}

fn quality(out: &mut String, report: &Report) -> fmt::Result {
    let quality = &report.quality;
    let lost = if quality.lossless {
        "nothing lost"
    } else {
        "records were lost: windows that hold them are withheld"
    };
    let own =
        quality.own_cpu_ns.map(|ns| format!(" · hostprof itself {} of a CPU", share(ns, report.wall_ns)));
    writeln!(
        out,
        "<p class=\"quality\">{} recorded · {lost}{} · attribution, not causality</p>",
        duration(report.wall_ns),
        own.unwrap_or_default(),
    )
}

fn findings(out: &mut String, story: &Story) -> fmt::Result {
    writeln!(out, "<section><h2>Findings</h2>")?;
    for finding in &story.findings {
        one_finding(out, finding)?;
    }
    if story.findings.is_empty() {
        let looked: Vec<&str> = RULES.iter().map(|rule| rule.word).collect();
        writeln!(out, "<p class=\"none\">No offender found. Looked for: {}.</p>", looked.join(", "))?;
    }
    let compared = story.compared.join(" · ");
    writeln!(out, "<p class=\"note\">Compared {}.</p></section>", Escaped(&compared))
}

fn one_finding(out: &mut String, finding: &Finding) -> fmt::Result {
    writeln!(
        out,
        "<article><h3>{} <code>{}</code></h3><p>{}: {} of slow windows’ time, {} of typical windows’.</p><ul>",
        Escaped(finding.title),
        Escaped(finding.cause),
        Escaped(finding.windows),
        share(finding.slow_ns, finding.slow_length_ns),
        share(finding.typical_ns, finding.typical_length_ns),
    )?;
    for line in &finding.evidence {
        writeln!(out, "<li>{}</li>", Escaped(line))?;
    }
    writeln!(out, "</ul></article>")
}

fn request(out: &mut String, told: &Told, report: &Report) -> fmt::Result {
    let length = told.end_mono_ns.saturating_sub(told.request.arrival_mono_ns);
    writeln!(
        out,
        "<section><h2>The {} request, {}: {}</h2>",
        told.which,
        Escaped(&told.request.request_id),
        duration(length)
    )?;
    let phases: Vec<svg::Phase> = told
        .phases
        .iter()
        .map(|phase| svg::Phase {
            name: phase.account.kind,
            start_ns: phase.account.start_mono_ns,
            end_ns: phase.account.end_mono_ns,
        })
        .collect();
    svg::write(out, &told.timeline, report, &phases)?;
    if !told.observations.is_empty() {
        writeln!(out, "<ul>")?;
        told.observations.iter().try_for_each(|line| writeln!(out, "<li>{}</li>", Escaped(line)))?;
        writeln!(out, "</ul>")?;
    }
    writeln!(out, "</section>")
}

fn groups(out: &mut String, title: &str, groups: &[Group]) -> fmt::Result {
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<section><h2>{title}</h2><table><tr><th></th><th>gaps</th><th>p50</th><th>p90</th><th>p95</th><th>p99</th>\
         <th>max</th><th></th></tr>"
    )?;
    let most = groups.iter().filter_map(|group| group.itl.p99_ns).max().unwrap_or(1).max(1);
    for group in groups {
        let itl = &group.itl;
        let to = if group.from == group.to { String::new() } else { format!("–{}", group.to) };
        write!(out, "<tr><th>{}{to}</th><td>{}</td>", group.from, itl.count)?;
        for ns in [itl.p50_ns, itl.p90_ns, itl.p95_ns, itl.p99_ns, itl.max_ns] {
            write!(out, "<td>{}</td>", ns.map_or_else(|| "–".to_owned(), duration))?;
        }
        let wide = |ns: Option<u64>| ns.unwrap_or(0) as f64 * 300.0 / most as f64;
        writeln!(
            out,
            "<td><svg width=\"300\" height=\"10\" role=\"img\" aria-label=\"median and 99th percentile\">\
             <rect class=\"p99\" width=\"{:.1}\" height=\"10\"/><rect class=\"p50\" width=\"{:.1}\" height=\"10\"/></svg></td></tr>",
            wide(itl.p99_ns),
            wide(itl.p50_ns),
        )?;
    }
    writeln!(out, "</table><p class=\"note\">Dark to the median, light to the 99th percentile.</p></section>")
}
