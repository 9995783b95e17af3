//! Memory: what processes hold, what they do to their address space, and what their cgroups allow.

use std::borrow::Cow;

use ratatui::{Frame, layout::Rect, text::Line};

use super::{
    super::{
        View, context,
        list::{Cell, Column, Metric, Sheet, SortKey, Width},
    },
    ListId,
    calls::{self, COLUMNS},
    parts::{self, NONE, key, maybe, missing_lines, name, pair, pairs, ratio, text, word},
};
use crate::{
    humane::{bytes, count, duration, rate, share},
    live::{Call, CgroupMemory, ProcessMemory},
};

const PROCESS: &str = "process_sample (/proc/PID/status), the last sample";
const CGROUP: &str = "cgroup_sample (memory.*, cpu.*), the last sample";
const EVENTS: &str =
    "cgroup_sample (memory.events, cpu.stat), between the samples nearest to the window's edges";
const CALL: &str = "syscall (probe memory)";

pub const METRICS: &[Metric] = &[
    Metric { name: "mapped", help: "bytes that successful mmap calls mapped, in a second", source: CALL },
    Metric { name: "unmapped", help: "bytes that munmap calls unmapped, in a second", source: CALL },
];

/// A column of bytes of a process.
macro_rules! bytes_column {
    ($title:literal, $priority:literal, $field:ident, $help:literal, $source:expr) => {
        Column {
            title: $title,
            width: Width::Number(8),
            priority: $priority,
            cell: |row, _| maybe(row.$field, bytes),
            key: |row| key(row.$field),
            help: $help,
            source: $source,
        }
    };
}

/// A column of events of a cgroup: any want attention.
macro_rules! events_column {
    ($title:literal, $priority:literal, $field:ident, $help:literal) => {
        Column {
            title: $title,
            width: Width::Number(5),
            priority: $priority,
            cell: |row, _| match row.$field {
                None => text(NONE),
                Some(0) => text("0"),
                Some(events) => Cell::Warn(count(events)),
            },
            key: |row| key(row.$field),
            help: $help,
            source: EVENTS,
        }
    };
}

pub static PROCESSES: Sheet<ProcessMemory> = Sheet {
    title: "processes",
    columns: &[
        Column {
            title: "pid",
            width: Width::Number(7),
            priority: 0,
            cell: |row, _| text(row.tgid.to_string()),
            key: |row| SortKey::Number(row.tgid.0.into()),
            help: "the process's id, as the initial pid namespace has it",
            source: "process_sample",
        },
        Column {
            title: "process",
            width: Width::Words(16),
            priority: 0,
            cell: |row, _| name(&row.comm),
            key: |row| word(&row.comm),
            help: "its main thread's name",
            source: "thread (task_struct)",
        },
        bytes_column!("RSS", 0, rss_bytes, "its pages that are in memory", PROCESS),
        Column {
            title: "RSS over the window",
            width: Width::Grow(12, 40),
            priority: 3,
            cell: |row, _| {
                let values: Vec<f64> = row.rss_history.iter().map(|&bytes| bytes as f64).collect();
                let greatest = values.iter().copied().fold(0.0, f64::max);
                Cell::Spark(values, greatest)
            },
            key: |row| {
                let (first, last) = (row.rss_history.first(), row.rss_history.last());
                SortKey::maybe(first.zip(last).map(|(&first, &last)| last as f64 - first as f64))
            },
            help: "its resident set at each sample of the window, from nought to the greatest; ordered by how much it \
                   grew",
            source: PROCESS,
        },
        bytes_column!(
            "anon",
            2,
            anon_bytes,
            "of these, what belongs to no file: heap, stacks, private copies",
            PROCESS
        ),
        bytes_column!(
            "file",
            2,
            file_bytes,
            "of these, what is mapped from files: programs, and models that are mapped",
            PROCESS
        ),
        bytes_column!("shmem", 4, shmem_bytes, "of these, shared memory", PROCESS),
        bytes_column!("swap", 5, swap_bytes, "what of it is swapped out", PROCESS),
        bytes_column!("peak", 6, peak_bytes, "its greatest resident set", PROCESS),
        Column {
            title: "minor/s",
            width: Width::Number(6),
            priority: 1,
            cell: |row, context| text(rate(row.minor_faults / context.seconds)),
            key: |row| SortKey::Number(row.minor_faults),
            help: "page faults of its threads that needed no disk, in a second",
            source: "thread, process_sample",
        },
        Column {
            title: "major/s",
            width: Width::Number(6),
            priority: 1,
            cell: |row, context| text(rate(row.major_faults / context.seconds)),
            key: |row| SortKey::Number(row.major_faults),
            help: "page faults of its threads that read from a disk, in a second",
            source: "thread, process_sample",
        },
    ],
    order: Some(2),
    id: |row| row.tgid.to_string(),
    text: |row| format!("{} pid:{} ", row.comm, row.tgid),
    rows: |picture| Cow::Borrowed(&picture.memory.processes),
    empty: "no process has been sampled yet",
};

