//! The report for people: what was recorded, then from the whole to the part.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use super::{
    bubbles,
    columns::{
        Align::{Left, Right},
        Columns,
    },
    cuda, gpu, host, mechanisms,
    model::{ByState, Futex, HostRunqueue, Participant, Report},
    nvidia, requests, resemblance, shed, steps, story,
};
use crate::{
    humane::{bytes, count, duration, fitted, plural, printable, share},
    lengths::Latency,
};

/// How much of each list is shown; `--json` has all.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// Threads.
    pub threads: usize,
    /// Futexes, wakers, faulting threads.
    pub others: usize,
}

impl Default for Detail {
    fn default() -> Self {
        Self { threads: 20, others: 10 }
    }
}

/// A thread name's room: the kernel's 15 bytes, or a little more where escapes lengthen it.
pub(super) const NAME_WIDTH: usize = 18;
/// Threads named in a list before the rest is counted.
const NAMED: usize = 4;
/// The longest bar of a histogram.
const BAR_WIDTH: u64 = 40;

/// Sets the report as text.
pub fn render(report: &Report, detail: Detail) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, report, detail);
    out
}

fn write_all(out: &mut String, report: &Report, detail: Detail) -> fmt::Result {
    header(out, report)?;
    loss(out, report)?;
    shed::write(out, report)?;
    requests::write(out, &report.requests)?;
    steps::write(out, &report.steps)?;
    let story = report.story.as_ref();
    mechanisms::findings(out, story)?;
    mechanisms::latency(out, story)?;
    mechanisms::tail(out, story)?;
    story::write(out, story)?;
    mechanisms::ledger(out, story)?;
    bubbles::write(out, &report.bubbles, report.run.started_mono_ns)?;
    bubbles::phases(out, report.gpus.as_ref().map_or(&[], |gpus| gpus.timelines.as_slice()))?;
    roles(out, report)?;
    threads(out, report, detail.threads)?;
    never_ran(out, report, detail.others)?;
    waits(out, report)?;
    futexes(out, report, detail.others)?;
    runqueue(out, report)?;
    wakers(out, report, detail.others)?;
    system_calls(out, report, detail.others)?;
    cuda::write(out, &report.cuda_calls, detail.others)?;
    nvidia::write(out, report.nvidia.as_ref(), detail.others)?;
    page_faults(out, report, detail.others)?;
    processes(out, report, detail.others)?;
    host_runqueue(out, report.host_runqueue.as_ref())?;
    gpu::write(out, report.gpus.as_ref(), &report.bubbles, detail.others)?;
    host::write(out, report, detail.others)
}

fn header(out: &mut String, report: &Report) -> fmt::Result {
    let run = &report.run;
    let mut title = vec![printable(&run.name), printable(&run.target)];
    title.extend(run.engine.as_deref().map(printable));
    join(out, "", title)?;
    let ended = match &run.end_reason {
        Some(reason) => format!("ended by {}", printable(&reason.replace('_', " "))),
        None => "not ended: killed, or goes on".to_owned(),
    };
    let host = match (run.host.as_str(), run.kernel.as_str()) {
        ("", "") => String::new(),
        (host, kernel) => printable(&format!("{host}, Linux {kernel}")),
    };
    let cpus = run.cpus.map(|cpus| plural(cpus.into(), "CPU")).unwrap_or_default();
    join(out, "when     ", vec![printable(&run.started), duration(report.wall_ns), ended])?;
    join(out, "where    ", vec![host, cpus])?;
    let episodes: u64 = report.totals.episodes.values().sum();
    join(
        out,
        "what     ",
        vec![
            plural(report.threads.len() as u64, "thread"),
            processes_text(report.processes.len()),
            plural(episodes, "off-CPU episode"),
        ],
    )?;
    let lossless = report.quality.lossless;
    let mut quality =
        vec![if lossless { "nothing lost" } else { "RECORDS WERE LOST (see below)" }.to_owned()];
    let totals = &report.totals;
    quality.push(format!("unattributed {}", share(totals.unattributed_ns, totals.wall_ns)));
    if report.quality.rows_without_thread > 0 {
        quality.push(format!("{} of no thread", plural(report.quality.rows_without_thread, "row")));
    }
    if let Some(cpu_ns) = run.own_cpu_ns {
        let memory = run.own_max_rss_bytes.map(|rss| format!(" and {}", bytes(rss))).unwrap_or_default();
        quality.push(format!("hostprof itself {} of a CPU{memory}", share(cpu_ns, report.wall_ns)));
    }
    join(out, "quality  ", quality)?;
    resemblance::write(out, report.resembles.as_ref())?;
    for probe in &run.probes_off {
        writeln!(out, "off      {}: {}", printable(&probe.name), printable(&probe.reason))?;
    }
    writeln!(
        out,
        "\nThis is attribution, not causality: where time went and who ended a wait, not what to blame."
    )
}

