//! Overview: what all threads did, by role and by process.

use std::borrow::Cow;

use ratatui::{Frame, layout::Rect};

use super::{
    super::{
        View, bar,
        list::{Cell, Column, Sheet, SortKey, Width},
        palette::Group,
    },
    ListId,
    parts::{NONE, group_ratio, group_share, key, latency, most_blocked, name, text, word},
    summary,
};
use crate::{
    humane::{count, printable, rate, share},
    live::{Process, Role, Share},
};

const SAMPLED: &str = "off_cpu (tp_btf/sched_switch)";
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
            Column {
                title: "in all",
                width: Width::Grow(14, 20),
                priority: 2,
                cell: |row, _| Cell::Bar(row.share.times),
                key: |row| SortKey::Number(group_ratio(&row.share, Group::Io)),
                help: "its threads' time by state over the whole window; ordered by the share of io",
                source: SAMPLED,
            },
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
            help: "the role of its main thread; else the one that most of its threads have",
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

/// A list's title and its heading.
const AROUND: u16 = 2;

pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    let Some(picture) = view.picture.as_ref() else { return };
    let palette = view.palette;
    let buffer = frame.buffer_mut();
    let line = |at| Rect { y: area.y + at, height: 1, ..area };
    bar::states(buffer, line(0), &picture.all.times, palette);
    let lines = summary::lines(picture, palette, area.width);
    for (at, text) in (1..area.height).zip(&lines) {
        buffer.set_line(area.x, area.y + at, text, area.width);
    }
    // A blank line before each list, where there is room for it.
    let roomy = u16::from(area.height > 24);
    let top = (1 + lines.len() as u16 + roomy).min(area.height);
    let rest = area.height - top;
    let (roles, processes) = (picture.roles.len() as u16, picture.processes.len() as u16);
    let tree = (processes.max(1) + AROUND).min((rest / 3).max(AROUND + 2));
    let for_roles = rest.saturating_sub(tree + roomy);
    // More lines a role show more of its states, as long as all roles and the tree fit.
    let row_height = (for_roles.saturating_sub(AROUND) / roles.max(1)).clamp(1, 4);
    let height = (AROUND + roles.max(1) * row_height).min(for_roles);
    let roles_area = Rect { y: area.y + top, height, ..area };
    let below = (top + height + roomy).min(area.height);
    let tree_area = Rect { y: area.y + below, height: area.height - below, ..area };
    view.draw_list(frame, roles_area, ListId::Roles, row_height);
    view.draw_list(frame, tree_area, ListId::Processes, 1);
}
