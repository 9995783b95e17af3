//! Health: what hostprof itself costs, loses and cannot see.

use std::borrow::Cow;

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::{
    super::{
        View, bar, context,
        list::{Cell, Column, Metric, Sheet, SortKey, Width},
        palette::Palette,
    },
    ListId,
    parts::{NONE, name, pair, pairs, ratio, text, word},
};
use crate::{
    humane::{bytes, count, duration, percent, printable, rate, share},
    live::{Picture, ProbeHealth},
};

const SELF: &str = "hostprof's own /proc/self, config.json of a recording";

pub const METRICS: &[Metric] = &[
    Metric {
        name: "CPU",
        help: "hostprof's own CPU time, of one CPU; of a recording its mean",
        source: SELF,
    },
    Metric { name: "memory", help: "hostprof's own resident set; of a recording the greatest", source: SELF },
    Metric {
        name: "records",
        help: "rows of all tables that ended in the window, in a second",
        source: "what hostprof decodes, or the recording's tables",
    },
    Metric {
        name: "rings",
        help: "bytes that the kernel half has handed over and hostprof has not read yet, and what there is room for; \
               full rings drop records",
        source: "the ring buffers, at the last look",
    },
    Metric {
        name: "recording",
        help: "the run folder, what has been written, and bytes written in a second",
        source: "the files being written",
    },
    Metric {
        name: "ceiling",
        help: "what hostprof may cost of the target's CPU, what it costs, and what it leaves out to stay below",
        source: "hostprof's CPU time and the target's",
    },
];

pub static PROBES: Sheet<ProbeHealth> = Sheet {
    title: "probes",
    columns: &[
        Column {
            title: "probe",
            width: Width::Words(14),
            priority: 0,
            cell: |row, _| name(&row.name),
            key: |row| word(&row.name),
            help: "the probe, as --probe has it",
            source: "the list of probes",
        },
        Column {
            title: "is",
            width: Width::Words(3),
            priority: 0,
            cell: |row, _| text(if row.on { "on" } else { "off" }),
            key: |row| SortKey::Number(f64::from(u8::from(row.on))),
            help: "whether it runs",
            source: "what could be attached",
        },
        Column {
            title: "dropped/s",
            width: Width::Number(6),
            priority: 0,
            cell: |row, context| drops(row.dropped, rate(row.dropped as f64 / context.seconds)),
            key: |row| SortKey::Number(row.dropped as f64),
            help: "records lost in a second, of loss intervals that overlap the window: numbers of this window are \
                   too small",
            source: "loss (counters of the kernel half)",
        },
        Column {
            title: "in all",
            width: Width::Number(7),
            priority: 0,
            cell: |row, _| drops(row.dropped_in_all, count(row.dropped_in_all)),
            key: |row| SortKey::Number(row.dropped_in_all as f64),
            help: "records lost since the beginning",
            source: "loss (counters of the kernel half)",
        },
        Column {
            title: "why",
            width: Width::Grow(20, 100),
            priority: 0,
            cell: |row, _| text(printable(&row.reason)),
            key: |row| word(&row.reason),
            help: "why it is off, or what it cannot do",
            source: "what the kernel refused",
        },
    ],
    order: None,
    id: |row| row.name.clone(),
    text: |row| format!("{} {} {}", row.name, if row.on { "on" } else { "off" }, row.reason),
    rows: |picture| Cow::Borrowed(&picture.health.probes),
    empty: "no probe is known",
};

fn drops(dropped: u64, shown: String) -> Cell {
    if dropped > 0 { Cell::Warn(shown) } else { Cell::Text(shown) }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let Some(picture) = view.picture.as_ref() else { return };
    let lines = numbers(picture, view.palette, area.width);
    for (at, line) in (0..area.height).zip(&lines) {
        frame.buffer_mut().set_line(area.x, area.y + at, line, area.width);
    }
    let top = (lines.len() as u16 + 1).min(area.height);
    view.draw_list(frame, Rect { y: area.y + top, height: area.height - top, ..area }, ListId::Probes, 1);
}

fn numbers(picture: &Picture, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let health = &picture.health;
    let seconds = context(picture, palette).seconds;
    let cpu =
        health.own_cpu_ns.map_or_else(|| NONE.to_owned(), |ns| share(ns, (seconds * 1e9).round() as u64));
    let own = vec![
        pair("hostprof   CPU", cpu, palette),
        pair("memory", health.own_rss_bytes.map_or_else(|| NONE.to_owned(), bytes), palette),
        pair("records", format!("{}/s", rate(health.records as f64 / seconds)), palette),
    ];
    let rings = match health.ring_used_bytes {
        Some(used) if health.ring_bytes > 0 => {
            let full = ratio(used, health.ring_bytes);
            let style = if full >= 0.5 { palette.warn() } else { Style::new() };
            vec![
                Span::styled("rings      ", palette.dim()),
                Span::styled(format!("{} {}", bar::gauge(full, 20), share(used, health.ring_bytes)), style),
                Span::styled(" of ", palette.dim()),
                Span::raw(bytes(health.ring_bytes)),
            ]
        }
        _ => pair("rings      ", "a recording has none", palette),
    };
    let recording = match &health.recorder {
        Some(recorder) => vec![
            pair("recording ", printable(&recorder.run), palette),
            pair("for", duration(recorder.elapsed_ns), palette),
            pair("written", bytes(recorder.bytes), palette),
            vec![Span::raw(format!("{}/s", bytes((recorder.window_bytes as f64 / seconds).round() as u64)))],
        ],
        None => vec![pair("recording ", "nothing is written (r starts one)", palette)],
    };
    vec![pairs(own, width, 4), Line::from(rings), pairs(recording, width, 4), ceiling(picture, palette)]
}

fn ceiling(picture: &Picture, palette: Palette) -> Line<'static> {
    let ceiling = &picture.health.ceiling;
    let mut spans = vec![Span::styled("ceiling    ", palette.dim())];
    let cost = ceiling.cost_ratio.map(|cost| format!("hostprof costs {} of the target's CPU", percent(cost)));
    match ceiling.limit_ratio {
        None => spans.push(Span::raw("none is set")),
        Some(limit) => spans.push(Span::raw(format!("{} of the target's CPU", percent(limit)))),
    }
    spans.extend(cost.map(|cost| Span::raw(format!(", {cost}"))));
    if !ceiling.shed.is_empty() {
        spans.push(Span::styled(
            format!("  left out to stay below: {}", printable(&ceiling.shed)),
            palette.warn(),
        ));
    }
    Line::from(spans)
}
