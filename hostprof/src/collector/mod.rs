//! A recording from start to end: wires kernel → drains → pipeline → files; owns the threads and the end.

mod attach;
mod ceiling;
mod counters;
mod cuda;
mod describe;
mod engine_sampling;
mod fds;
mod folds;
mod gauges;
mod gpu_sampling;
mod http;
mod kernel_log;
mod nvidia;
mod pipeline;
mod pm_sampling;
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
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
        mpsc::SyncSender,
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::unistd::{Gid, Uid};

use self::{
    counters::{Counters, Reading},
    cuda::CudaProbes,
    engine_sampling::EngineSampling,
    kernel_log::EventLog,
    pm_sampling::PmSampling,
    sampling::Sampling,
    signals::Signals,
    watch::Watch,
};
pub use self::{
    engine_sampling::Metrics,
    folds::{Folding, Folds, Inlet},
    gauges::Gauges,
    pipeline::{Folded, Kept, Message, Setting},
    viewer::{Viewer, Wish},
};
use crate::{
    also::{Also, Tool},
    bpf::{self, DrainPriority, Drains, Kernel, LoadError, Rings, Streams},
    clock,
    privilege::{self, Invoker},
    probe::{Devices, GPU_PM, HOST_RUNQUEUE, HTTP, NETWORK, PAGE_FAULT, SCHED, Selection, WAKER, XID},
    recording::{Config, Dropped, EndReason, Ended, Gpus, Host, Moment, RunFolder, Totals},
    sink::{ParquetSink, Settings as SinkSettings, SinkError},
    target::{HeldCommand, Proc, Selector, TreeMode},
    units::MonoNs,
    usage,
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

/// Holds space for the last `config.json`, whose `ended` a full disk must not swallow.
const RESERVE_FILE: &str = ".reserve";
const RESERVE_BYTES: usize = 256 << 10;

/// What to record.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Something that runs.
    Running(Selector),
    /// A command, as root or as the invoking user.
    Command {
        /// The command and its arguments.
        command: Vec<OsString>,
        /// Run it as the invoking user, not as root.
        as_user: bool,
    },
}

