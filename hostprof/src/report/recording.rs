//! The report on a recording on disk.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Local};

use super::{
    Fold, ProbeOff, Report, RunHeader,
    gpu::{bubbles, gpus, timelines},
    host::host,
    redact::Redaction,
    requests::RequestFold,
    resemblance, shed,
};
use crate::{
    check::each,
    humane::{count, percent, share},
    ledger::{IdleGap, IdleGaps, Lives, Unwritten, Window, merged},
    probe::GPU_PM,
    recording::{Config, Recording, RecordingError},
    story::{Around, Evidence, Options, Samples, Scope, ServedFold, Telling},
    table::{
        CgroupSampleRow, CudaCallRow, EngineSampleRow, GpuEventRow, GpuIoctlRow, GpuPmRow, GpuSampleRow,
        HistogramRow, LossRow, OffCpuCountRow, OffCpuRow, PageFaultRow, RequestRow, ShedRow, StepRow,
        SyscallRow, ThreadRow, TokenRow,
    },
};

/// Reads a recording and reports on it. One with no end is read twice: the rows of threads that lived on
/// were not written.
///
/// # Errors
///
/// A part of it cannot be read.
pub fn report(recording: &Recording, options: &Options) -> Result<Report, RecordingError> {
    read(recording, options, Redaction::new(false))
}

/// The same without names, to be given away.
///
/// # Errors
///
/// A part of it cannot be read.
pub fn redacted_report(recording: &Recording) -> Result<Report, RecordingError> {
    read(recording, &Options::default(), Redaction::new(true))
}

fn read(
    recording: &Recording,
    options: &Options,
    mut redaction: Redaction,
) -> Result<Report, RecordingError> {
    let mut threads: Vec<ThreadRow> = recording.all()?;
    if recording.config().ended.is_none() {
        let mut unwritten = Unwritten::new(&threads);
        each::<OffCpuRow>(recording, |row| unwritten.off_cpu(row))?;
        each::<OffCpuCountRow>(recording, |row| unwritten.off_cpu_count(row))?;
        let unwritten = unwritten.finish();
        threads.extend(unwritten);
    }
    redaction.threads(&mut threads);
    let loss: Vec<LossRow> = recording.all()?;
    let histogram: Vec<HistogramRow> = recording.all()?;
    let (mut requests, mut served) = (RequestFold::default(), ServedFold::default());
    each::<RequestRow>(recording, |row| {
        requests.request(row);
        served.request(redaction.request(row));
    })?;
    each::<TokenRow>(recording, |row| {
        requests.token(row);
        served.token(redaction.token(row));
    })?;
    let whole = whole(recording.config(), &threads);
    let mut telling = served
        .finish(options.request.as_deref(), whole.end_ns)
        .map(|served| Telling::new(&threads, served, whole, options));
    let mut around = around(recording, &loss, &mut redaction)?;
    let mut fold = Fold::new(&threads, &loss);
    let mut evidence = Evidence::new(options.launcher);
    each::<CudaCallRow>(recording, |row| {
        if let Some(thread) = fold.cuda_call(row) {
            evidence.call(thread, row);
        }
    })?;
    let scope = telling.as_ref().map_or_else(|| Scope::recording(whole), Telling::scope);
    let mut beside = bubbles(recording, &threads, &scope, &histogram, evidence)?;
    each::<OffCpuRow>(recording, |row| {
        let settled = fold.off_cpu_with(row, |piece| {
            if let Some(telling) = &mut telling {
                telling.piece(piece);
            }
            if let Some(bubbles) = beside.bubbles() {
                bubbles.piece(piece);
            }
        });
        let Some(thread) = settled else { return };
        if let Some(telling) = &mut telling {
            telling.off_cpu(row, thread, fold.lives());
        }
        if let Some(bubbles) = beside.bubbles() {
            bubbles.off_cpu(row, thread, fold.lives());
        }
    })?;
    each::<OffCpuCountRow>(recording, |row| {
        fold.off_cpu_count(row);
        let (from, to) = around.counted.unwrap_or((u64::MAX, 0));
        around.counted = Some((from.min(row.ts_mono_ns), to.max(row.ts_mono_ns.saturating_add(row.dur_ns))));
    })?;
    each::<PageFaultRow>(recording, |row| {
        fold.page_fault(row);
        around.samples.page_fault(row);
    })?;
    each::<SyscallRow>(recording, |row| fold.syscall(row))?;
    each::<GpuIoctlRow>(recording, |row| fold.gpu_ioctl(row))?;
    each::<StepRow>(recording, |row| {
        fold.step(row);
        if let Some(telling) = &mut telling {
            telling.step(row);
        }
    })?;
    recording.all::<GpuEventRow>()?.into_iter().for_each(|row| fold.gpu_event(row));
    let name = recording.path().file_name().map(|name| name.to_string_lossy().into_owned());
    let header = header(recording.config(), name.unwrap_or_default());
    let mut report = fold.finish_with(header, &histogram, |piece| {
        if let Some(telling) = &mut telling {
            telling.piece(piece);
        }
        if let Some(bubbles) = beside.bubbles() {
            bubbles.piece(piece);
        }
    });
    report.bubbles = beside.finish()?;
    report.shed = shed::shed(&recording.all::<ShedRow>()?, recording.config(), &report);
    report.host = host(recording)?;
    report.gpus = gpus(recording)?;
    report.resembles = resemblance::of(&report);
    report.requests = requests.finish();
    around.gpu_missing = report.gpus.as_ref().and_then(|gpus| gpus.missing.clone());
    report.story = telling.map(|telling| telling.finish(&Lives::new(&threads), &around));
    if let Some(gpus) = &mut report.gpus {
        gpus.timelines = timelines(recording, &scope, report.story.as_mut())?;
    }
    redaction.report(&mut report);
    Ok(report)
}

