//! One thread, in depth: its states over time, the futexes it waited for, its calls, and who woke it.

use std::borrow::Cow;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    View, bar,
    list::{Column, Sheet, SortKey, Width},
    tabs::{ListId, parts},
};
use crate::{
    humane::{count, duration, printable, rate, share},
    live::{Call, FutexWait, Mode, Picture, Thread, Waker},
    units::Tid,
};

const SAMPLED: &str = "off_cpu (tp_btf/sched_switch)";
const WAKING: &str = "off_cpu (tp_btf/sched_waking)";
/// Threads that are named before the rest is counted.
const NAMED: usize = 12;

pub static FUTEXES: Sheet<FutexWait> = Sheet {
    title: "futexes it waited for",
    columns: &[
        Column {
            title: "address",
            width: Width::Words(18),
            priority: 0,
            cell: |row, _| parts::text(format!("{:#x}", row.address)),
            key: |row| SortKey::Number(row.address as f64),
            help: "the futex's address, in its process",
            source: SAMPLED,
        },
        Column {
            title: "pid",
            width: Width::Number(7),
            priority: 2,
            cell: |row, _| parts::text(row.tgid.to_string()),
            key: |row| SortKey::Number(row.tgid.0.into()),
            help: "the process in which it is",
            source: SAMPLED,
        },
        Column {
            title: "now",
            width: Width::Words(7),
            priority: 0,
            cell: |row, _| parts::text(if row.now { "waiting" } else { "" }),
            key: |row| SortKey::Number(f64::from(u8::from(row.now))),
            help: "whether the thread waits for it at the window's end",
            source: SAMPLED,
        },
        Column {
            title: "waited",
            width: Width::Number(8),
            priority: 0,
            cell: |row, _| parts::text(duration(row.waited_ns)),
            key: |row| SortKey::Number(row.waited_ns as f64),
            help: "how long the thread waited for it in the window",
            source: SAMPLED,
        },
        Column {
            title: "waits/s",
            width: Width::Number(6),
            priority: 1,
            cell: |row, context| parts::text(rate(row.waits as f64 / context.seconds)),
            key: |row| SortKey::Number(row.waits as f64),
            help: "how often, in a second",
            source: SAMPLED,
        },
        Column {
            title: "other waiters",
            width: Width::Grow(16, 90),
            priority: 0,
            cell: |row, context| parts::text(waiters(row, context.picture)),
            key: |row| SortKey::Number(row.others.len() as f64),
            help: "other threads that waited for it in the window, or do; ordered by how many",
            source: SAMPLED,
        },
    ],
    order: Some(3),
    id: |row| format!("{} {:#x}", row.tgid, row.address),
    text: |row| format!("{:#x} pid:{} ", row.address, row.tgid),
    rows: |picture| Cow::Borrowed(picture.detail.as_ref().map_or(&[][..], |detail| &detail.futexes)),
    empty: "it waited for none",
};

pub static CALLS: Sheet<Call> = Sheet {
    title: "calls it was off the CPU in",
    columns: &[
        Column {
            title: "call",
            width: Width::Words(24),
            priority: 0,
            cell: |row, _| parts::name(&row.name),
            key: |row| parts::word(&row.name),
            help: "the system call; of an ioctl on a GPU's device the request",
            source: SAMPLED,
        },
        Column {
            title: "waits/s",
            width: Width::Number(6),
            priority: 0,
            cell: |row, context| parts::text(rate(row.latency.count as f64 / context.seconds)),
            key: |row| SortKey::Number(row.latency.count as f64),
            help: "times that it was off the CPU in one, in a second",
            source: SAMPLED,
        },
        Column {
            title: "p50",
            width: Width::Number(7),
            priority: 1,
            cell: |row, _| parts::latency(row.latency.p50_ns),
            key: |row| parts::key(row.latency.p50_ns),
            help: "half of these times were at most this long",
            source: SAMPLED,
        },
        Column {
            title: "p99",
            width: Width::Number(7),
            priority: 0,
            cell: |row, _| parts::latency(row.latency.p99_ns),
            key: |row| parts::key(row.latency.p99_ns),
            help: "99 % of these times were at most this long",
            source: SAMPLED,
        },
        Column {
            title: "max",
            width: Width::Number(7),
            priority: 2,
            cell: |row, _| parts::latency(row.latency.max_ns),
            key: |row| parts::key(row.latency.max_ns),
            help: "the longest",
            source: SAMPLED,
        },
        Column {
            title: "time",
            width: Width::Number(7),
            priority: 0,
            cell: |row, _| parts::text(duration(row.total_ns)),
            key: |row| SortKey::Number(row.total_ns as f64),
            help: "how long in the window",
            source: SAMPLED,
        },
        Column {
            title: "share",
            width: Width::Number(6),
            priority: 0,
            cell: |row, context| {
                let wall = opened(context.picture).map_or(0, |thread| thread.share.wall_ns);
                parts::text(share(row.total_ns, wall))
            },
            key: |row| SortKey::Number(row.total_ns as f64),
            help: "the part of the thread's time in the window",
            source: SAMPLED,
        },
    ],
    order: Some(5),
    id: |row| row.name.clone(),
    text: |row| row.name.clone(),
    rows: |picture| Cow::Borrowed(picture.detail.as_ref().map_or(&[][..], |detail| &detail.calls)),
    empty: "it was off the CPU in none",
};

