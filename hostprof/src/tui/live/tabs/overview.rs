//! Overview: what all threads did, by role and by process.

use std::borrow::Cow;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    super::{
        View, bar, context,
        list::{Cell, Column, Metric, Sheet, SortKey, Width},
        palette::{Group, Palette},
    },
    ListId,
    parts::{
        NONE, group_ratio, group_share, key, latency, maybe_percent, most_blocked, name, pair, pairs, ratio,
        text, word,
    },
};
use crate::{
    humane::{bytes, count, duration, percent, printable, rate, share},
    live::{Picture, Process, Role, Share},
    table::State,
};

const SAMPLED: &str = "off_cpu (tp_btf/sched_switch)";
const HOST: &str = "host_sample (/proc/stat, /proc/pressure), the samples nearest to the window's edges";

pub const METRICS: &[Metric] = &[
    Metric {
        name: "waits mostly",
        help: "the state off the CPU with the most time, of threads that are not idle pools; where it is futex, the \
               address, and who ended the waits. It tells where time went, not what to blame",
        source: SAMPLED,
    },
    Metric {
        name: "run queue",
        help: "from runnable to running, of woken threads: half of the waits, and 99 % of them, were at most this \
               long; the longest",
        source: SAMPLED,
    },
    Metric {
        name: "switches",
        help: "context switches of all threads in a second, and the share of involuntary ones",
        source: SAMPLED,
    },
    Metric {
        name: "faults",
        help: "page faults of all threads in a second; a major one reads from a disk",
        source: "thread, process_sample (task_struct, /proc/PID/stat)",
    },
    Metric {
        name: "throttled",
        help: "share of all threads' time that a CPU quota of their cgroup held them",
        source: SAMPLED,
    },
    Metric { name: "busy", help: "share of the machine's CPU time that was not idle", source: HOST },
    Metric { name: "steal", help: "share of the machine's CPU time that a hypervisor took", source: HOST },
    Metric { name: "runnable", help: "tasks of the machine that ran or waited for a CPU", source: HOST },
    Metric {
        name: "PSI cpu, memory, io",
        help: "pressure stall information: share of time in which some task of the machine was held up for lack of \
               the resource / in which all were",
        source: HOST,
    },
    Metric {
        name: "GPU",
        help: "utilization, memory in use, power: tab 5 tells more",
        source: "gpu_sample (NVML)",
    },
    Metric {
        name: "requests",
        help: "in flight, ended in a second, TTFT and ITL (half and 99 % are at most this long): tab 6 tells more",
        source: "request, token (hostprof load, probe http)",
    },
];

/// Columns that roles and processes have in common.
macro_rules! share_columns {
    ($($before:expr),* ; $($after:expr),* $(,)?) => {
        &[
            $($before,)*
            Column {
                title: "thr",
                width: Width::Number(4),
                priority: 1,
                cell: |row, _| text(count(row.share.threads.into())),
                key: |row| SortKey::Number(row.share.threads.into()),
                help: "threads that lived in the window",
                source: "thread",
            },
            Column {
                title: "on CPU",
                width: Width::Number(6),
                priority: 0,
                cell: |row, _| text(group_share(&row.share, Group::OnCpu)),
                key: |row| SortKey::Number(group_ratio(&row.share, Group::OnCpu)),
                help: "share of its threads' time on a CPU",
                source: SAMPLED,
            },
            Column {
                title: "run q",
                width: Width::Number(6),
                priority: 0,
                cell: |row, _| text(group_share(&row.share, Group::Runqueue)),
                key: |row| SortKey::Number(group_ratio(&row.share, Group::Runqueue)),
                help: "share of its threads' time runnable and not running: states runqueue, preempted, throttled and \
                       yield",
                source: SAMPLED,
            },
            Column {
                title: "blocked most in",
                width: Width::Words(19),
                priority: 3,
                cell: |row, _| text(blocked(&row.share)),
                key: |row| key(most_blocked(&row.share.times).map(|(_, ns)| ns)),
                help: "the state, other than waiting for a CPU, that took most of its threads' time, and its share; \
                       ordered by that time",
                source: SAMPLED,
            },
            $($after,)*
        ]
    };
}

