//! Threads: what each does, waits for and is woken by.

use std::borrow::Cow;

use ratatui::{Frame, layout::Rect};

use super::{
    super::{
        View, detail,
        list::{Cell, Column, Sheet, SortKey, Width},
        palette::Group,
    },
    ListId,
    parts::{group_ratio, group_share, key, latency, name, ratio, text, word},
};
use crate::{
    humane::{fitted, printable, rate, share},
    live::{Thread, Waker},
};

const SAMPLED: &str = "off_cpu (tp_btf/sched_switch)";

pub static THREADS: Sheet<Thread> = Sheet {
    title: "threads",
    columns: &[
        Column {
            title: "tid",
            width: Width::Number(5),
            priority: 0,
            cell: |row, _| text(row.tid.to_string()),
            key: |row| SortKey::Number(row.tid.0.into()),
            help: "the thread's id, as the initial pid namespace has it",
            source: "thread (task_struct)",
        },
        Column {
            title: "comm",
            width: Width::Words(15),
            priority: 0,
            cell: |row, _| name(&row.comm),
            key: |row| word(&row.comm),
            help: "the thread's name, 15 bytes at most; it may change",
            source: "thread (task_struct)",
        },
        Column {
            title: "role",
            width: Width::Words(12),
            priority: 4,
            cell: |row, _| name(&row.role),
            key: |row| word(&row.role),
            help: "what the thread does in its engine, by name and behaviour; - where no rule tells",
            source: "rules of roles.toml",
        },
        Column {
            title: "CPU",
            width: Width::Number(3),
            priority: 5,
            cell: |row, _| super::parts::maybe(row.cpu, |cpu| cpu.to_string()),
            key: |row| SortKey::maybe(row.cpu.map(f64::from)),
            help: "the CPU that it ran on last",
            source: SAMPLED,
        },
        Column {
            title: "now",
            width: Width::Words(9),
            priority: 8,
            cell: |row, _| text(row.now.map_or_else(|| "on CPU".to_owned(), |state| state.to_string())),
            key: |row| word(&row.now.map_or_else(|| "on CPU".to_owned(), |state| state.to_string())),
            help: "its state at the window's end",
            source: SAMPLED,
        },
        Column {
            title: "on CPU",
            width: Width::Number(6),
            priority: 0,
            cell: |row, _| text(group_share(&row.share, Group::OnCpu)),
            key: |row| SortKey::Number(group_ratio(&row.share, Group::OnCpu)),
            help: "share of the thread's time in the window that it ran on a CPU",
            source: SAMPLED,
        },
        Column {
            title: "run q",
            width: Width::Number(6),
            priority: 0,
            cell: |row, _| text(group_share(&row.share, Group::Runqueue)),
            key: |row| SortKey::Number(group_ratio(&row.share, Group::Runqueue)),
            help: "share of its time that it was runnable and not running: states runqueue, preempted, throttled and \
                   yield",
            source: SAMPLED,
        },
        Column {
            title: "states",
            width: Width::Grow(10, 40),
            priority: 1,
            cell: |row, _| Cell::Bar(row.share.times),
            key: |row| SortKey::Number(group_ratio(&row.share, Group::Futex)),
            help: "its time by state, over the window; ordered by the share of futex",
            source: SAMPLED,
        },
        Column {
            title: "waits most in",
            // Up to `  100% clock_nanosleep`.
            width: Width::Grow(17, 22),
            priority: 2,
            cell: |row, _| {
                text(row.top_call.as_ref().map_or_else(
                    || format!("{:>6}", "-"),
                    |call| {
                        format!("{:>6} {}", share(call.total_ns, row.share.wall_ns), printable(&call.name))
                    },
                ))
            },
            key: |row| key(row.top_call.as_ref().map(|call| call.total_ns)),
            help: "the system call that it was off the CPU in for the longest time, and the share of its time; ordered \
                   by that time",
            source: SAMPLED,
        },
        Column {
            title: "woken by",
            width: Width::Words(15),
            priority: 3,
            cell: |row, _| text(row.top_waker.as_ref().map_or_else(|| "-".to_owned(), waker)),
            key: |row| word(&row.top_waker.as_ref().map(waker).unwrap_or_default()),
            help: "who ended most of its waits: a thread, or an interrupt (a timer, a device, a packet)",
            source: "off_cpu (tp_btf/sched_waking)",
        },
        Column {
            title: "sw/s",
            width: Width::Number(6),
            priority: 2,
            cell: |row, context| text(rate(row.share.switches as f64 / context.seconds)),
            key: |row| SortKey::Number(row.share.switches as f64),
            help: "context switches in a second",
            source: SAMPLED,
        },
        Column {
            title: "p99 run q",
            width: Width::Number(7),
            priority: 6,
            cell: |row, _| latency(row.share.runqueue.p99_ns),
            key: |row| key(row.share.runqueue.p99_ns),
            help: "99 % of its waits for a CPU, from woken to running, were at most this long",
            source: SAMPLED,
        },
        Column {
            title: "invol",
            width: Width::Number(6),
            priority: 9,
            cell: |row, _| text(share(row.share.involuntary, row.share.switches)),
            key: |row| SortKey::Number(ratio(row.share.involuntary, row.share.switches)),
            help: "share of its switches that were involuntary: another thread was to run",
            source: SAMPLED,
        },
        Column {
            title: "faults/s",
            width: Width::Number(6),
            priority: 7,
            cell: |row, context| {
                text(rate((row.share.minor_faults + row.share.major_faults) / context.seconds))
            },
            key: |row| SortKey::Number(row.share.minor_faults + row.share.major_faults),
            help: "page faults in a second, minor and major",
            source: "thread (task_struct)",
        },
    ],
    order: Some(5),
    id: |row| row.tid.to_string(),
    text: |row| format!("{} {} tid:{} pid:{} ", row.comm, row.role, row.tid, row.tgid),
    rows: |picture| Cow::Borrowed(&picture.threads),
    empty: "no thread lived in this window",
};

/// A waker in a few letters: `ZMQbg/1/4711`, `interrupt`.
pub fn waker(waker: &Waker) -> String {
    match waker.tid {
        Some(tid) => {
            let tid = tid.to_string();
            format!("{}/{tid}", fitted(&printable(&waker.comm), 14_usize.saturating_sub(tid.len()).max(4)))
        }
        None => printable(&waker.comm),
    }
}

pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View) {
    match view.thread {
        Some(tid) => detail::draw(frame, area, view, tid),
        None => view.draw_list(frame, area, ListId::Threads, 1),
    }
}
