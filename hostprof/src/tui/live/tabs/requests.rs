//! Requests, by who saw them, and the engines that serve them.

use std::borrow::Cow;

use ratatui::{Frame, layout::Rect};

use super::{
    super::{
        View,
        list::{Cell, Column, Sheet, SortKey, Width},
    },
    ListId,
    parts::{self, key, latency, maybe, missing_lines, name, text, word},
};
use crate::{
    humane::{count, printable, rate},
    lengths::Latency,
    live::{Picture, Requests},
};

const REQUEST: &str = "request (hostprof load, probe http)";
const TOKEN: &str = "token (hostprof load, probe http)";
const BOTH: &str = "request, token (hostprof load, probe http)";

pub static SOURCES: Sheet<Requests> = Sheet {
    title: "requests",
    columns: &[
        Column {
            title: "seen by",
            width: Width::Words(16),
            priority: 0,
            cell: |row, _| name(&row.source),
            key: |row| word(&row.source),
            help: "who saw the requests: the client that made them, or the server's sockets",
            source: REQUEST,
        },
        Column {
            title: "in flight",
            width: Width::Number(6),
            priority: 0,
            cell: |row, _| maybe(row.in_flight, count),
            key: |row| key(row.in_flight),
            help: "requests that have arrived and have not ended, at the window's end; - where a request is told at \
                   its end only",
            source: REQUEST,
        },
        Column {
            title: "ended/s",
            width: Width::Number(6),
            priority: 0,
            cell: |row, context| text(rate(row.ended as f64 / context.seconds)),
            key: |row| SortKey::Number(row.ended as f64),
            help: "requests whose last token came in the window, in a second",
            source: REQUEST,
        },
        Column {
            title: "failed/s",
            width: Width::Number(6),
            priority: 0,
            cell: |row, context| match row.failed {
                0 => text("0"),
                failed => Cell::Warn(rate(failed as f64 / context.seconds)),
            },
            key: |row| SortKey::Number(row.failed as f64),
            help: "of those, the ones that failed",
            source: REQUEST,
        },
        Column {
            title: "tokens/s",
            width: Width::Number(6),
            priority: 0,
            cell: |row, context| text(rate(row.tokens as f64 / context.seconds)),
            key: |row| SortKey::Number(row.tokens as f64),
            help: "tokens of all requests in a second; chunks, where the source sees no tokens",
            source: TOKEN,
        },
    ],
    order: None,
    id: |row| row.source.clone(),
    text: |row| row.source.clone(),
    rows: |picture| Cow::Borrowed(&picture.requests),
    empty: "nobody looks at requests",
};

/// One distribution of one source.
#[derive(Clone, Debug)]
pub struct Distribution {
    source: String,
    what: &'static str,
    latency: Latency,
}

/// A column of a length.
macro_rules! length_column {
    ($title:literal, $priority:literal, $field:ident, $help:literal) => {
        Column {
            title: $title,
            width: Width::Number(8),
            priority: $priority,
            cell: |row, _| latency(row.latency.$field),
            key: |row| key(row.latency.$field),
            help: $help,
            source: BOTH,
        }
    };
}

pub static LATENCIES: Sheet<Distribution> = Sheet {
    title: "latencies",
    columns: &[
        Column {
            title: "seen by",
            width: Width::Words(16),
            priority: 0,
            cell: |row, _| text(printable(&row.source)),
            key: |row| word(&row.source),
            help: "who saw the requests: the client that made them, or the server's sockets",
            source: BOTH,
        },
        Column {
            title: "of",
            width: Width::Words(6),
            priority: 0,
            cell: |row, _| text(row.what),
            key: |row| word(row.what),
            help: "TTFT: arrival to first token. ITL: gaps between successive tokens. e2e: arrival to last token",
            source: BOTH,
        },
        Column {
            title: "count",
            width: Width::Number(9),
            priority: 0,
            cell: |row, _| text(count(row.latency.count)),
            key: |row| SortKey::Number(row.latency.count as f64),
            help: "how many ended in the window",
            source: BOTH,
        },
        length_column!("p50", 0, p50_ns, "half were at most this long"),
        length_column!("p95", 0, p95_ns, "95 % were at most this long"),
        length_column!("p99", 0, p99_ns, "99 % were at most this long"),
        length_column!("max", 0, max_ns, "the longest"),
    ],
    order: None,
    id: |row| format!("{} {}", row.source, row.what),
    text: |row| format!("{} {}", row.source, row.what),
    rows: |picture| Cow::Owned(distributions(picture)),
    empty: "nobody looks at requests",
};

fn distributions(picture: &Picture) -> Vec<Distribution> {
    let of = |source: &Requests| {
        [("TTFT", &source.ttft), ("ITL", &source.itl), ("e2e", &source.e2e)].map(|(what, latency)| {
            Distribution { source: source.source.clone(), what, latency: latency.clone() }
        })
    };
    picture.requests.iter().flat_map(of).collect()
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let Some(picture) = view.picture.as_ref() else { return };
    let lines = missing_lines(picture.requests_missing.as_slice(), view.palette);
    let top = parts::paragraph(frame, area, lines);
    let (sources, engines) = (picture.requests.len() as u16, picture.engines.len() as u16);
    let lists = [(ListId::Sources, sources), (ListId::Latencies, 3 * sources), (ListId::Engines, engines)];
    let lists: Vec<_> = lists.into_iter().filter(|(_, rows)| *rows > 0).collect();
    if lists.is_empty() {
        return;
    }
    let rest = Rect { y: area.y + top, height: area.height - top, ..area };
    view.draw_stacked(frame, rest, &lists);
}
