//! A recording from start to end: wires kernel → drains → pipeline → files; owns the threads and the end.

mod aside;
mod attach;
mod ceiling;
mod conclude;
mod counters;
mod describe;
mod engine_sampling;
mod fds;
mod folds;
mod gauges;
mod gpu_sampling;
mod http;
mod kernel_log;
mod libraries;
mod nvidia;
mod options;
mod pipeline;
mod pm_sampling;
mod prepare;
mod progress;
mod role;
mod sampling;
mod shedding;
mod signals;
mod spans;
mod tables;
mod tap;
mod viewer;
mod watch;

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
        mpsc::SyncSender,
    },
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::unistd::{Gid, Uid};

pub use self::{
    conclude::shell_status,
    engine_sampling::Metrics,
    folds::{Folding, Folds, Inlet},
    gauges::Gauges,
    options::{Options, Outcome, Wanted},
    pipeline::{Folded, Kept, Message, Setting},
    viewer::{Viewer, Wish},
};
use self::{
    counters::{Counters, Reading},
    engine_sampling::EngineSampling,
    kernel_log::EventLog,
    libraries::LibraryProbes,
    pm_sampling::PmSampling,
    sampling::Sampling,
    signals::Signals,
    watch::Watch,
};
use crate::{
    also::Also,
    bpf::{self, Drains},
    clock,
    privilege::{self, Invoker},
    probe::{Devices, GPU_PM, HTTP, NETWORK, PAGE_FAULT, Selection, XID},
    recording::{Config, Gpus, Host, Moment, RunFolder, Totals},
    target::{HeldCommand, Proc, Selector},
    usage,
};

/// Holds space for the last `config.json`, whose `ended` a full disk must not swallow.
const RESERVE_FILE: &str = ".reserve";
const RESERVE_BYTES: usize = 256 << 10;

/// Takes a viewer when recording has begun.
pub type Looks<'a> = Box<dyn FnOnce(Viewer) -> Result<()> + 'a>;

/// Records until an end comes.
///
/// # Errors
///
/// Nothing could be recorded; nothing is left behind then. Or a failure in the middle: what was written
/// before stays readable, and `config.json` tells the failure.
pub fn record(options: &Options) -> Result<Outcome> {
    session(options, None)
}

/// Records while somebody looks on, and leaves the terminal alone.
///
/// # Errors
///
/// As for [`record`].
pub fn live(options: &Options, looks: Looks<'_>) -> Result<Outcome> {
    session(options, Some(looks))
}