/// How to record it.
#[derive(Clone, Debug)]
pub struct Options {
    /// What.
    pub wanted: Wanted,
    /// How far around it.
    pub tree: TreeMode,
    /// The folder of runs.
    pub out: PathBuf,
    /// End after that long.
    pub duration: Option<Duration>,
    /// End when the tables have that many bytes.
    pub max_bytes: Option<u64>,
    /// End when less than that share of the file system is free, 0 to 1.
    pub min_free: f64,
    /// Which probes.
    pub probes: Selection,
    /// The devices whose ioctls are told apart.
    pub ioctl_devices: Vec<String>,
    /// Devices that stand in for the NVIDIA driver's.
    pub stand_ins: Vec<String>,
    /// Keep the bytes that were read of the NVIDIA driver's structures.
    pub keep_ioctl_bytes: bool,
    /// Futex calls shorter than this are no rows.
    pub futex_threshold: Duration,
    /// The most threads recorded at a time.
    pub max_threads: u32,
    /// The most bytes of each CPU's ring. `None`: by the number of CPUs.
    pub ring_bytes: Option<u32>,
    /// Threads that fold. `None`: by the number of CPUs.
    pub folds: Option<usize>,
    /// The drains' priority.
    pub drain_priority: DrainPriority,
    /// Time between two samples; `None` for no samples.
    pub sample_interval: Option<Duration>,
    /// Which engines' metrics are sampled with it.
    pub metrics: Metrics,
    /// The length of an interval of PM sampling.
    pub gpu_pm_interval: Duration,
    /// The most that recording may cost, as a share of the target's CPU time; `None` for no ceiling.
    pub max_overhead: Option<f64>,
    /// Other tools to run beside.
    pub also: Vec<Tool>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The run folder.
    pub run: PathBuf,
    /// How it ended.
    pub reason: EndReason,
    /// How long it was.
    pub length: Duration,
    /// Numbers.
    pub totals: Totals,
    /// What the user should know.
    pub notes: Vec<String>,
    /// How the command ended.
    pub status: Option<ExitStatus>,
}

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
    let (mut kernel, rings, settings) = load_for(&mut options, &proc, &selector, &devices, &mut told)?;
    if !watched {
        told.drain(..).for_each(|note| eprintln!("hostprof: {note}"));
    }
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
    let mut cuda = CudaProbes::begin(&mut kernel, &proc, &options.probes, &attached.found.processes)?;
    for note in cuda.iter_mut().flat_map(CudaProbes::told) {
        if watched {
            told.push(note);
        } else {
            eprintln!("hostprof: {note}");
        }
    }
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
    let streams = streams(options, &rings);
    let setting = Setting {
        streams,
        devices,
        page_faults: options.probes.has(PAGE_FAULT),
        proc,
        gauges: Arc::new(Gauges::new(&attached.found.processes)),
    };
    let count = folds(options, streams, watched);
    let (sink, folds) =
        begin(options, &folder, count, &setting, attached.found.engine).inspect_err(|_| {
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
        let (interval, target) = (options.gpu_pm_interval, &attached.found.processes);
        Some(
            PmSampling::start(interval, target, &config.host.gpus, inlet.first().clone())
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
        cuda.as_mut(),
        &is_over,
    ))?;
    over.store(true, Ordering::Release);

    let stop = clock::mono();
    also.stop();
    if let Some(sampling) = sampling {
        sampling.finish().put(&mut config.samples);
    }
    config.samples.notes.extend(engines.map(EngineSampling::finish).unwrap_or_default());
    for note in pm.map(PmSampling::finish).unwrap_or_default() {
        describe::note(&mut config, GPU_PM, note);
    }
    let recursion = kernel.recursion_misses();
    watch.end_cuda(&mut kernel)?;
    kernel.detach()?;
    finish(drains);
    config.ceiling = watch.ceiling(&mut kernel)?;
    watch.last_counters(&kernel, stop, &skipped(recursion, options))?;
    let slots = kernel.slots()?;
    let tallies = kernel.tallies(&slots)?;
    let (calls, open) = (kernel.span_stats()?, kernel.open_calls(&slots)?);
    for probe in config.probes.iter_mut().filter(|probe| probe.on) {
        probe.notes.extend(spans::count_notes(&probe.name, &calls, &open));
    }
    let open_cuda = watch.take_open_cuda();
    let dropped = dropped_list(watch.dropped());
    let anchors = watch.anchors();
    let folded = folding
        .finish(Kept { at: stop, slots, tallies, open_cuda })
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
    if let Some(cuda) = &cuda {
        cuda.note(&mut config, &cuda::stats(&kernel)?);
    }
    nvidia::note(&mut config, &folded);
    let mut notes = told;
    notes.extend(attached.found.notes);
    notes.extend(also.finish(&folder, &mut config.also));
    notes.extend(untold_note(kernel.stats()?.iter().map(|cpu| cpu.sockets_untold).sum()));
    conclude(config, &folder, stop, notes, &folded, &ended, command.as_ref().filter(|_| !watched))
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

/// Makes what a recording needs before its first record is read: its tables, and so many folds.
fn begin(
    options: &Options,
    folder: &Arc<RunFolder>,
    count: usize,
    setting: &Setting,
    engine: Option<&str>,
) -> Result<(ParquetSink, Folds)> {
    let mut settings = SinkSettings { on_thread: bpf::prefer_thread, ..SinkSettings::default() };
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

/// Writes how a recording ended, and waits for a command that outlives it.
fn conclude(
    mut config: Config,
    folder: &RunFolder,
    stop: MonoNs,
    mut notes: Vec<String>,
    folded: &Result<Folded, SinkError>,
    ended: &watch::End,
    command: Option<&HeldCommand>,
) -> Result<Outcome> {
    let (reason, failure) = end(ended.reason.clone(), folded);
    notes.extend(failure.iter().map(|error| format!("{error}: what was written before is readable")));
    if let Ok(folded) = folded {
        notes.extend(folded_notes(folded));
    }
    config.ended = Some(Ended { at: Moment::new(clock::wall(), stop), reason: reason.clone() });
    let status = match (ended.status, command) {
        (Some(status), _) => Some(status),
        // The recording is over and the command is not: its status is still hostprof's.
        (None, Some(command)) if !ended.abandon_command => {
            eprintln!("hostprof: recording ended ({reason}), waiting for the command");
            command.wait()
        }
        _ => None,
    };
    config.exit_status = status.map(shell_status);
    // Gives the space back that the end needs on a full disk.
    let _ = std::fs::remove_file(folder.path().join(RESERVE_FILE));
    if let Err(error) = config.write(folder) {
        notes.push(error.to_string());
    }
    if let Some(error) = failure
        && !error.is_disk_full()
    {
        return Err(error.into());
    }
    let length = Duration::from_nanos(stop.0.saturating_sub(config.started.mono_ns.0));
    let totals = config.totals.unwrap_or_default();
    Ok(Outcome { run: folder.path().to_owned(), reason, length, totals, notes, status })
}

/// The status a shell would tell: 128 + n for a signal.
pub fn shell_status(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
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

/// Loads and attaches the kernel half with the probes that the target calls for, and says what they cost.
fn load_for(
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
fn folds(options: &Options, streams: Streams, watched: bool) -> usize {
    if watched || options.max_overhead.is_some() {
        return 1;
    }
    options.folds.unwrap_or_else(|| folds::folds_for(streams.cpus))
}

/// What is drained, by how many.
fn streams(options: &Options, rings: &Rings) -> Streams {
    let cpus = rings.cells.len();
    let drains = if options.max_overhead.is_some() { cpus.div_ceil(CEILING_CPUS_A_DRAIN) } else { cpus };
    Streams { cpus, drains: drains.clamp(1, DRAINS) }
}

/// How often the kernel skipped a program, by probe: of the programs of system calls, which run for all
/// their probes, by the first that is on.
fn skipped(recursion: Option<(u64, u64)>, options: &Options) -> Vec<(&'static str, u64)> {
    let Some((switches, calls)) = recursion else { return Vec::new() };
    let of_calls = spans::PROBES.iter().map(|(_, name)| *name).find(|name| options.probes.has(name));
    [Some((SCHED, switches)), of_calls.map(|name| (name, calls))].into_iter().flatten().collect()
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

/// How it ended, and the failure if that was one.
fn end(reason: EndReason, folded: &Result<Folded, SinkError>) -> (EndReason, Option<SinkError>) {
    match folded {
        Ok(_) => (reason, None),
        Err(error) if error.is_disk_full() => (EndReason::DiskFull, Some(error.clone())),
        Err(error) => (EndReason::Error(error.to_string()), Some(error.clone())),
    }
}

fn folded_notes(folded: &Folded) -> Vec<String> {
    let mut notes = Vec::new();
    let counts = &folded.counts;
    if counts.lost_switches > 0 {
        notes.push(format!(
            "{} context switches have no record (hostprof check names the threads)",
            counts.lost_switches
        ));
    }
    if counts.orphans > 0 {
        notes.push(format!("{} records are of threads whose beginning was lost", counts.orphans));
    }
    if folded.late > 0 {
        notes.push(format!("{} records came later than the order allows for", folded.late));
    }
    if folded.undecodable > 0 {
        notes.push(format!("{} bytes from the kernel were no record", folded.undecodable));
    }
    notes
}

fn untold_note(calls: u64) -> Option<String> {
    (calls > 0).then(|| {
        format!("{calls} sends and receives are in no process's network bytes (raise --max-threads)")
    })
}

fn dropped_list(dropped: &[(&str, u64)]) -> Vec<Dropped> {
    dropped.iter().map(|&(probe, records)| Dropped { probe: probe.to_owned(), records }).collect()
}