pub(super) fn join(out: &mut String, label: &str, mut parts: Vec<String>) -> fmt::Result {
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(out, "{label}{}", parts.join(" · "))
}

fn processes_text(processes: usize) -> String {
    match processes {
        1 => "1 process".to_owned(),
        more => format!("{} processes", count(more as u64)),
    }
}

pub(super) fn heading(out: &mut String, title: &str, note: &str) -> fmt::Result {
    let space = if note.is_empty() { "" } else { "  " };
    writeln!(out, "\n{title}{space}{note}")
}

fn loss(out: &mut String, report: &Report) -> fmt::Result {
    if report.loss.is_none() {
        return Ok(());
    }
    heading(out, "LOSS", "what follows is short by these; claim nothing about windows that hold them")?;
    let mut columns = Columns::new(&[("PROBE", Left), ("REASON", Left), ("RECORDS", Right)]);
    for loss in &report.loss.by_probe {
        columns.row(vec![printable(&loss.probe), printable(&loss.reason), count(loss.dropped)]);
    }
    if report.loss.switches > 0 {
        columns.row(vec!["all".into(), "gaps in threads' counts".into(), count(report.loss.switches)]);
    }
    write!(out, "{columns}")
}

/// The cells that every account has: time on a CPU and waiting for one, then what of the former was spent waiting for the
/// GPU, where that is known, and the states off it.
fn account(states_ns: &ByState, unattributed_ns: u64, wall_ns: u64) -> (Vec<String>, Vec<String>) {
    let of = |state| states_ns.get(state).copied().unwrap_or(0);
    let mut cells = Vec::new();
    for ns in [of("on_cpu") + of("gpu_sync"), of("runqueue")] {
        cells.extend([duration(ns), share(ns, wall_ns)]);
    }
    let mut waits: Vec<(&str, u64)> = states_ns
        .iter()
        .map(|(state, ns)| (*state, *ns))
        .filter(|(state, _)| !["on_cpu", "gpu_sync", "runqueue"].contains(state))
        .chain([("unattributed", unattributed_ns)])
        .filter(|(_, ns)| *ns > 0)
        .collect();
    waits.sort_by_key(|(state, ns)| (std::cmp::Reverse(*ns), *state));
    let told = |state: &str, ns| format!("{state} {} {}", duration(ns), share(ns, wall_ns));
    let spins = Some(of("gpu_sync")).filter(|ns| *ns > 0).map(|ns| told("gpu_sync (of ON CPU)", ns));
    let flow = spins.into_iter().chain(waits.into_iter().map(|(state, ns)| told(state, ns)));
    (cells, flow.collect())
}

const ACCOUNT: [(&str, super::columns::Align); 5] =
    [("ON CPU", Right), ("", Right), ("RUN QUEUE", Right), ("", Right), ("OFF CPU", Left)];

fn roles(out: &mut String, report: &Report) -> fmt::Result {
    if report.roles.iter().all(|group| group.role.is_none()) {
        return Ok(());
    }
    heading(out, "ROLES", "shares of the wall clock of their threads together")?;
    let mut columns = Columns::new(&[&[("ROLE", Left), ("THREADS", Right)], &ACCOUNT[..]].concat());
    for group in &report.roles {
        let role = group.role.as_deref().map_or_else(|| "(none told)".to_owned(), printable);
        let mut cells = vec![role, count(group.threads as u64)];
        let (more, flow) = account(&group.states_ns, group.unattributed_ns, group.wall_ns);
        cells.extend(more);
        columns.flowing(cells, flow);
    }
    write!(out, "{columns}")
}

