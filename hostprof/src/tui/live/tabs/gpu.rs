//! GPUs, as NVML samples them.

use std::borrow::Cow;

use ratatui::{Frame, layout::Rect};

use super::{
    super::{
        View,
        list::{Cell, Column, Sheet, SortKey, Width},
    },
    ListId,
    parts::{self, NONE, key, maybe, missing_lines, name, ratio, text, word},
};
use crate::{
    humane::{bytes, percent, printable, share},
    live::Gpu,
};

const NVML: &str = "gpu_sample (NVML), the last sample of the window";
const GPM: &str = "gpu_sample (NVML's GPM, from Hopper on), the last sample of the window";

/// A column of a share.
macro_rules! ratio_column {
    ($title:literal, $priority:literal, $field:ident, $help:literal, $source:expr) => {
        Column {
            title: $title,
            width: Width::Number(6),
            priority: $priority,
            cell: |row, _| maybe(row.$field, percent),
            key: |row| SortKey::maybe(row.$field),
            help: $help,
            source: $source,
        }
    };
}

pub static GPUS: Sheet<Gpu> = Sheet {
    title: "GPUs",
    columns: &[
        Column {
            title: "GPU",
            width: Width::Number(3),
            priority: 0,
            cell: |row, _| text(numbered(row)),
            key: |row| SortKey::Number(row.index.into()),
            help: "its number, as NVML counts; of one that is divided (MIG), with the instance's",
            source: NVML,
        },
        Column {
            title: "name",
            width: Width::Words(21),
            priority: 3,
            cell: |row, _| name(&row.name),
            key: |row| word(&row.name),
            help: "its product's name",
            source: NVML,
        },
        ratio_column!(
            "util",
            0,
            util_ratio,
            "share of time in which any kernel ran on it: not how much of it was used",
            NVML
        ),
        Column {
            title: "over the window",
            width: Width::Grow(12, 60),
            priority: 1,
            cell: |row, _| Cell::Spark(row.util_history.clone(), 1.0),
            key: |row| {
                let sum: f64 = row.util_history.iter().sum();
                let count = row.util_history.len();
                SortKey::maybe((count > 0).then(|| sum / count as f64))
            },
            help: "util at each sample of the window, from 0 to 100 %; ordered by its mean",
            source: NVML,
        },
        ratio_column!("SM", 2, sm_ratio, "share of its multiprocessors' time with work on them", GPM),
        ratio_column!("tensor", 3, tensor_ratio, "share of time in which its tensor cores were active", GPM),
        ratio_column!("DRAM", 3, dram_ratio, "share of its memory's bandwidth in use", GPM),
        Column {
            title: "memory",
            width: Width::Number(8),
            priority: 1,
            cell: |row, _| maybe(row.memory_used_bytes, bytes),
            key: |row| key(row.memory_used_bytes),
            help: "its memory in use, by any process",
            source: NVML,
        },
        Column {
            title: "of",
            width: Width::Number(8),
            priority: 4,
            cell: |row, _| maybe(row.memory_total_bytes, bytes),
            key: |row| key(row.memory_total_bytes),
            help: "its memory",
            source: NVML,
        },
        Column {
            title: "used",
            width: Width::Number(6),
            priority: 6,
            cell: |row, _| {
                let parts = row.memory_used_bytes.zip(row.memory_total_bytes);
                maybe(parts, |(used, total)| share(used, total))
            },
            key: |row| {
                let parts = row.memory_used_bytes.zip(row.memory_total_bytes);
                SortKey::maybe(parts.map(|(used, total)| ratio(used, total)))
            },
            help: "the part of its memory in use",
            source: NVML,
        },
        Column {
            title: "throttled by",
            width: Width::Words(16),
            priority: 2,
            cell: |row, _| throttled(row),
            key: |row| word(row.throttle_reasons.as_deref().unwrap_or_default()),
            help: "why its clocks are lower than they could be; none for no reason, gpu_idle where it has nothing to do",
            source: NVML,
        },
        Column {
            title: "power",
            width: Width::Number(5),
            priority: 3,
            cell: |row, _| maybe(row.power_mw, |mw| format!("{:.0} W", mw as f64 / 1e3)),
            key: |row| key(row.power_mw),
            help: "electric power, watts",
            source: NVML,
        },
        Column {
            title: "SM clock",
            width: Width::Number(8),
            priority: 5,
            cell: |row, _| maybe(row.sm_clock_mhz, |mhz| format!("{mhz} MHz")),
            key: |row| SortKey::maybe(row.sm_clock_mhz.map(f64::from)),
            help: "its multiprocessors' clock",
            source: NVML,
        },
        Column {
            title: "mem clock",
            width: Width::Number(8),
            priority: 8,
            cell: |row, _| maybe(row.mem_clock_mhz, |mhz| format!("{mhz} MHz")),
            key: |row| SortKey::maybe(row.mem_clock_mhz.map(f64::from)),
            help: "its memory's clock",
            source: NVML,
        },
        Column {
            title: "temp",
            width: Width::Number(5),
            priority: 7,
            cell: |row, _| maybe(row.temperature_c, |celsius| format!("{celsius} °C")),
            key: |row| SortKey::maybe(row.temperature_c.map(f64::from)),
            help: "its temperature",
            source: NVML,
        },
    ],
    order: None,
    id: numbered,
    text: |row| format!("{} {}", numbered(row), row.name),
    rows: |picture| Cow::Borrowed(&picture.gpus),
    empty: "no GPU is measured",
};

fn numbered(row: &Gpu) -> String {
    match &row.instance {
        Some(instance) => format!("{}:{instance}", row.index),
        None => row.index.to_string(),
    }
}

/// One that merely has nothing to do is not throttled.
fn throttled(row: &Gpu) -> Cell {
    match row.throttle_reasons.as_deref() {
        None => text(NONE),
        Some("") => text("none"),
        Some("gpu_idle") => text("gpu_idle"),
        Some(reasons) => Cell::Warn(printable(reasons)),
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let Some(picture) = view.picture.as_ref() else { return };
    let lines = missing_lines(picture.gpus_missing.as_slice(), view.palette);
    let top = parts::paragraph(frame, area, lines);
    let rest = Rect { y: area.y + top, height: area.height - top, ..area };
    if picture.gpus.is_empty() {
        if picture.gpus_missing.is_none() {
            frame.buffer_mut().set_string(rest.x, rest.y, NONE, view.palette.dim());
        }
        return;
    }
    let row_height = ((rest.height.saturating_sub(2)) / picture.gpus.len() as u16).clamp(1, 8);
    view.draw_list(frame, rest, ListId::Gpus, row_height);
}