/// The recording's time.
fn whole(config: &Config, threads: &[ThreadRow]) -> Window {
    let last = threads.iter().map(|row| row.end_mono_ns).max();
    let end_ns = config.ended.as_ref().map(|ended| ended.at.mono_ns.0).or(last).unwrap_or(0);
    let start_ns = config.started.mono_ns.0.min(end_ns);
    Window { start_ns, end_ns }
}

/// What else the story needs, as far as it does not come with other rows.
fn around(
    recording: &Recording,
    loss: &[LossRow],
    redaction: &mut Redaction,
) -> Result<Around, RecordingError> {
    let mut cgroups: Vec<CgroupSampleRow> = recording.all()?;
    redaction.cgroups(&mut cgroups);
    let gpus: Vec<GpuSampleRow> = recording.all()?;
    let mut samples = Samples::new(recording.all()?, cgroups, recording.all()?);
    if let Some(gaps) = idle_gaps(recording, &gpus)? {
        samples.gpu_idle(gaps);
    }
    Ok(Around {
        samples,
        gpus,
        engine: recording.all()?.iter().map(|row: &EngineSampleRow| (row.ts_mono_ns, engine(row))).collect(),
        engine_missing: "no scrape of the engine's metrics in this recording".to_owned(),
        // Samples of a GPU that are missing say nothing of threads.
        lost: merged(loss.iter().filter(|row| row.probe != GPU_PM)),
        ..Around::default()
    })
}

/// When the target's GPU had no work: of several the one that had most. `None` where that was not sampled, or none is known to
/// be the target's.
fn idle_gaps(
    recording: &Recording,
    samples: &[GpuSampleRow],
) -> Result<Option<Vec<IdleGap>>, RecordingError> {
    let mut found: BTreeMap<u32, (IdleGaps, Vec<IdleGap>)> = BTreeMap::new();
    let targets: BTreeSet<u32> =
        samples.iter().filter(|row| row.target_by.is_some()).map(|row| row.gpu).collect();
    for rows in recording.rows::<GpuPmRow>()? {
        for row in rows?.iter().filter(|row| targets.contains(&row.gpu)) {
            let (under_way, gaps) = found.entry(row.gpu).or_default();
            gaps.extend(under_way.push(row));
        }
    }
    let whole = found.into_values().map(|(under_way, mut gaps)| {
        gaps.extend(under_way.finish());
        gaps
    });
    Ok(whole.min_by_key(|gaps| gaps.iter().map(|gap| gap.idle_ns).sum::<u64>()))
}

/// What an engine told of itself, in words.
fn engine(row: &EngineSampleRow) -> String {
    let mut told = vec![row.engine.clone()];
    let number = |number: Option<u64>, what: &str| number.map(|number| format!("{} {what}", count(number)));
    told.extend(number(row.running, "running"));
    told.extend(number(row.waiting, "waiting"));
    told.extend(row.kv_used_ratio.map(|ratio| format!("KV cache {} used", percent(ratio))));
    if let (Some(hits), Some(queries)) = (row.prefix_hits, row.prefix_queries) {
        told.push(format!("prefix cache had {} of all tokens so far", share(hits, queries)));
    }
    told.extend(number(row.preemptions, "preempted so far"));
    told.join(" · ")
}

fn header(config: &Config, name: String) -> RunHeader {
    let target = &config.target;
    let roots: Vec<String> = target.roots.iter().map(|root| format!("{} {}", root.comm, root.tgid)).collect();
    let of = if roots.is_empty() { String::new() } else { format!(" ({})", roots.join(", ")) };
    let started = DateTime::parse_from_rfc3339(&config.started.wall).map_or_else(
        |_| config.started.wall.clone(),
        |wall| wall.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S %:z").to_string(),
    );
    let totals = config.totals.as_ref();
    RunHeader {
        name,
        target: format!("{} {}{of}", target.kind, target.value),
        engine: target.engine.clone(),
        host: config.host.hostname.clone(),
        kernel: config.host.kernel_release.clone(),
        driver: config.host.gpus.driver.clone(),
        cpus: Some(config.host.online_cpus.len() as u32).filter(|cpus| *cpus > 0),
        started,
        started_mono_ns: Some(config.started.mono_ns.0),
        ended_mono_ns: config.ended.as_ref().map(|ended| ended.at.mono_ns.0),
        end_reason: config.ended.as_ref().map(|ended| ended.reason.to_string()),
        probes_off: config
            .probes
            .iter()
            .filter(|probe| !probe.on)
            .map(|probe| ProbeOff { name: probe.name.clone(), reason: probe.reason.clone() })
            .collect(),
        own_cpu_ns: totals.map(|totals| totals.own_cpu_ns),
        own_max_rss_bytes: totals.map(|totals| totals.own_max_rss_bytes),
    }
}