fn threads(out: &mut String, report: &Report, shown: usize) -> fmt::Result {
    let (all, shown) = (report.threads.len(), report.threads.len().min(shown));
    let threads = &report.threads[..shown];
    let which = if shown < all { format!("{shown} of {}, ", count(all as u64)) } else { String::new() };
    heading(out, "THREADS", &format!("{which}busiest first; shares of each one's wall clock"))?;
    // A column that would say the same on every line says it nowhere.
    let short_lived = threads.iter().any(|thread| thread.wall_ns < report.wall_ns / 100 * 99);
    let with_role = threads.iter().any(|thread| thread.role.is_some());
    let mut heads = vec![("TID", Right), ("NAME", Left)];
    heads.extend(with_role.then_some(("ROLE", Left)));
    heads.extend(short_lived.then_some(("WALL", Right)));
    heads.extend(ACCOUNT);
    let mut columns = Columns::new(&heads);
    for thread in threads {
        let mut cells = vec![thread.tid.to_string(), fitted(&thread.comm, NAME_WIDTH)];
        if with_role {
            cells.push(thread.role.as_deref().map_or_else(|| "-".to_owned(), printable));
        }
        if short_lived {
            cells.push(duration(thread.wall_ns));
        }
        let (more, flow) = account(&thread.states_ns, thread.unattributed_ns, thread.wall_ns);
        cells.extend(more);
        columns.flowing(cells, flow);
    }
    write!(out, "{columns}")
}

fn never_ran(out: &mut String, report: &Report, shown: usize) -> fmt::Result {
    let mut groups: BTreeMap<(u32, &str, Option<&str>), Vec<String>> = BTreeMap::new();
    for thread in &report.never_ran {
        let key = (thread.tgid, thread.state, thread.arg0.as_deref());
        let name = format!("{} {}", fitted(&thread.comm, NAME_WIDTH), thread.tid);
        groups.entry(key).or_default().push(name);
    }
    if groups.is_empty() {
        return Ok(());
    }
    let note = "in one wait from before the recording to its end: an idle pool is, and so is a deadlock";
    heading(out, "NEVER RAN", note)?;
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let mut columns = Columns::new(&[
        ("PID", Right),
        ("STATE", Left),
        ("ARGUMENT", Left),
        ("THREADS", Right),
        ("WHICH", Left),
    ]);
    for ((tgid, state, arg0), names) in groups.iter().take(shown) {
        let cells = vec![
            tgid.to_string(),
            (*state).to_owned(),
            arg0.unwrap_or("-").to_owned(),
            count(names.len() as u64),
        ];
        columns.flowing(cells, names.clone());
    }
    write!(out, "{columns}")?;
    more(out, groups.len().saturating_sub(shown))
}

pub(super) fn latency_cells(latency: &Latency) -> [String; 4] {
    [latency.p50_ns, latency.p95_ns, latency.p99_ns, latency.max_ns]
        .map(|ns| ns.map_or_else(|| "-".to_owned(), duration))
}

fn waits(out: &mut String, report: &Report) -> fmt::Result {
    if report.waits.is_empty() {
        return Ok(());
    }
    heading(out, "OFF CPU BY STATE", "shares of all threads' wall clock; open: longer than recorded")?;
    let any_counted = report.waits.iter().any(|wait| wait.counted > 0);
    let mut heads = vec![("STATE", Left), ("COUNT", Right)];
    heads.extend(any_counted.then_some(("NOT TIMED", Right)));
    heads.extend([
        ("OPEN", Right),
        ("TOTAL", Right),
        ("", Right),
        ("P50", Right),
        ("P95", Right),
        ("P99", Right),
        ("MAX", Right),
    ]);
    let mut columns = Columns::new(&heads);
    for wait in &report.waits {
        let some = |number| if number == 0 { "-".to_owned() } else { count(number) };
        let mut cells = vec![wait.state.to_owned(), count(wait.latency.count + wait.counted)];
        cells.extend(any_counted.then(|| some(wait.counted)));
        cells.extend([some(wait.open), duration(wait.total_ns), share(wait.total_ns, report.totals.wall_ns)]);
        cells.extend(latency_cells(&wait.latency));
        columns.row(cells);
    }
    write!(out, "{columns}")
}

fn futexes(out: &mut String, report: &Report, shown: usize) -> fmt::Result {
    if report.futexes.is_empty() {
        return Ok(());
    }
    heading(out, "FUTEXES", "waited for longest")?;
    let mut columns = Columns::new(&[
        ("PID", Right),
        ("ADDRESS", Left),
        ("WAITS", Right),
        ("TOTAL", Right),
        ("WAITERS", Left),
        ("WOKEN BY", Left),
    ]);
    for futex in report.futexes.iter().take(shown) {
        let cells = vec![
            futex.tgid.to_string(),
            futex.address.clone(),
            count(futex.waits),
            duration(futex.total_ns),
            waiters(&futex.waiters),
        ];
        columns.flowing(cells, woken_by(futex));
    }
    write!(out, "{columns}")?;
    more(out, report.futexes.len().saturating_sub(shown))?;
    let other = &report.futexes_other;
    if other.waits > 0 {
        let (waits, total) = (plural(other.waits, "wait"), duration(other.total_ns));
        writeln!(out, "other addresses, not told apart: {waits}, {total}")?;
    }
    Ok(())
}

