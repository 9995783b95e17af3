//! The report on a recording on disk.

use chrono::{DateTime, Local};

use super::{
    Fold, ProbeOff, Report, RunHeader, gpu::gpus, host::host, requests::RequestFold, resemblance, shed,
};
use crate::{
    check::each,
    ledger::Unwritten,
    recording::{Config, Recording, RecordingError},
    table::{
        CudaCallRow, GpuEventRow, GpuIoctlRow, HistogramRow, LossRow, OffCpuCountRow, OffCpuRow,
        PageFaultRow, RequestRow, ShedRow, SyscallRow, ThreadRow, TokenRow,
    },
};

/// Reads a recording and reports on it. One with no end is read twice: the rows of threads that lived on
/// were not written.
///
/// # Errors
///
/// A part of it cannot be read.
pub fn report(recording: &Recording) -> Result<Report, RecordingError> {
    let mut threads: Vec<ThreadRow> = recording.all()?;
    if recording.config().ended.is_none() {
        let mut unwritten = Unwritten::new(&threads);
        each::<OffCpuRow>(recording, |row| unwritten.off_cpu(row))?;
        each::<OffCpuCountRow>(recording, |row| unwritten.off_cpu_count(row))?;
        let unwritten = unwritten.finish();
        threads.extend(unwritten);
    }
    let loss: Vec<LossRow> = recording.all()?;
    let histogram: Vec<HistogramRow> = recording.all()?;
    let mut fold = Fold::new(&threads, &loss);
    each::<OffCpuRow>(recording, |row| fold.off_cpu(row))?;
    each::<OffCpuCountRow>(recording, |row| fold.off_cpu_count(row))?;
    each::<PageFaultRow>(recording, |row| fold.page_fault(row))?;
    each::<SyscallRow>(recording, |row| fold.syscall(row))?;
    each::<GpuIoctlRow>(recording, |row| fold.gpu_ioctl(row))?;
    each::<CudaCallRow>(recording, |row| fold.cuda_call(row))?;
    recording.all::<GpuEventRow>()?.into_iter().for_each(|row| fold.gpu_event(row));
    let name = recording.path().file_name().map(|name| name.to_string_lossy().into_owned());
    let mut report = fold.finish(header(recording.config(), name.unwrap_or_default()), &histogram);
    report.shed = shed::shed(&recording.all::<ShedRow>()?, recording.config(), &report);
    report.host = host(recording)?;
    report.gpus = gpus(recording)?;
    report.resembles = resemblance::of(&report);
    let mut requests = RequestFold::default();
    each::<RequestRow>(recording, |row| requests.request(row))?;
    each::<TokenRow>(recording, |row| requests.token(row))?;
    report.requests = requests.finish();
    Ok(report)
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
