//! The numbers of all threads, of the machine, of GPUs and of requests, in a few lines.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{
    super::{bar, context, list::Metric, palette::Palette},
    parts::{NONE, maybe_percent, pair, pairs},
};
use crate::{
    humane::{bytes, count, duration, fitted, percent, printable, rate, share},
    lengths::Latency,
    live::{Gpu, Picture, Requests},
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
        name: "runq",
        help: "from runnable to running, of woken threads: half of the waits, and 99 % of them, were at most this \
               long; the longest",
        source: SAMPLED,
    },
    Metric {
        name: "switches, sw",
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
        name: "PSI cpu, mem, io",
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

/// GPUs that have a line; the rest is counted.
const GPU_LINES: usize = 4;
/// From this width on, there is room for words beside numbers.
const WIDE: u16 = 116;

/// All of it, below the bar of all threads' states.
pub fn lines(picture: &Picture, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let mut lines = vec![bar::legend(&picture.all.times, width, palette)];
    lines.extend(threads(picture, palette, width));
    lines.extend(machine(picture, palette, width));
    lines.extend(gpus(picture, palette, width));
    lines.extend(requests(picture, palette, width));
    lines
}

fn length(ns: Option<u64>) -> String {
    ns.map_or_else(|| NONE.to_owned(), duration)
}

/// The numbers of all threads.
fn threads(picture: &Picture, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let all = &picture.all;
    let seconds = context(picture, palette).seconds;
    let per_second = |count: f64| format!("{}/s", rate(count / seconds));
    let throttled = all.times.off(State::Throttled);
    let style = if throttled > 0 { palette.warn() } else { Style::new() };
    let throttled =
        vec![Span::styled("throttled ", palette.dim()), Span::styled(share(throttled, all.wall_ns), style)];
    let (p50, p99) = (length(all.runqueue.p50_ns), length(all.runqueue.p99_ns));
    if width < WIDE {
        return pairs(
            vec![
                pair("runq p50", p50, palette),
                pair("p99", p99, palette),
                pair("sw", per_second(all.switches as f64), palette),
                pair("faults", per_second(all.minor_faults + all.major_faults), palette),
                throttled,
            ],
            width,
        );
    }
    let involuntary = share(all.involuntary, all.switches);
    pairs(
        vec![
            pair("runq p50", p50, palette),
            pair("p99", p99, palette),
            pair("max", length(all.runqueue.max_ns), palette),
            pair("switches", format!("{}, {involuntary} invol", per_second(all.switches as f64)), palette),
            pair("faults", per_second(all.minor_faults), palette),
            pair("major", per_second(all.major_faults), palette),
            throttled,
        ],
        width,
    )
}

/// The numbers of the machine.
fn machine(picture: &Picture, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let Some(host) = &picture.pressure else {
        return vec![Line::from(pair("machine", "not sampled twice yet", palette))];
    };
    let both = |some, full| format!("{}/{}", maybe_percent(some), maybe_percent(full));
    let (busy, memory) = if width < WIDE { ("busy", "mem") } else { ("machine   busy", "memory some/full") };
    pairs(
        vec![
            pair(busy, percent(host.busy_ratio), palette),
            pair("steal", percent(host.steal_ratio), palette),
            pair("runnable", count(host.runnable), palette),
            pair("PSI cpu", maybe_percent(host.cpu_some_ratio), palette),
            pair(memory, both(host.memory_some_ratio, host.memory_full_ratio), palette),
            pair("io", both(host.io_some_ratio, host.io_full_ratio), palette),
        ],
        width,
    )
}

/// A line for each GPU, four at most; where lines are few, one for all.
fn gpus(picture: &Picture, palette: Palette, width: u16) -> Vec<Line<'static>> {
    if picture.gpus.is_empty() {
        return Vec::new();
    }
    let util = |gpu: &Gpu| {
        let gauge = gpu.util_ratio.map(|ratio| format!(" {}", bar::gauge(ratio, 6)));
        let mut spans = pair(&format!("GPU {}", gpu.index), maybe_percent(gpu.util_ratio), palette);
        spans.extend(gauge.map(|gauge| Span::styled(gauge, palette.spark())));
        spans
    };
    if width < WIDE {
        return pairs(picture.gpus.iter().map(util).collect(), width);
    }
    let line = |gpu: &Gpu| {
        let size = |bytes_of: Option<u64>| bytes_of.map_or_else(|| NONE.to_owned(), bytes);
        let power = gpu.power_mw.map_or_else(|| NONE.to_owned(), |mw| format!("{} W", mw / 1000));
        let parts = vec![
            util(gpu),
            pair(
                "memory",
                format!("{} of {}", size(gpu.memory_used_bytes), size(gpu.memory_total_bytes)),
                palette,
            ),
            pair("power", power, palette),
            vec![Span::styled(printable(&gpu.name), palette.dim())],
        ];
        pairs(parts, width)
    };
    let mut lines: Vec<Line<'static>> = picture.gpus.iter().take(GPU_LINES).flat_map(line).collect();
    if let Some(more) = picture.gpus.len().checked_sub(GPU_LINES).filter(|more| *more > 0) {
        lines.push(Line::styled(format!("and {more} more in tab 5"), palette.dim()));
    }
    lines
}

/// A line for each source of requests, two at most, where there is room; else for the first.
fn requests(picture: &Picture, palette: Palette, width: u16) -> Vec<Line<'static>> {
    let seconds = context(picture, palette).seconds;
    let wide = width >= WIDE;
    let line = |source: &Requests| {
        let two = |latency: &Latency| {
            let (p50, p99) = (length(latency.p50_ns), length(latency.p99_ns));
            if wide { format!("p50 {p50} p99 {p99}") } else { format!("{p50}/{p99}") }
        };
        let mut parts = vec![
            vec![Span::styled(fitted(&source.source, 14), palette.dim())],
            pair("in flight", source.in_flight.map_or_else(|| NONE.to_owned(), count), palette),
            pair("ended", format!("{}/s", rate(source.ended as f64 / seconds)), palette),
            pair("TTFT", two(&source.ttft), palette),
            pair("ITL", two(&source.itl), palette),
        ];
        if !wide {
            parts[2].remove(0);
        }
        if source.failed > 0 {
            let failed = format!("failed {}/s", rate(source.failed as f64 / seconds));
            parts.push(vec![Span::styled(failed, palette.warn())]);
        }
        pairs(parts, width)
    };
    picture.requests.iter().take(if wide { 2 } else { 1 }).flat_map(line).collect()
}