pub static ROLES: Sheet<Role> = Sheet {
    title: "roles",
    columns: share_columns![
        Column {
            title: "role",
            width: Width::Words(20),
            priority: 0,
            cell: |row, _| name(&row.name),
            key: |row| word(&row.name),
            help: "threads that do the same in their engine; - for those that no rule tells",
            source: "rules of roles.toml",
        };
        Column {
            title: "over the window",
            width: Width::Grow(16, 60),
            priority: 0,
            cell: |row, _| Cell::Timeline(row.slices.clone()),
            key: |row| SortKey::Number(group_ratio(&row.share, Group::Futex)),
            help: "its threads' time by state, a column for a slice of the window, oldest left; ordered by the share \
                   of futex",
            source: SAMPLED,
        },
        Column {
            title: "in all",
            width: Width::Grow(14, 40),
            priority: 2,
            cell: |row, _| Cell::Bar(row.share.times),
            key: |row| SortKey::Number(group_ratio(&row.share, Group::Io)),
            help: "its threads' time by state over the whole window; ordered by the share of io",
            source: SAMPLED,
        },
    ],
    order: None,
    id: |row| row.name.clone(),
    text: |row| row.name.clone(),
    rows: |picture| Cow::Borrowed(&picture.roles),
    empty: "no thread lived in this window",
};

pub static PROCESSES: Sheet<Process> = Sheet {
    title: "processes",
    columns: share_columns![
        Column {
            title: "process",
            width: Width::Words(20),
            priority: 0,
            cell: |row, _| text(format!("{}{}", branch(row.depth), printable(&row.comm))),
            key: |row| word(&row.comm),
            help: "its main thread's name; children below their parent",
            source: "thread, /proc",
        };
        Column {
            title: "pid",
            width: Width::Number(7),
            priority: 1,
            cell: |row, _| text(row.tgid.to_string()),
            key: |row| SortKey::Number(row.tgid.0.into()),
            help: "the process's id, as the initial pid namespace has it",
            source: "thread (task_struct)",
        },
        Column {
            title: "role",
            width: Width::Words(12),
            priority: 6,
            cell: |row, _| name(&row.role),
            key: |row| word(&row.role),
            help: "the role that most of its threads have",
            source: "rules of roles.toml",
        },
        Column {
            title: "p99 run q",
            width: Width::Number(7),
            priority: 4,
            cell: |row, _| latency(row.share.runqueue.p99_ns),
            key: |row| key(row.share.runqueue.p99_ns),
            help: "99 % of its threads' waits for a CPU, from woken to running, were at most this long",
            source: SAMPLED,
        },
        Column {
            title: "switch/s",
            width: Width::Number(6),
            priority: 5,
            cell: |row, context| text(rate(row.share.switches as f64 / context.seconds)),
            key: |row| SortKey::Number(row.share.switches as f64),
            help: "its threads' context switches in a second",
            source: SAMPLED,
        },
        Column {
            title: "in all",
            width: Width::Grow(14, 40),
            priority: 2,
            cell: |row, _| Cell::Bar(row.share.times),
            key: |row| SortKey::Number(group_ratio(&row.share, Group::Io)),
            help: "its threads' time by state over the whole window; ordered by the share of io",
            source: SAMPLED,
        },
    ],
    order: None,
    id: |row| format!("pid:{} ", row.tgid),
    text: |row| format!("{} {} pid:{} ", row.comm, row.role, row.tgid),
    rows: |picture| Cow::Borrowed(&picture.processes),
    empty: "no process lived in this window",
};

/// What stands before a process's name to show its depth.
fn branch(depth: u16) -> String {
    match depth {
        0 => String::new(),
        depth => format!("{}└ ", "  ".repeat(usize::from(depth) - 1)),
    }
}

fn blocked(share_of: &Share) -> String {
    most_blocked(&share_of.times)
        .map_or_else(|| NONE.to_owned(), |(state, ns)| format!("{state} {}", share(ns, share_of.wall_ns)))
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let Some(picture) = view.picture.as_ref() else { return };
    let palette = view.palette;
    let buffer = frame.buffer_mut();
    let line = |at| Rect { y: area.y + at, height: 1, ..area };
    bar::states(buffer, line(0), &picture.all.times, palette);
    let mut lines = vec![bar::legend(&picture.all.times, palette)];
    lines.extend(numbers(picture, palette, area.width));
    lines.extend(gpus(picture, palette, area.width));
    lines.extend(requests(picture, palette, area.width));
    for (at, text) in (1..).zip(&lines) {
        buffer.set_line(area.x, area.y + at, text, area.width);
    }
    // A blank line before each list, where there is room for it.
    let roomy = u16::from(area.height > 24);
    let top = 1 + lines.len() as u16 + roomy;
    let rest = area.height.saturating_sub(top);
    let (roles, processes) = (picture.roles.len() as u16, picture.processes.len() as u16);
    let tree = (processes + 2).min((rest / 2).max(5));
    // More lines a role show more of its states, as long as all roles and the tree fit.
    let for_roles = rest.saturating_sub(tree + roomy + 2);
    let row_height = (for_roles / roles.max(1)).clamp(1, 4);
    let height = (2 + roles.max(1) * row_height).min(rest.saturating_sub(tree + roomy));
    let roles_area = Rect { y: area.y + top, height, ..area };
    let below = top + height + roomy;
    let tree_area = Rect { y: area.y + below, height: area.height.saturating_sub(below), ..area };
    view.draw_list(frame, roles_area, ListId::Roles, row_height);
    view.draw_list(frame, tree_area, ListId::Processes, 1);
}