/// The waiting thread where it is one, else the threads by name.
fn waiters(participants: &[Participant]) -> String {
    if let [one] = participants {
        let tid = one.tid.map(|tid| format!(" {tid}")).unwrap_or_default();
        return format!("{}{tid}", fitted(&one.comm, NAME_WIDTH));
    }
    let mut names: Vec<(String, usize)> = Vec::new();
    for participant in participants {
        let name = fitted(&participant.comm, NAME_WIDTH);
        match names.iter_mut().find(|(other, _)| *other == name) {
            Some((_, threads)) => *threads += 1,
            None => names.push((name, 1)),
        }
    }
    names.sort_by_key(|(_, threads)| std::cmp::Reverse(*threads));
    let label = |(name, threads): &(String, usize)| match threads {
        1 => name.clone(),
        more => format!("{more} × {name}"),
    };
    match names.as_slice() {
        [] => "-".to_owned(),
        [one] => label(one),
        [one, other] => format!("{}, {}", label(one), label(other)),
        [most, rest @ ..] => {
            let rest: usize = rest.iter().map(|(_, threads)| threads).sum();
            format!("{} and {rest} more", label(most))
        }
    }
}

fn woken_by(futex: &Futex) -> Vec<String> {
    let all: u64 = futex.wakers.iter().map(|waker| waker.count).sum();
    let mut parts: Vec<String> = futex
        .wakers
        .iter()
        .take(NAMED)
        .map(|waker| {
            let tid = waker.tid.map(|tid| format!(" {tid}")).unwrap_or_default();
            format!("{}{tid} {}", fitted(&waker.comm, NAME_WIDTH), share(waker.count, all))
        })
        .collect();
    if let Some(rest) = futex.wakers.len().checked_sub(NAMED).filter(|rest| *rest > 0) {
        parts.push(format!("{rest} more"));
    }
    if futex.open_end > 0 {
        parts.push(format!("nobody yet: {}", plural(futex.open_end, "wait")));
    }
    parts
}

fn runqueue(out: &mut String, report: &Report) -> fmt::Result {
    heading(out, "RUN QUEUE AND SWITCHES", "")?;
    let mut columns = Columns::new(&[
        ("", Left),
        ("COUNT", Right),
        ("P50", Right),
        ("P95", Right),
        ("P99", Right),
        ("MAX", Right),
    ]);
    for (what, latency) in [
        ("run queue: from woken to running", &report.runqueue),
        ("on a CPU: from switched in to out", &report.switches.on_cpu),
    ] {
        let mut cells = vec![what.to_owned(), count(latency.count)];
        cells.extend(latency_cells(latency));
        columns.row(cells);
    }
    write!(out, "{columns}")?;
    let switches = &report.switches;
    let all = switches.voluntary + switches.involuntary;
    let per_second = all as f64 / (report.wall_ns.max(1) as f64 / 1e9);
    writeln!(
        out,
        "{}: {} voluntary, {} involuntary ({}); {} a second",
        plural(all, "switch"),
        count(switches.voluntary),
        count(switches.involuntary),
        share(switches.involuntary, all),
        count(per_second.round() as u64),
    )
}

fn wakers(out: &mut String, report: &Report, shown: usize) -> fmt::Result {
    if report.wakers.is_empty() {
        return Ok(());
    }
    let all: u64 = report.wakers.iter().map(|pair| pair.wakeups).sum::<u64>() + report.wakers_other;
    heading(out, "WAKEUPS", "who woke whom; shares of all wakeups")?;
    let mut columns = Columns::new(&[
        ("WAKER", Left),
        ("", Right),
        ("WOKEN", Left),
        ("", Right),
        ("WAKEUPS", Right),
        ("", Right),
        ("MEAN RUN QUEUE", Right),
    ]);
    for pair in report.wakers.iter().take(shown) {
        columns.row(vec![
            fitted(&pair.waker_comm, NAME_WIDTH),
            pair.waker_tid.map(|tid| tid.to_string()).unwrap_or_default(),
            fitted(&pair.comm, NAME_WIDTH),
            pair.tid.to_string(),
            count(pair.wakeups),
            share(pair.wakeups, all),
            duration(pair.runqueue_ns / pair.wakeups.max(1)),
        ]);
    }
    write!(out, "{columns}")?;
    more(out, report.wakers.len().saturating_sub(shown))?;
    if report.wakers_other > 0 {
        writeln!(out, "other pairs, not told apart: {}", plural(report.wakers_other, "wakeup"))?;
    }
    Ok(())
}