pub static WAKERS: Sheet<Waker> = Sheet {
    title: "woken by",
    columns: &[
        Column {
            title: "tid",
            width: Width::Number(7),
            priority: 0,
            cell: |row, _| parts::maybe(row.tid, |tid| tid.to_string()),
            key: |row| SortKey::maybe(row.tid.map(|tid| tid.0.into())),
            help: "the thread that ended its waits; - for an interrupt",
            source: WAKING,
        },
        Column {
            title: "comm",
            width: Width::Words(15),
            priority: 0,
            cell: |row, _| parts::name(&row.comm),
            key: |row| parts::word(&row.comm),
            help: "its name; an interrupt is a timer, a device or a packet",
            source: WAKING,
        },
        Column {
            title: "wakeups/s",
            width: Width::Number(6),
            priority: 0,
            cell: |row, context| parts::text(rate(row.wakeups as f64 / context.seconds)),
            key: |row| SortKey::Number(row.wakeups as f64),
            help: "how often, in a second",
            source: WAKING,
        },
    ],
    order: Some(2),
    id: |row| format!("{:?} {}", row.tid, row.comm),
    text: |row| format!("{} tid:{} ", row.comm, row.tid.map_or(0, |tid| tid.0)),
    rows: |picture| Cow::Borrowed(picture.detail.as_ref().map_or(&[][..], |detail| &detail.wakers)),
    empty: "nobody ended a wait of it in this window",
};

/// The thread whose depth the picture has.
fn opened(picture: &Picture) -> Option<&Thread> {
    let tid = picture.detail.as_ref()?.tid;
    picture.threads.iter().find(|thread| thread.tid == tid)
}

/// `llama-server/4713, llama-server/4714 and 3 more`.
fn waiters(wait: &FutexWait, picture: &Picture) -> String {
    if wait.others.is_empty() {
        return "none".to_owned();
    }
    let name = |tid: &Tid| match picture.threads.iter().find(|thread| thread.tid == *tid) {
        Some(thread) => format!("{}/{tid}", printable(&thread.comm)),
        None => tid.to_string(),
    };
    let mut names: Vec<String> = wait.others.iter().take(NAMED).map(name).collect();
    if wait.others.len() > NAMED {
        names.push(format!("{} more", wait.others.len() - NAMED));
    }
    format!("{}: {}", count(wait.others.len() as u64), names.join(" "))
}

/// Draws the thread into the area of the threads' list.
pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &mut View, tid: Tid) {
    let Some(picture) = view.picture.as_ref() else { return };
    let palette = view.palette;
    let buffer = frame.buffer_mut();
    let line = |at: u16| Rect { y: area.y + at, height: 1, ..area };
    let thread = picture.threads.iter().find(|thread| thread.tid == tid);
    let Some(thread) = thread else {
        let text = format!("thread {tid} did not live in this window (Esc for the others)");
        buffer.set_stringn(area.x, area.y, text, area.width.into(), palette.dim());
        return;
    };
    buffer.set_line(area.x, area.y, &heading(thread, palette), area.width);
    bar::states(buffer, line(1), &thread.share.times, palette);
    buffer.set_line(area.x, area.y + 2, &bar::legend(&thread.share.times, palette), area.width);
    let Some(detail) = picture.detail.as_ref().filter(|detail| detail.tid == tid) else {
        buffer.set_string(area.x, area.y + 4, "looking …", palette.dim());
        return;
    };
    let roomy = area.height > 24;
    let height = if roomy { 6 } else { 3 };
    bar::timeline(buffer, Rect { height, ..line(3 + u16::from(roomy)) }, &detail.slices, palette);
    let axis = 3 + u16::from(roomy) + height;
    time_axis(picture, line(axis), buffer, palette);
    let wants =
        [detail.futexes.len(), detail.calls.len(), detail.wakers.len()].map(|rows| (rows as u16).max(1));
    let [futexes, calls, wakers] = wants;
    let top = axis + 1 + u16::from(roomy);
    let rest = Rect { y: area.y + top, height: area.height.saturating_sub(top), ..area };
    let wants =
        [(ListId::DetailFutexes, futexes), (ListId::DetailCalls, calls), (ListId::DetailWakers, wakers)];
    view.draw_stacked(frame, rest, &wants);
}

fn heading(thread: &Thread, palette: super::palette::Palette) -> Line<'static> {
    let state = thread.now.map_or_else(|| "on CPU".to_owned(), |state| format!("in {state}"));
    let role = if thread.role.is_empty() { String::new() } else { format!("  {}", printable(&thread.role)) };
    let cpu = thread.cpu.map(|cpu| format!("  CPU {cpu}")).unwrap_or_default();
    let queue = thread.share.runqueue.p99_ns.map(|ns| format!("  p99 run queue {}", duration(ns)));
    Line::from(vec![
        Span::styled(printable(&thread.comm), palette.title()),
        Span::styled(format!("  tid {}  pid {}{role}{cpu}  now ", thread.tid, thread.tgid), palette.dim()),
        Span::raw(state),
        Span::styled(queue.unwrap_or_default(), palette.dim()),
    ])
}

/// Where on the screen which time is.
fn time_axis(
    picture: &Picture,
    area: Rect,
    buffer: &mut ratatui::buffer::Buffer,
    palette: super::palette::Palette,
) {
    let (left, right) = match &picture.mode {
        Mode::Live => {
            (format!("{} ago", duration(picture.to.0.saturating_sub(picture.from.0))), "now".into())
        }
        Mode::Replay(playback) => {
            let since = |instant: u64| super::time_bar::clock(instant.saturating_sub(playback.begin.0));
            (since(picture.from.0), since(picture.to.0))
        }
    };
    buffer.set_string(area.x, area.y, left, palette.dim());
    let at = area.right().saturating_sub(right.chars().count() as u16);
    buffer.set_string(at, area.y, right, palette.dim());
}