/// The numbers of all threads, and of the machine.
fn numbers(picture: &Picture, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let all = &picture.all;
    let seconds = context(picture, palette).seconds;
    let per_second = |count: f64| format!("{}/s", rate(count / seconds));
    let length = |ns: Option<u64>| ns.map_or_else(|| NONE.to_owned(), duration);
    let queue = format!(
        "p50 {}  p99 {}  max {}",
        length(all.runqueue.p50_ns),
        length(all.runqueue.p99_ns),
        length(all.runqueue.max_ns),
    );
    let throttled = all.times.off(State::Throttled);
    let throttling = Span::styled(
        share(throttled, all.wall_ns),
        if throttled > 0 { palette.warn() } else { ratatui::style::Style::new() },
    );
    let threads = vec![
        pair("run queue", queue, palette),
        pair(
            "switches",
            format!(
                "{} ({:.0}% invol)",
                per_second(all.switches as f64),
                100.0 * ratio(all.involuntary, all.switches)
            ),
            palette,
        ),
        vec![Span::styled("throttled ", palette.dim()), throttling],
        pair(
            "faults",
            format!("{} minor  {} major", per_second(all.minor_faults), per_second(all.major_faults)),
            palette,
        ),
    ];
    let Some(host) = &picture.pressure else {
        return vec![pairs(threads, width, 4), Line::from(pair("machine", "not sampled twice yet", palette))];
    };
    let both = |some, full| format!("{}/{}", maybe_percent(some), maybe_percent(full));
    let machine = vec![
        pair("machine   busy", percent(host.busy_ratio), palette),
        pair("steal", percent(host.steal_ratio), palette),
        pair("runnable", count(host.runnable), palette),
        pair("PSI cpu", maybe_percent(host.cpu_some_ratio), palette),
        pair("memory", both(host.memory_some_ratio, host.memory_full_ratio), palette),
        pair("io", both(host.io_some_ratio, host.io_full_ratio), palette),
    ];
    vec![pairs(threads, width, 4), pairs(machine, width, 4)]
}

/// A line for each GPU, four at most.
fn gpus(picture: &Picture, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = picture
        .gpus
        .iter()
        .take(4)
        .map(|gpu| {
            let gauge = gpu.util_ratio.map(|ratio| format!(" {}", bar::gauge(ratio, 10))).unwrap_or_default();
            let used = gpu.memory_used_bytes.map_or_else(|| NONE.to_owned(), bytes);
            let total = gpu.memory_total_bytes.map_or_else(|| NONE.to_owned(), bytes);
            let power = gpu.power_mw.map_or_else(|| NONE.to_owned(), |mw| format!("{} W", mw / 1000));
            let parts = vec![
                pair(&format!("GPU {}    ", gpu.index), printable(&gpu.name), palette),
                pair("util", format!("{}{gauge}", maybe_percent(gpu.util_ratio)), palette),
                pair("memory", format!("{used} of {total}"), palette),
                pair("power", power, palette),
            ];
            pairs(parts, width, 2)
        })
        .collect();
    if picture.gpus.len() > lines.len() {
        let more = picture.gpus.len() - lines.len();
        lines.push(Line::styled(format!("          and {more} more in tab 5"), palette.dim()));
    }
    lines
}

/// A line for each source of requests, two at most.
fn requests(picture: &Picture, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let seconds = context(picture, palette).seconds;
    let length = |ns: Option<u64>| ns.map_or_else(|| NONE.to_owned(), duration);
    let line = |source: &crate::live::Requests| {
        let two = |latency: &crate::lengths::Latency| {
            format!("p50 {}  p99 {}", length(latency.p50_ns), length(latency.p99_ns))
        };
        let in_flight = source.in_flight.map_or_else(|| NONE.to_owned(), count);
        let mut parts = vec![
            pair("requests  in flight", in_flight, palette),
            pair("ended", format!("{}/s", rate(source.ended as f64 / seconds)), palette),
            pair("TTFT", two(&source.ttft), palette),
            pair("ITL", two(&source.itl), palette),
            vec![Span::styled(printable(&source.source), palette.dim())],
        ];
        if source.failed > 0 {
            parts.insert(2, vec![Span::styled(format!("failed {}", count(source.failed)), palette.warn())]);
        }
        pairs(parts, width, 2)
    };
    picture.requests.iter().take(2).map(line).collect()
}
