//! Calls: system calls by name, and ioctls on GPU devices by request.

use std::borrow::Cow;

use ratatui::{Frame, layout::Rect};

use super::{
    super::{
        View,
        list::{Cell, Column, Sheet, SortKey, Width},
    },
    ListId,
    parts::{self, NONE, key, latency, maybe, missing_lines, name, ratio, text, word},
};
use crate::{
    humane::{rate, share},
    live::Call,
};

const SPANS: &str =
    "syscall, gpu_ioctl (probes syscall, ioctl); histogram where only counted (syscall_count)";

/// Of calls that returned in the window.
pub const COLUMNS: &[Column<Call>] = &[
    Column {
        title: "call",
        width: Width::Words(26),
        priority: 0,
        cell: |row, _| name(&row.name),
        key: |row| word(&row.name),
        help: "the system call; of an ioctl on a GPU's device the request's name, or its number where it has none",
        source: SPANS,
    },
    Column {
        title: "device",
        width: Width::Words(12),
        priority: 6,
        cell: |row, _| maybe(row.device.as_deref(), crate::humane::printable),
        key: |row| word(row.device.as_deref().unwrap_or_default()),
        help: "the device of an ioctl on a GPU",
        source: SPANS,
    },
    Column {
        title: "calls/s",
        width: Width::Number(6),
        priority: 0,
        cell: |row, context| text(rate(row.latency.count as f64 / context.seconds)),
        key: |row| SortKey::Number(row.latency.count as f64),
        help: "calls that returned, in a second",
        source: SPANS,
    },
    Column {
        title: "p50",
        width: Width::Number(7),
        priority: 1,
        cell: |row, _| latency(row.latency.p50_ns),
        key: |row| key(row.latency.p50_ns),
        help: "half of the calls took at most this long",
        source: SPANS,
    },
    Column {
        title: "p99",
        width: Width::Number(7),
        priority: 0,
        cell: |row, _| latency(row.latency.p99_ns),
        key: |row| key(row.latency.p99_ns),
        help: "99 % of the calls took at most this long",
        source: SPANS,
    },
    Column {
        title: "max",
        width: Width::Number(7),
        priority: 2,
        cell: |row, _| latency(row.latency.max_ns),
        key: |row| key(row.latency.max_ns),
        help: "the longest call",
        source: SPANS,
    },
    Column {
        title: "time",
        width: Width::Number(6),
        priority: 0,
        cell: |row, context| text(share(row.total_ns, context.picture.all.wall_ns)),
        key: |row| SortKey::Number(row.total_ns as f64),
        help: "share of all threads' time that was spent in such calls; of a longer call the part in the window",
        source: SPANS,
    },
    Column {
        title: "off CPU",
        width: Width::Number(6),
        priority: 3,
        cell: |row, _| maybe(row.off_cpu_ns, |ns| share(ns, row.total_ns)),
        key: |row| SortKey::maybe(row.off_cpu_ns.map(|ns| ratio(ns, row.total_ns))),
        help: "share of the time in such calls that the thread was off the CPU; - where calls are only counted",
        source: SPANS,
    },
    Column {
        title: "errors/s",
        width: Width::Number(6),
        priority: 4,
        cell: |row, context| match row.errors {
            None => text(NONE),
            Some(0) => text("0"),
            Some(errors) => Cell::Warn(rate(errors as f64 / context.seconds)),
        },
        key: |row| key(row.errors),
        help: "calls that returned an error, in a second (EAGAIN is one); - where calls are only counted",
        source: SPANS,
    },
];

/// What tells a call from others.
pub fn id(call: &Call) -> String {
    format!("{} {}", call.name, call.device.as_deref().unwrap_or_default())
}

pub static CALLS: Sheet<Call> = Sheet {
    title: "system calls and GPU ioctls",
    columns: COLUMNS,
    order: Some(6),
    id,
    text: id,
    rows: |picture| Cow::Borrowed(&picture.calls),
    empty: "no call that is measured returned in this window",
};

pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let Some(picture) = view.picture.as_ref() else { return };
    let lines = missing_lines(&picture.calls_missing, view.palette);
    let height = parts::rows(&lines, area.width).min(area.height / 2);
    let used = parts::paragraph(frame, Rect { y: area.bottom() - height, height, ..area }, lines);
    let list = Rect { height: area.height - used, ..area };
    view.draw_list(frame, list, ListId::Calls, 1);
}