#[expect(clippy::too_many_lines, reason = "a recording from start to end: the order is the matter")]
fn session(options: &Options, looks: Option<Looks<'_>>) -> Result<Outcome> {
    let watched = looks.is_some();
    let invoker = Invoker::find();
    ensure!(
        options.sample_interval.is_some() || !options.probes.names(NETWORK),
        "run probe {NETWORK}: it is read with the samples (leave out --no-samples)"
    );
    ensure!(
        options.max_overhead.is_none() || !options.probes.names(GPU_PM),
        "run probe {GPU_PM}: what it costs cannot be kept below a ceiling (leave out --max-overhead)"
    );
    let mut command = hold(&options.wanted, &invoker, watched)?;
    let proc = Proc::new();
    let mut devices = Devices::select(&options.ioctl_devices)?;
    devices.stand_in(&options.stand_ins)?;
    let selector = selector(&options.wanted, command.as_ref())?;
    // Somebody waits for the first picture, on a machine that may be busy. Other tools would inherit it.
    let haste = if watched && options.also.is_empty() { bpf::Haste::begin() } else { None };
    // Done beside the loading, and before anything is recorded unless somebody waits: NVML may take a second to start.
    let gpus = thread::Builder::new().spawn(|| Gpus::read(Path::new("/"))).context("start a thread")?;
    let mut host = Host::without_gpus();
    let mut options = options.clone();
    let mut told = Vec::new();
    let (mut kernel, rings, settings) =
        prepare::load_for(&mut options, &proc, &selector, &devices, &mut told)?;
    tell(&mut told, watched);
    let mut gpus = Some(gpus);
    if !watched {
        host.gpus = joined(gpus.take())?.unwrap_or_default();
    }
    let options = &options;
    let started = clock::mono();
    // Before the first thread is recorded: what the rings lose from then on is loss.
    let counters = Counters::new(started, Reading::of(&kernel)?, watched);
    let ceiling = options.max_overhead.map(|most| shedding::set(most, &mut kernel)).transpose()?;
    if ceiling.is_some() {
        // While it waits for a CPU, to begin or to take a step, the programs cost.
        bpf::raise_thread(options.drain_priority);
    }
    let attached = attach::attach(&mut kernel, &proc, &selector, options.tree)?;
    http::tell_ports(&mut kernel, &proc, &options.probes, &attached.found.processes)?;
    kernel.heed_end()?;
    let mut libraries = LibraryProbes::begin(&mut kernel, &proc, &options.probes, &attached.found.processes)?;
    told.extend(libraries.iter_mut().flat_map(LibraryProbes::told));
    tell(&mut told, watched);
    let served = engine_sampling::served(&options.metrics, &proc, &attached.found.processes);
    let mut also = Also::hold(&options.also, &attached.found.processes, invoker.uid);

    let (events, no_log) = kernel_log(&options.probes)?;
    // From here on hostprof is the invoking user, and so is all it makes.
    bpf::allow_priority();
    let capabilities = privilege::give_up(&invoker)?;
    let (runtime, signals) = Signals::take()?;
    let folder = Arc::new(RunFolder::create(&options.out)?);
    let mut config =
        describe::config(options, &attached.found, &selector, &proc, &invoker, &settings, kernel.spans());
    describe::left_out(&mut config, kernel.left_out());
    describe::left_out(&mut config, no_log.map(|reason| (XID, reason)).as_slice());
    config.started = Moment::new(clock::wall(), started);
    config.host = host;
    config.capabilities = capabilities;
    let streams = prepare::streams(options, &rings);
    let setting = Setting {
        streams,
        devices,
        page_faults: options.probes.has(PAGE_FAULT),
        proc,
        gauges: Arc::new(Gauges::new(&attached.found.processes)),
        on_work: prepare::on_work(options),
    };
    let count = prepare::folds(options, streams, watched);
    let (sink, folds) = prepare::begin(options, &folder, count, &setting, attached.found.engine)
        .inspect_err(|_| {
            let _ = std::fs::remove_dir_all(folder.path());
        })?;
    kernel.heed_end()?;
    let (inlet, gauges) = (folds.inlet(), setting.gauges);
    let (asked_to_stop, over) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicBool::new(false)));
    let told_gpus = Arc::new(OnceLock::new());
    let (folds, viewer) = if watched {
        let (tap, pictures) = viewer::ends(started, Proc::new(), options.probes.has(HTTP));
        let parts = viewer::Begun {
            slots: kernel.slot_reader(),
            messages: inlet.first().clone(),
            tables: sink.progress(),
            run: folder.path().to_owned(),
            gauges: Arc::clone(&gauges),
            gpus: Arc::clone(&told_gpus),
            haste,
            stop: Arc::clone(&asked_to_stop),
            ended: Arc::clone(&over),
        };
        (folds.with_first(|first| first.tapped(tap)), Some(Viewer::new(parts, pictures, &config)))
    } else {
        (folds, None)
    };
    let folding = folds.start().context("start a thread")?;
    for met in &attached.met {
        inlet.met(met);
    }
    let round = if options.max_overhead.is_some() { bpf::CEILING_ROUND } else { bpf::ROUND };
    let mut drains = Drains::start(rings, streams, options.drain_priority, round, inlet.each())
        .map(Some)
        .context("start a thread")?;
    kernel.heed_end()?;
    // Before all that storage, samples and NVML may keep waiting.
    let viewed = looks.zip(viewer).map_or(Ok(()), |(looks, viewer)| looks(viewer));
    // Storage may take a second for these, in which an unread ring would overflow.
    let first = viewed.and_then(|()| first_files(&config, &folder));
    kernel.heed_end()?;
    let sockets = kernel.take_sockets();
    let mut sampling = options
        .sample_interval
        .map(|interval| Sampling::start(interval, sockets, &gauges, inlet.first()))
        .transpose()
        .context("start a thread")?;
    if !watched {
        watch_gpus(&mut sampling, &config, &gauges, inlet.first())?;
    }
    let engines = match options.sample_interval {
        Some(interval) => EngineSampling::start(&options.metrics, served, interval, &gauges, inlet.first())
            .context("start a thread")?,
        None => None,
    };
    let pm = if options.probes.has(GPU_PM) {
        tell_gpus(&mut gpus, &mut config, &told_gpus)?;
        let (settings, target) = (options.gpu_pm.clone(), &attached.found.processes);
        Some(
            PmSampling::start(settings, target, &config.host.gpus, inlet.first().clone())
                .context("start a thread")?,
        )
    } else {
        None
    };
    let mut begun = first
        .and_then(|()| sampled(&mut config, pm.as_ref()))
        .and_then(|()| go(&mut config, &folder, &mut also, command.as_mut()));
    if begun.is_ok() && watched {
        tell_gpus(&mut gpus, &mut config, &told_gpus)?;
        begun = config.write(&folder).map_err(Into::into);
        watch_gpus(&mut sampling, &config, &gauges, inlet.first())?;
    }
    if let Err(error) = begun {
        sampling.map(Sampling::finish);
        engines.map(EngineSampling::finish);
        pm.map(PmSampling::finish);
        finish(drains);
        let _ = folding.finish(Kept { at: clock::mono(), ..Kept::default() });
        let _ = std::fs::remove_dir_all(folder.path());
        return Err(error);
    }

    let mut watch = Watch::new(options, &sink, &folder, &gauges, counters, ceiling, inlet);
    if watched {
        watch.be_quiet();
    }
    let is_over = watch::Over { failed: &|| folding.has_failed(), asked: &asked_to_stop };
    let ended = runtime.block_on(watch.until_end(
        signals,
        events,
        &mut kernel,
        &mut drains,
        command.as_ref(),
        libraries.as_mut(),
        &is_over,
    ))?;
    over.store(true, Ordering::Release);

    let stop = clock::mono();
    also.stop();
    if let Some(sampling) = sampling {
        sampling.finish().put(&mut config.samples);
    }
    let recursion = kernel.recursion_misses();
    watch.end_functions(&mut kernel)?;
    kernel.detach()?;
    finish(drains);
    // These may take their time, in which the programs would cost and the rings fill.
    config.samples.notes.extend(engines.map(EngineSampling::finish).unwrap_or_default());
    for note in pm.map(PmSampling::finish).unwrap_or_default() {
        describe::note(&mut config, GPU_PM, note);
    }
    config.ceiling = watch.ceiling(&mut kernel)?;
    watch.last_counters(&kernel, stop, &conclude::skipped(recursion, options))?;
    let slots = kernel.slots()?;
    let tallies = kernel.tallies(&slots)?;
    let (calls, open) = (kernel.span_stats()?, kernel.open_calls(&slots)?);
    for probe in config.probes.iter_mut().filter(|probe| probe.on) {
        probe.notes.extend(spans::count_notes(&probe.name, &calls, &open));
    }
    let open_functions = watch.take_open_functions();
    let dropped = conclude::dropped_list(watch.dropped());
    let anchors = watch.anchors();
    let folded = folding
        .finish(Kept { at: stop, slots, tallies, open_functions })
        .ok_or_else(|| anyhow!("fold the records: a thread panicked"))?;
    watch.clear_progress();

    let totals = Totals {
        records: gauges.records(),
        bytes: sink.bytes(),
        dropped,
        own_cpu_ns: usage::own_cpu().as_nanos() as u64,
        own_max_rss_bytes: usage::own_max_rss(),
        threads: gauges.threads(),
        first_record_mono_ns: gauges.first_record().map(|at| at.0),
    };
    config.totals = Some(totals);
    config.clock_anchors = anchors;
    http::note(&mut config, &kernel, &folded)?;
    if let Some(libraries) = &libraries {
        libraries.note(&mut config, &kernel.span_stats()?);
    }
    nvidia::note(&mut config, &folded);
    let mut notes = told;
    notes.extend(attached.found.notes);
    notes.extend(also.finish(&folder, &mut config.also));
    notes.extend(conclude::untold_note(kernel.stats()?.iter().map(|cpu| cpu.sockets_untold).sum()));
    conclude::conclude(config, &folder, stop, notes, &folded, &ended, command.as_ref().filter(|_| !watched))
}

