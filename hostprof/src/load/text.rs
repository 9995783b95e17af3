//! A summary as people read it.

use std::fmt::Write as _;

use super::{stats::Distribution, summary::Summary};
use crate::humane::{bytes, count, duration, plural, printable, scaled_count, share};

/// The summary, some lines of text.
pub fn render(summary: &Summary) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{} · {} · {}", summary.url, printable(&summary.model), summary.load);
    let _ = write!(
        text,
        "{} in {}: {} succeeded, {} failed",
        plural(summary.requests, "request"),
        duration(summary.length_ns),
        count(summary.succeeded),
        count(summary.failed),
    );
    for (number, what) in [(summary.cancelled, "cancelled"), (summary.retries, "retries")] {
        if number > 0 {
            let _ = write!(text, ", {} {what}", count(number));
        }
    }
    text.push('\n');
    rates(summary, &mut text);
    text.push('\n');
    table(summary, &mut text);
    if let Some(goodput) = &summary.goodput {
        let targets: Vec<String> =
            goodput.targets.iter().map(|(name, ns)| format!("{name} ≤ {}", duration(*ns))).collect();
        let _ = writeln!(
            text,
            "\ngoodput: {}/s, {} of requests ({})",
            scaled(goodput.per_s),
            share(goodput.good, summary.requests - summary.cancelled),
            targets.join(", "),
        );
    }
    if !summary.errors.is_empty() {
        text.push_str("\nerrors\n");
        for errors in &summary.errors {
            let first = printable(&errors.failures.first);
            let _ = writeln!(text, "  {:<10}{:>9}  {first}", errors.kind, count(errors.failures.count));
        }
    }
    text.push('\n');
    client(summary, &mut text);
    for note in &summary.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn rates(summary: &Summary, text: &mut String) {
    let _ = write!(text, "{} requests/s", scaled(summary.requests_per_s));
    if let Some(wanted) = summary.wanted_rate {
        let _ = write!(text, " (asked for {}/s)", scaled(wanted));
    }
    for (rate, what) in [(summary.output_tokens_per_s, "output"), (summary.input_tokens_per_s, "input")] {
        if let Some(rate) = rate {
            let _ = write!(text, " · {} {what} tokens/s", scaled(rate));
        }
    }
    if let Some(ratio) = summary.cached_ratio {
        let _ = write!(text, " · {:.1}% of input tokens cached", ratio * 100.0);
    }
    text.push('\n');
}

/// A rate: small ones with their fraction.
fn scaled(rate: f64) -> String {
    if rate < 99.95 { format!("{rate:.2}") } else { scaled_count(rate) }
}

fn table(summary: &Summary, text: &mut String) {
    let rows = [("TTFT", summary.ttft), ("ITL", summary.itl), ("TPOT", summary.tpot), ("e2e", summary.e2e)];
    if rows.iter().all(|(_, distribution)| distribution.is_none()) {
        text.push_str("nothing was measured: no request succeeded\n");
        return;
    }
    let _ = writeln!(
        text,
        "{:<6}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>12}",
        "", "p50", "p90", "p99", "p99.9", "max", "mean", "values"
    );
    for (name, distribution) in rows {
        let _ = writeln!(
            text,
            "{name:<6}{}",
            distribution.map_or_else(|| format!("{:>10}", "–"), |of| line(&of))
        );
    }
}

fn line(of: &Distribution) -> String {
    let mut text = String::new();
    for ns in [of.p50_ns, of.p90_ns, of.p99_ns, of.p999_ns, of.max_ns, of.mean_ns as u64] {
        let _ = write!(text, "{:>10}", duration(ns));
    }
    let _ = write!(text, "{:>12}", count(of.count));
    text
}

fn client(summary: &Summary, text: &mut String) {
    let client = &summary.client;
    let _ = write!(text, "client: ");
    if let (Some(late), Some(delay)) = (client.start_late, client.delay) {
        let _ = write!(
            text,
            "started {} late at p99, own delay {} at p99 and {} at most · ",
            duration(late.p99_ns),
            duration(delay.p99_ns),
            duration(delay.max_ns),
        );
    }
    let _ = writeln!(
        text,
        "{} · CPU {} · {}",
        plural(client.connections, "connection"),
        duration(client.cpu_ns),
        bytes(client.max_rss_bytes),
    );
    if client.was_slow {
        text.push_str(
            "The client, not the server, was slow in part of this: the latencies above hold its delay. Give hostprof a \
             CPU of its own, or load less.\n",
        );
    }
}