pub static CALLS: Sheet<Call> = Sheet {
    title: "calls of the mmap family",
    columns: COLUMNS,
    order: Some(6),
    id: calls::id,
    text: calls::id,
    rows: |picture| {
        Cow::Borrowed(picture.memory.calls.as_ref().map_or(&[][..], |calls| calls.by_name.as_slice()))
    },
    empty: "none returned in this window",
};

pub static CGROUPS: Sheet<CgroupMemory> = Sheet {
    title: "cgroups",
    columns: &[
        Column {
            title: "cgroup",
            width: Width::Grow(16, 48),
            priority: 0,
            cell: |row, _| name(&row.path),
            key: |row| word(&row.path),
            help: "the cgroup's path",
            source: "cgroup_sample",
        },
        bytes_column!("memory", 0, memory_bytes, "memory that is charged to it", CGROUP),
        bytes_column!(
            "limit",
            0,
            memory_max_bytes,
            "what it may be charged; - where there is no limit",
            CGROUP
        ),
        Column {
            title: "used",
            width: Width::Number(6),
            priority: 1,
            cell: |row, _| {
                let Some((used, limit)) = row.memory_bytes.zip(row.memory_max_bytes) else {
                    return text(NONE);
                };
                // Reclaim begins to hurt before the limit is reached.
                let near = ratio(used, limit) >= 0.9;
                let text = share(used, limit);
                if near { Cell::Warn(text) } else { Cell::Text(text) }
            },
            key: |row| {
                SortKey::maybe(
                    row.memory_bytes.zip(row.memory_max_bytes).map(|(used, limit)| ratio(used, limit)),
                )
            },
            help: "the part of the limit that is charged",
            source: CGROUP,
        },
        events_column!("high", 4, events_high, "times that it went over memory.high and was slowed"),
        events_column!("max", 2, events_max, "times that it was about to go over its limit"),
        events_column!("oom", 2, events_oom, "times that it was at its limit and nothing could be reclaimed"),
        events_column!("kills", 2, oom_kills, "processes of it that the kernel killed for lack of memory"),
        Column {
            title: "refaults/s",
            width: Width::Number(6),
            priority: 5,
            cell: |row, context| maybe(row.refaults_file, |count| rate(count as f64 / context.seconds)),
            key: |row| key(row.refaults_file),
            help: "pages of files that were read again soon after they had been reclaimed, in a second",
            source: EVENTS,
        },
        Column {
            title: "quota",
            width: Width::Number(8),
            priority: 3,
            cell: |row, _| maybe(row.quota_cpus, |cpus| format!("{cpus:.2} CPU")),
            key: |row| SortKey::maybe(row.quota_cpus),
            help: "CPU time that it may use, in CPUs; - where there is no quota",
            source: CGROUP,
        },
        Column {
            title: "throttled",
            width: Width::Number(7),
            priority: 3,
            cell: |row, _| match row.throttled_ns {
                None => text(NONE),
                Some(0) => text("0"),
                Some(ns) => Cell::Warn(duration(ns)),
            },
            key: |row| key(row.throttled_ns),
            help: "time that its quota held it, of all CPUs together",
            source: EVENTS,
        },
        events_column!("periods", 6, throttled_periods, "periods in which its quota held it"),
    ],
    order: None,
    id: |row| row.path.clone(),
    text: |row| row.path.clone(),
    rows: |picture| Cow::Borrowed(&picture.memory.cgroups),
    empty: "no cgroup has been sampled yet",
};

pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let Some(picture) = view.picture.as_ref() else { return };
    let palette = view.palette;
    let memory = &picture.memory;
    let mut lines = Vec::new();
    if let Some(calls) = &memory.calls {
        let seconds = context(picture, palette).seconds;
        let per_second = |total: u64| format!("{}/s", bytes((total as f64 / seconds).round() as u64));
        let traffic = vec![
            pair("mapped", per_second(calls.mapped_bytes), palette),
            pair("unmapped", per_second(calls.unmapped_bytes), palette),
        ];
        lines.push(pairs(traffic, area.width, 4));
    }
    lines.extend(missing_lines(&memory.missing, palette));
    lines.push(Line::default());
    let (processes, cgroups) = (memory.processes.len() as u16, memory.cgroups.len() as u16);
    let calls = memory.calls.as_ref().map(|calls| calls.by_name.len() as u16);
    let top = parts::paragraph(frame, Rect { height: area.height / 2, ..area }, lines);
    let rest = Rect { y: area.y + top, height: area.height - top, ..area };
    let mut wants = vec![(ListId::ProcessMemory, processes)];
    wants.extend(calls.map(|calls| (ListId::MemoryCalls, calls)));
    wants.push((ListId::Cgroups, cgroups));
    view.draw_stacked(frame, rest, &wants);
}
