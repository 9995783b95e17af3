//! While a recording runs: the clock, the disk, signals, the target, the kernel half's counters, and the
//! progress line. Decides when it ends.

use std::{
    path::PathBuf,
    process::ExitStatus,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use hostprof_common::{function, slot::Slot};
use nix::sys::{signal::Signal, statvfs::statvfs};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    Options,
    ceiling::{Ceiling, LOOKS_A_SECOND},
    counters::{self, Counters, Reading},
    describe,
    folds::Inlet,
    gauges::Gauges,
    kernel_log::{EventLog, Following},
    libraries::LibraryProbes,
    pipeline::Message,
    progress::{self, Progress},
    shedding::Shedding,
    signals::Signals,
    viewer::asked,
};
use crate::{
    bpf::{self, Alarm, Cost, Drains, Kernel},
    clock,
    recording::{CeilingConfig, ClockAnchor, EndReason, RunFolder},
    sink::ParquetSink,
    table::GpuEventRow,
    target::HeldCommand,
    units::MonoNs,
    usage,
};

/// How often everything is looked at.
const TICK: Duration = Duration::from_millis(1000 / LOOKS_A_SECOND);
/// Ticks between two looks at the cost, where no step is left to take.
const RESTING_TICKS: u64 = 5;
/// Ticks between two readings of the counters.
const COUNTER_TICKS: u64 = 10;
/// Ticks between two looks for libraries to be probed.
const LIBRARY_TICKS: u64 = 5;
/// Ticks between two clock anchors.
const ANCHOR_TICKS: u64 = 600;
/// Ticks between two returns of free memory.
const MEMORY_TICKS: u64 = 600;
/// How long a command that was sent SIGTERM may take to end.
const TERM_GRACE: Duration = Duration::from_secs(5);

/// Waits until the programs take a step by themselves.
async fn sounded(alarm: Option<&mut Alarm>) {
    match alarm {
        Some(alarm) => alarm.sounded().await,
        None => std::future::pending().await,
    }
}

/// Why and how the watch ended.
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// The command's status, where it has ended.
    pub status: Option<ExitStatus>,
    /// The command was told to end and did not: it is not waited for.
    pub abandon_command: bool,
}

/// What ends a recording beside the target and the limits.
pub struct Over<'a> {
    /// The pipeline has ended, and so has failed.
    pub failed: &'a dyn Fn() -> bool,
    /// What whoever looks on asked for.
    pub asked: &'a AtomicU8,
}

/// The watch over a recording.
pub struct Watch<'a> {
    options: &'a Options,
    sink: &'a ParquetSink,
    folder: PathBuf,
    gauges: Arc<Gauges>,
    inlet: Inlet,
    counters: Counters,
    anchors: Vec<ClockAnchor>,
    progress: Progress,
    /// Nothing is said on the terminal.
    quiet: bool,
    ceiling: Option<Ceiling>,
    shedding: Option<Shedding>,
    functions_ended: bool,
    /// When calls of functions were recorded no more, and those that were open then.
    open_functions: Option<(MonoNs, Vec<(Slot, function::Open)>)>,
}

impl<'a> Watch<'a> {
    /// A watch over a recording that begins now.
    pub fn new(
        options: &'a Options,
        sink: &'a ParquetSink,
        folder: &RunFolder,
        gauges: &Arc<Gauges>,
        counters: Counters,
        ceiling: Option<Ceiling>,
        inlet: Inlet,
    ) -> Self {
        Self {
            options,
            sink,
            folder: folder.path().to_owned(),
            gauges: Arc::clone(gauges),
            inlet,
            counters,
            anchors: vec![describe::anchor()],
            progress: Progress::new(options.duration),
            quiet: false,
            ceiling,
            shedding: None,
            functions_ended: false,
            open_functions: None,
        }
    }

    /// Waits for an end: the command's or the target's, the duration's, a signal, a limit, or the
    /// pipeline's, which has failed then.
    ///
    /// # Errors
    ///
    /// The event loop fails.
    #[expect(clippy::too_many_arguments, reason = "each is another's, lent until the end")]
    pub async fn until_end(
        &mut self,
        mut signals: Signals,
        events: Option<EventLog>,
        kernel: &mut Kernel,
        drains: &mut Option<Drains>,
        command: Option<&HeldCommand>,
        libraries: Option<&mut LibraryProbes>,
        over: &Over<'_>,
    ) -> Result<End> {
        let mut events = events.map(EventLog::follow).transpose()?;
        let end = self.until(&mut signals, &mut events, kernel, drains, command, libraries, over).await;
        if self.shedding.is_some() {
            bpf::lower_thread();
        }
        self.events(events.and_then(|events| events.unread().ok()).unwrap_or_default());
        end
    }

