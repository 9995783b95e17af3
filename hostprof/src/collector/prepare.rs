//! What a recording is made with: the kernel half loaded, what is drained and folded by how many, and the files.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};

use super::{
    folds::{self, Folds},
    options::Options,
    pipeline::Setting,
    spans,
};
use crate::{
    bpf::{self, Kernel, LoadError, Rings, Streams},
    probe::{Devices, HOST_RUNQUEUE, HTTP, NETWORK, WAKER},
    recording::RunFolder,
    sink::{ParquetSink, Settings as SinkSettings},
    target::{Proc, Selector},
};

/// What a `kill -9` costs at most, below a ceiling.
const CEILING_PART_INTERVAL: Duration = Duration::from_secs(20);
/// Rows that are encoded at a time, below a ceiling: for half a millisecond.
const CEILING_BATCH_ROWS: usize = 512;
/// The most threads that drain the rings, and below a ceiling the CPUs that share one: each costs its wakeups.
const DRAINS: usize = 16;
const CEILING_CPUS_A_DRAIN: usize = 16;
/// What the rings of all CPUs have in all where nothing else is asked for, and what one has at most and at least.
const ALL_RINGS_BYTES: u32 = 256 << 20;
const RING_BYTES: u32 = 8 << 20;
const LEAST_RING_BYTES: u32 = 1 << 20;
/// Batches of a table that may wait for its encoder, however many folds there are.
const LEAST_QUEUED_BATCHES: usize = 32;

/// Loads and attaches the kernel half with the probes that the target calls for, and says what they cost.
pub fn load_for(
    options: &mut Options,
    proc: &Proc,
    selector: &Selector,
    devices: &Devices,
    told: &mut Vec<String>,
) -> Result<(Kernel, Rings, bpf::Settings)> {
    let mut added = Vec::new();
    if options.probes.asks_for_device() && spans::has_device(proc, selector, options.tree, devices) {
        added = options.probes.add_with_device();
    }
    let loaded = match load(options, devices) {
        // What nobody named need not run.
        Err(LoadError::NoSpanHook(reason)) if !added.is_empty() => {
            told.push(format!("probes {} left out: {reason}", added.join(", ")));
            options.probes.leave_out(&added);
            load(options, devices)?
        }
        loaded => loaded?,
    };
    let kernel = &loaded.0;
    for (probe, reason) in kernel.left_out() {
        ensure!(!options.probes.names(probe), "run probe {probe}: {reason}");
    }
    if let Some(price) = spans::price(kernel.spans(), &options.probes) {
        told.push(price);
    }
    Ok(loaded)
}

/// Loads and attaches the kernel half.
fn load(options: &Options, devices: &Devices) -> Result<(Kernel, Rings, bpf::Settings), LoadError> {
    let settings = settings(options, devices)?;
    let (mut kernel, rings) = Kernel::load(&settings)?;
    kernel.attach()?;
    Ok((kernel, rings, settings))
}

/// How many fold. A view is shown what one of them has; and a ceiling keeps the rate of records low.
pub fn folds(options: &Options, streams: Streams, watched: bool) -> usize {
    if watched || options.max_overhead.is_some() {
        return 1;
    }
    options.folds.unwrap_or_else(|| folds::folds_for(streams.cpus))
}

/// What is drained, by how many.
pub fn streams(options: &Options, rings: &Rings) -> Streams {
    let cpus = rings.cells.len();
    let drains = if options.max_overhead.is_some() { cpus.div_ceil(CEILING_CPUS_A_DRAIN) } else { cpus };
    Streams { cpus, drains: drains.clamp(1, DRAINS) }
}

fn settings(options: &Options, devices: &Devices) -> Result<bpf::Settings, LoadError> {
    let samples = options.sample_interval.is_some();
    let cpus = bpf::possible_cpus()?;
    let ring_bytes = options
        .ring_bytes
        .unwrap_or_else(|| (ALL_RINGS_BYTES / cpus.next_power_of_two()).clamp(LEAST_RING_BYTES, RING_BYTES));
    Ok(bpf::Settings {
        ring_bytes,
        slots: options.max_threads,
        wakers: options.probes.has(WAKER),
        host_runqueue: options.probes.has(HOST_RUNQUEUE),
        network: samples && options.probes.has(NETWORK),
        http: options.probes.has(HTTP),
        ceiling: options.max_overhead.is_some(),
        spans: spans::settings(
            &options.probes,
            devices,
            options.futex_threshold.as_nanos() as u64,
            options.keep_ioctl_bytes,
        ),
    })
}

/// What a thread that folds or encodes does first, and with each part of its work. Below a ceiling the thread that looks
/// what was spent must not wait for one of them.
pub fn on_work(options: &Options) -> fn() {
    match options.drain_priority {
        bpf::DrainPriority::None => || {},
        bpf::DrainPriority::Auto if options.max_overhead.is_some() => bpf::prefer_thread,
        bpf::DrainPriority::Auto => bpf::work,
    }
}

/// Makes what a recording needs before its first record is read: its tables, and so many folds.
pub fn begin(
    options: &Options,
    folder: &Arc<RunFolder>,
    count: usize,
    setting: &Setting,
    engine: Option<&str>,
) -> Result<(ParquetSink, Folds)> {
    let mut settings = SinkSettings { on_work: setting.on_work, ..SinkSettings::default() };
    // What waits in memory where the disk stalls is the same, however many write.
    settings.queued_batches = (settings.queued_batches / count).max(LEAST_QUEUED_BATCHES);
    if options.max_overhead.is_some() {
        // What is done at once counts in one second.
        settings.part_interval = CEILING_PART_INTERVAL;
        settings.in_turn = true;
        settings.batch_rows = CEILING_BATCH_ROWS;
    }
    let sink = ParquetSink::new(Arc::clone(folder), settings);
    let folds = Folds::new(count, &sink, setting, engine)?;
    Ok((sink, folds))
}
