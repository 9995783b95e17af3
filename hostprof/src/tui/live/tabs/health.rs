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
    parts::{self, NONE, name, pair, pairs, ratio, text, word},
};
use crate::{
    humane::{bytes, count, duration, percent, printable, rate, share},
    live::{Mode, Picture, ProbeHealth},
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
        help: "the run folder, what has been written, bytes written in a second, and whether it stays when the view is \
               left",
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
    let whole = whole_reason(picture, view, area.width);
    let below = parts::rows(&whole, area.width).min(area.height - top);
    let height = (picture.health.probes.len() as u16 + 2).min(area.height - top - below);
    let at = |y: u16, height: u16| Rect { y: area.y + y, height, ..area };
    parts::paragraph(frame, at(top + height, below), whole);
    view.draw_list(frame, at(top, height), ListId::Probes, 1);
}

/// Left of the reasons.
const BEFORE_WHY: usize = 46;

/// Of the probe under the cursor, where the list has no room for its reason.
fn whole_reason(picture: &Picture, view: &View, width: u16) -> Vec<Line<'static>> {
    let selected = view.lists[ListId::Probes as usize].selected.as_ref();
    let probe = picture.health.probes.iter().find(|probe| Some(&probe.name) == selected);
    let cut = |probe: &&ProbeHealth| probe.reason.chars().count() + BEFORE_WHY > usize::from(width);
    probe
        .filter(cut)
        .map(|probe| {
            vec![Line::default(), Line::from(pair(&probe.name, printable(&probe.reason), view.palette))]
        })
        .unwrap_or_default()
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
            pair(if recorder.kept { "recording " } else { "temporary " }, printable(&recorder.run), palette),
            pair("for", duration(recorder.elapsed_ns), palette),
            pair("written", bytes(recorder.bytes), palette),
            vec![Span::raw(format!("{}/s", bytes((recorder.window_bytes as f64 / seconds).round() as u64)))],
            vec![Span::styled(fate(picture, recorder.kept), palette.dim())],
        ],
        None => vec![pair("recording ", NONE, palette)],
    };
    let mut lines = pairs(own, width);
    lines.push(Line::from(rings));
    lines.extend(pairs(recording, width));
    lines.extend(pairs(ceiling(picture, palette), width));
    lines
}

/// What becomes of the run.
fn fate(picture: &Picture, kept: bool) -> &'static str {
    match (&picture.mode, kept) {
        (_, true) => "kept",
        (Mode::Live, false) => "removed when the view is left (r keeps it)",
        (Mode::Replay(_), false) => "removed when the view is left (w keeps it)",
    }
}

fn ceiling(picture: &Picture, palette: Palette) -> Vec<Vec<Span<'static>>> {
    let ceiling = &picture.health.ceiling;
    let limit = ceiling
        .limit_ratio
        .map_or_else(|| "none is set".to_owned(), |limit| format!("{} of the target's CPU", percent(limit)));
    let mut parts = vec![pair("ceiling   ", limit, palette)];
    parts.extend(ceiling.cost_ratio.map(|cost| pair("hostprof costs", percent(cost), palette)));
    if !ceiling.shed.is_empty() {
        let shed = format!("to stay below: {}", printable(&ceiling.shed));
        parts.push(vec![Span::styled(shed, palette.warn())]);
    }
    parts
}