/// Tells at once what else is told at the end, where nobody has the terminal.
fn tell(notes: &mut Vec<String>, watched: bool) {
    if !watched {
        notes.drain(..).for_each(|note| eprintln!("hostprof: {note}"));
    }
}

/// Takes samples of the machine's GPUs too, where there are some and samples are taken.
fn watch_gpus(
    sampling: &mut Option<Sampling>,
    config: &Config,
    gauges: &Arc<Gauges>,
    sender: &SyncSender<Message>,
) -> Result<()> {
    match sampling {
        Some(sampling) if config.host.gpus.are_told() => {
            sampling.watch_gpus(gauges, sender).context("start a thread")
        }
        _ => Ok(()),
    }
}

/// Waits for what is known of the GPUs, and tells who asked.
fn tell_gpus(
    gpus: &mut Option<thread::JoinHandle<Gpus>>,
    config: &mut Config,
    told: &OnceLock<Gpus>,
) -> Result<()> {
    if let Some(found) = joined(gpus.take())? {
        config.host.gpus = found.clone();
        let _ = told.set(found);
    }
    Ok(())
}

/// What a thread found out, where there is one.
fn joined<T>(thread: Option<thread::JoinHandle<T>>) -> Result<Option<T>> {
    thread
        .map(|thread| thread.join().map_err(|_| anyhow!("read the machine: the thread panicked")))
        .transpose()
}