    #[expect(clippy::too_many_arguments, reason = "as above")]
    async fn until(
        &mut self,
        signals: &mut Signals,
        events: &mut Option<Following>,
        kernel: &mut Kernel,
        drains: &mut Option<Drains>,
        command: Option<&HeldCommand>,
        mut libraries: Option<&mut LibraryProbes>,
        over: &Over<'_>,
    ) -> Result<End> {
        let mut log = if self.quiet { None } else { kernel.log() };
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        if let Some(ceiling) = self.ceiling.take() {
            let sender = self.inlet.first().clone();
            self.shedding = Some(Shedding::begin(ceiling, &self.gauges, sender, self.quiet));
        }
        let mut alarm = kernel.cost().map(Cost::alarm).transpose()?.flatten();
        let started = Instant::now();
        let mut tick = 0_u64;
        let mut ended_before = false;
        let end = |reason| End { reason, status: None, abandon_command: false };
        loop {
            tokio::select! {
                _ = signals.interrupt.recv() => match command {
                    // Ctrl-C is the command's: the recording ends when it does.
                    Some(command) => command.signal(Signal::SIGINT),
                    None => return Ok(end(EndReason::Signal)),
                },
                _ = signals.terminate.recv() => return Ok(Self::terminated(command).await),
                _ = signals.hangup.recv() => return Ok(Self::terminated(command).await),
                _ = signals.child.recv() => {}
                () = sounded(alarm.as_mut()) => self.look(kernel, drains)?,
                rows = next(events, self.quiet) => self.events(rows),
                _ = ticks.tick() => {
                    tick += 1;
                    let rests = self.shedding.as_ref().is_some_and(Shedding::has_ended);
                    if !rests || tick.is_multiple_of(RESTING_TICKS) {
                        self.look(kernel, drains)?;
                    }
                    self.tick(kernel, tick)?;
                    if let Some(libraries) = libraries.as_deref_mut().filter(|_| tick.is_multiple_of(LIBRARY_TICKS)) {
                        self.look_for_libraries(libraries, kernel);
                    }
                    if let Some(log) = &mut log {
                        log.flush();
                    }
                    if let Some(reason) = self.limit(started) {
                        return Ok(end(reason));
                    }
                    match over.asked.load(Ordering::Acquire) {
                        0 => {}
                        asked::END => return Ok(End { abandon_command: true, ..end(EndReason::Signal) }),
                        _ => return Ok(Self::terminated(command).await),
                    }
                    if (over.failed)() {
                        return Ok(end(EndReason::Error("the writer ended early".to_owned())));
                    }
                    // Twice, since a thread may be met just as another ends.
                    let gone = self.shedding.as_ref().is_some_and(Shedding::target_is_gone);
                    let ended = self.gauges.all_ended() || gone;
                    if command.is_none() && ended && ended_before {
                        return Ok(end(EndReason::TargetExit));
                    }
                    ended_before = ended;
                }
            }
            if let Some(status) = command.and_then(HeldCommand::try_wait) {
                return Ok(End { status: Some(status), ..end(EndReason::TargetExit) });
            }
        }
    }

    fn events(&self, rows: Vec<GpuEventRow>) {
        for row in rows {
            let _ = self.inlet.first().send(Message::GpuEvent(row));
        }
    }