fn system_calls(out: &mut String, report: &Report, shown: usize) -> fmt::Result {
    if report.system_calls.is_empty() {
        return Ok(());
    }
    heading(out, "SYSTEM CALLS", "those that probes traced, by name; off CPU: the share of their time")?;
    let mut columns = Columns::new(&[
        ("NAME", Left),
        ("DEVICE", Left),
        ("CALLS", Right),
        ("ERRORS", Right),
        ("TOTAL", Right),
        ("OFF CPU", Right),
        ("P50", Right),
        ("P95", Right),
        ("P99", Right),
        ("MAX", Right),
    ]);
    for call in report.system_calls.iter().take(shown) {
        let mut cells = vec![
            printable(&call.name),
            printable(call.device.as_deref().unwrap_or(if call.counted { "(counted)" } else { "-" })),
            count(call.latency.count),
            call.errors.map_or_else(|| "-".to_owned(), count),
            duration(call.total_ns),
            call.off_cpu_ns.map_or_else(|| "-".to_owned(), |ns| share(ns, call.total_ns)),
        ];
        cells.extend(latency_cells(&call.latency));
        columns.row(cells);
    }
    write!(out, "{columns}")?;
    more(out, report.system_calls.len().saturating_sub(shown))
}

fn page_faults(out: &mut String, report: &Report, shown: usize) -> fmt::Result {
    let faults = &report.page_faults;
    if faults.threads.is_empty() {
        return Ok(());
    }
    heading(out, "PAGE FAULTS", &format!("{} minor, {} major", count(faults.minor), count(faults.major)))?;
    let mut columns = Columns::new(&[("TID", Right), ("NAME", Left), ("MINOR", Right), ("MAJOR", Right)]);
    for thread in faults.threads.iter().take(shown) {
        let name = fitted(&thread.comm, NAME_WIDTH);
        columns.row(vec![thread.tid.to_string(), name, count(thread.minor), count(thread.major)]);
    }
    write!(out, "{columns}")?;
    more(out, faults.threads.len().saturating_sub(shown))
}

fn processes(out: &mut String, report: &Report, shown: usize) -> fmt::Result {
    if report.processes.len() < 2 {
        return Ok(());
    }
    heading(out, "PROCESSES", "shares of the wall clock of their threads together")?;
    let heads = [("PID", Right), ("NAME", Left), ("THREADS", Right)];
    let mut columns = Columns::new(&[&heads, &ACCOUNT[..]].concat());
    for process in report.processes.iter().take(shown) {
        let name = fitted(&process.comm, NAME_WIDTH);
        let mut cells = vec![process.tgid.to_string(), name, count(process.threads as u64)];
        let (more, flow) = account(&process.states_ns, process.unattributed_ns, process.wall_ns);
        cells.extend(more);
        columns.flowing(cells, flow);
    }
    write!(out, "{columns}")?;
    more(out, report.processes.len().saturating_sub(shown))
}

fn host_runqueue(out: &mut String, host: Option<&HostRunqueue>) -> fmt::Result {
    let Some(host) = host else { return Ok(()) };
    let [p50, p95, p99, _] = latency_cells(&host.latency);
    let mut note = format!(
        "every task of the machine: {}; within {p50} for 50%, {p95} for 95%, {p99} for 99%",
        plural(host.latency.count, "wait")
    );
    if host.without_length > 0 {
        let _ = write!(note, "; {} onto idle CPUs, not timed by the kernel", count(host.without_length));
    }
    heading(out, "HOST RUN QUEUE", &note)?;
    let most = host.buckets.iter().map(|bucket| bucket.count).max().unwrap_or(1);
    let mut columns = Columns::new(&[("BELOW", Right), ("COUNT", Right), ("", Left)]);
    for bucket in &host.buckets {
        let bar = (bucket.count * BAR_WIDTH).div_ceil(most.max(1));
        columns.row(vec![duration(bucket.high_ns), count(bucket.count), "█".repeat(bar as usize)]);
    }
    write!(out, "{columns}")
}

pub(super) fn more(out: &mut String, left: usize) -> fmt::Result {
    match left {
        0 => Ok(()),
        left => writeln!(out, "and {} more (--json lists them)", count(left as u64)),
    }
}