/// Reads what is left in the rings; there are no drains any more where a ceiling has ended recording.
fn finish(drains: Option<Drains>) {
    if let Some(drains) = drains {
        drains.finish();
    }
}

/// The kernel's log, where probe xid is on, or why there is none.
fn kernel_log(probes: &Selection) -> Result<(Option<EventLog>, Option<String>)> {
    match probes.has(XID).then(EventLog::open) {
        Some(Err(error)) => {
            let reason = format!(
                "open the kernel's log: {error} (needs /dev/kmsg, and CAP_SYSLOG where kernel.dmesg_restrict is set)"
            );
            ensure!(!probes.names(XID), "run probe {XID}: {reason}");
            Ok((None, Some(reason)))
        }
        log => Ok((log.and_then(std::io::Result::ok), None)),
    }
}

/// Writes what a recording has before its first part, to storage.
fn first_files(config: &Config, folder: &RunFolder) -> Result<()> {
    config.write(folder)?;
    folder.write_file(RESERVE_FILE, &vec![0; RESERVE_BYTES])?;
    Ok(())
}

/// Waits until the GPUs are sampled, where that was asked for.
fn sampled(config: &mut Config, pm: Option<&PmSampling>) -> Result<()> {
    let Some(pm) = pm else { return Ok(()) };
    for note in pm.begun().map_err(|why| anyhow!("run probe {GPU_PM}: {why}"))? {
        describe::note(config, GPU_PM, note);
    }
    Ok(())
}

/// Has the other tools begin, then the command.
fn go(
    config: &mut Config,
    folder: &RunFolder,
    also: &mut Also,
    command: Option<&mut HeldCommand>,
) -> Result<()> {
    config.also = also.begin(folder);
    if !config.also.is_empty() {
        config.write(folder)?;
    }
    command.map_or(Ok(()), |command| Ok(command.start(folder.path())?))
}

fn selector(wanted: &Wanted, command: Option<&HeldCommand>) -> Result<Selector> {
    match (wanted, command) {
        (Wanted::Running(selector), _) => Ok(selector.clone()),
        (Wanted::Command { .. }, Some(command)) => Ok(Selector::Command(command.tgid())),
        (Wanted::Command { .. }, None) => Err(anyhow!("start the command: it is not held")),
    }
}

fn hold(wanted: &Wanted, invoker: &Invoker, watched: bool) -> Result<Option<HeldCommand>> {
    let Wanted::Command { command, as_user } = wanted else { return Ok(None) };
    let user: Option<(Uid, Gid)> = (*as_user && invoker.through_sudo).then_some((invoker.uid, invoker.gid));
    Ok(Some(HeldCommand::hold(command, user, watched)?))
}