    /// SIGTERM, or whoever looks on leaves: passes it on to the command and gives that a little time.
    async fn terminated(command: Option<&HeldCommand>) -> End {
        let mut end = End { reason: EndReason::Signal, status: None, abandon_command: true };
        let Some(command) = command else { return end };
        command.signal(Signal::SIGTERM);
        let ended = async {
            loop {
                if let Some(status) = command.try_wait() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        end.status = timeout(TERM_GRACE, ended).await.ok();
        end
    }

    /// Looks at the cost. Where that ends the recording of threads, there is nothing more to drain.
    fn look(&mut self, kernel: &mut Kernel, drains: &mut Option<Drains>) -> Result<()> {
        let Some(shedding) = &mut self.shedding else { return Ok(()) };
        let Some(at) = shedding.look(kernel)? else { return Ok(()) };
        self.gauges.end_network();
        self.end_functions(kernel)?;
        kernel.detach()?;
        if let Some(drains) = drains.take() {
            drains.finish();
        }
        self.inlet.ended(at);
        Ok(())
    }

    fn look_for_libraries(&self, libraries: &mut LibraryProbes, kernel: &mut Kernel) {
        libraries.look(kernel, &self.gauges.processes());
        for note in libraries.told().iter().filter(|_| !self.quiet) {
            self.progress.clear();
            eprintln!("hostprof: {note}");
        }
    }

    /// Ends the recording of calls of functions, if it has not ended: before the programs are detached.
    ///
    /// # Errors
    ///
    /// A map cannot be read or written.
    pub fn end_functions(&mut self, kernel: &mut Kernel) -> Result<()> {
        if !std::mem::replace(&mut self.functions_ended, true) {
            self.open_functions = Some(kernel.end_functions()?);
        }
        Ok(())
    }

    /// The calls that were open when [`Watch::end_functions`] ended their recording, and when that was.
    pub fn take_open_functions(&mut self) -> Option<(MonoNs, Vec<(Slot, function::Open)>)> {
        self.open_functions.take()
    }

    /// The ceiling and what came of it; `None` where none was set.
    ///
    /// # Errors
    ///
    /// The cost cannot be read.
    pub fn ceiling(&mut self, kernel: &mut Kernel) -> Result<Option<CeilingConfig>> {
        let Some(shedding) = &mut self.shedding else { return Ok(None) };
        Ok(Some(shedding.finish(kernel)?))
    }

    fn tick(&mut self, kernel: &Kernel, tick: u64) -> Result<()> {
        if tick.is_multiple_of(COUNTER_TICKS) {
            self.read_counters(kernel, clock::mono(), false)?;
        }
        if tick.is_multiple_of(ANCHOR_TICKS) {
            self.anchors.push(describe::anchor());
        }
        if tick.is_multiple_of(MEMORY_TICKS) {
            usage::return_free_memory();
        }
        if tick.is_multiple_of(2) {
            self.progress.show(&progress::State {
                records: self.gauges.records(),
                live: self.gauges.live(),
                dropped: self.counters.dropped(),
                bytes: self.sink.bytes(),
            });
        }
        Ok(())
    }

    fn limit(&self, started: Instant) -> Option<EndReason> {
        if self.options.duration.is_some_and(|duration| started.elapsed() >= duration) {
            return Some(EndReason::Duration);
        }
        if self.options.max_bytes.is_some_and(|most| self.sink.bytes() >= most) {
            return Some(EndReason::MaxSize);
        }
        let disk = statvfs(&self.folder).ok()?;
        let free = disk.blocks_available() as f64 / disk.blocks().max(1) as f64;
        (free < self.options.min_free).then_some(EndReason::MinFree)
    }

    fn read_counters(&mut self, kernel: &Kernel, at: MonoNs, whole: bool) -> Result<()> {
        for row in self.counters.losses(at, Reading::of(kernel)?) {
            let _ = self.inlet.first().send(Message::Loss(row));
        }
        if self.counters.completes(whole) {
            for row in self.counters.histograms(kernel.call_counts()?, kernel.function_counts()?) {
                let _ = self.inlet.first().send(Message::Histogram(row));
            }
        }
        Ok(())
    }

    /// Reads the counters a last time, after the kernel half was detached. `skipped` is how often the kernel
    /// skipped a program, by probe.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    pub fn last_counters(&mut self, kernel: &Kernel, stop: MonoNs, skipped: &[(&str, u64)]) -> Result<()> {
        self.read_counters(kernel, stop, true)?;
        let start = MonoNs(self.anchors.first().map_or(0, |anchor| anchor.mono_ns));
        for &(probe, missed) in skipped.iter().filter(|(_, missed)| *missed > 0) {
            let row = counters::loss(probe, start, stop, None, "recursion", missed);
            let _ = self.inlet.first().send(Message::Loss(row));
        }
        self.anchors.push(describe::anchor());
        Ok(())
    }

    /// Records lost, by probe.
    pub fn dropped(&self) -> &[(&'static str, u64)] {
        self.counters.dropped_by_probe()
    }

    /// The clock anchors.
    pub fn anchors(&self) -> Vec<ClockAnchor> {
        self.anchors.clone()
    }

    /// Says nothing on the terminal from now on: a view has it.
    pub fn be_quiet(&mut self) {
        self.quiet = true;
        self.progress.hide();
    }

    /// Takes the progress line away.
    pub fn clear_progress(&self) {
        self.progress.clear();
    }
}

/// The next events of the GPU's driver; none ever, where there is no log or it cannot be read any more.
async fn next(events: &mut Option<Following>, quiet: bool) -> Vec<GpuEventRow> {
    if let Some(following) = events {
        match following.next().await {
            Ok(rows) => return rows,
            Err(error) => {
                if !quiet {
                    eprintln!("hostprof: read the kernel's log: {error}");
                }
                *events = None;
            }
        }
    }
    std::future::pending().await
}
