//! Records into files: decode, order, fold, write, on one thread of its own; or on several, each with a share of the
//! threads.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender},
    },
    time::Duration,
};

use hostprof_common::{function, shed::Tallies, slot::Slot};

use super::{
    gauges::Gauges,
    tables::{First, Rest, Tables},
    tap::{Look, Tap},
};
use crate::{
    bpf::{Drained, Streams},
    clock,
    order::{Order, SLACK_NS},
    probe::{
        Devices, Event, Fold, FoldCounts, HttpCounts, Life, Placement, Seed, Share, nvidia::NvidiaCounts,
    },
    sampler::{GpuSamples, Samples},
    sink::{ParquetSink, SinkError, Writer as _},
    table::{EngineSampleRow, GpuEventRow, GpuPmRow, HistogramRow, LossRow, ShedRow},
    target::Proc,
    units::{MonoNs, Tgid, Tid},
};

/// What a pipeline's thread is told. All but the first four is for the first of them.
#[derive(Debug)]
pub enum Message {
    /// From a drain.
    Drained(Drained),
    /// A scan found something.
    Met(Met),
    /// The drains have ended, and threads were recorded no more from then on.
    Ended(MonoNs),
    /// Recording is over.
    Stop(Arc<Kept>),
    /// A thread that was another fold's has ended.
    Life(Box<Life>),
    /// Counted in the kernel half.
    Histogram(HistogramRow),
    /// Lost by the kernel half.
    Loss(LossRow),
    /// Told by the GPU's driver.
    GpuEvent(GpuEventRow),
    /// Polled.
    Samples(Box<Samples>),
    /// Polled of GPUs.
    Gpus(Box<GpuSamples>),
    /// Asked of an engine.
    Engine(Box<EngineSampleRow>),
    /// Counted by GPUs, each in the order of time.
    GpuPm(Vec<GpuPmRow>),
    /// A step below the ceiling.
    Shed(ShedRow),
    /// A view wants a picture.
    Look(Box<Look>),
}

/// What a scan of `/proc` found.
#[derive(Clone, Debug)]
pub enum Met {
    /// A thread.
    Thread(Tid, Box<Seed>),
    /// The program of a process.
    Program(Tgid, String),
    /// Where a process is.
    Placement(Tgid, Placement),
}

/// What the kernel half kept of each thread when it recorded no more.
#[derive(Debug, Default)]
pub struct Kept {
    /// When that was.
    pub at: MonoNs,
    /// What the next record would have been made of.
    pub slots: Vec<Slot>,
    /// What was counted and not handed over.
    pub tallies: Vec<Tallies>,
    /// When calls of functions were recorded no more, and those that were open then, each with its thread.
    pub open_functions: Option<(MonoNs, Vec<(Slot, function::Open)>)>,
}

impl From<Drained> for Message {
    fn from(drained: Drained) -> Self {
        Self::Drained(drained)
    }
}

/// What the pipeline ended with.
#[derive(Debug)]
pub struct Folded {
    /// What could not be told.
    pub counts: FoldCounts,
    /// What was seen of requests.
    pub http: HttpCounts,
    /// What was seen of the NVIDIA driver's calls.
    pub nvidia: NvidiaCounts,
    /// Events that came after later ones had been released.
    pub late: u64,
    /// Bytes that were no record.
    pub undecodable: u64,
}

impl Folded {
    /// With what another one ended with.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.counts += other.counts;
        self.http += other.http;
        self.nvidia += other.nvidia;
        self.late += other.late;
        self.undecodable += other.undecodable;
        self
    }
}

/// What the pipelines of a recording have in common.
#[derive(Clone, Debug)]
pub struct Setting {
    /// What is drained.
    pub streams: Streams,
    /// The devices whose ioctls are told apart.
    pub devices: Devices,
    /// Whether page faults are asked for.
    pub page_faults: bool,
    /// Where processes are looked up.
    pub proc: Proc,
    /// What others may look at.
    pub gauges: Arc<Gauges>,
    /// What a thread that folds or encodes does first, and with each part of its work.
    pub on_work: fn(),
}

/// A pipeline before it runs.
pub struct Pipeline {
    share: Share,
    setting: Setting,
    order: Order,
    fold: Fold,
    tables: Tables,
    undecodable: u64,
    threads_ended: Option<MonoNs>,
    /// Threads begun and threads living, of which the gauges know the processes.
    gauged: (u64, usize),
}

impl Pipeline {
    /// That of the first fold, or the only one.
    ///
    /// # Errors
    ///
    /// A table cannot be begun.
    pub fn first(
        sink: &ParquetSink,
        setting: Setting,
        share: Share,
        engine: Option<&str>,
    ) -> Result<Self, SinkError> {
        let first = First::new(sink, engine, setting.proc.clone())?;
        Self::new(sink, setting, share, Rest::First(Box::new(first)))
    }

    /// That of a fold beside the first, which it tells of threads that ended.
    ///
    /// # Errors
    ///
    /// A table cannot be begun.
    pub fn beside(
        sink: &ParquetSink,
        setting: Setting,
        share: Share,
        first: SyncSender<Message>,
    ) -> Result<Self, SinkError> {
        Self::new(sink, setting, share, Rest::Beside(first))
    }

    fn new(sink: &ParquetSink, setting: Setting, share: Share, rest: Rest) -> Result<Self, SinkError> {
        Ok(Self {
            order: Order::new(setting.streams.count()),
            fold: Fold::of(share, setting.devices.clone()),
            tables: Tables::new(sink, setting.page_faults, setting.proc.clone(), rest)?,
            share,
            setting,
            undecodable: 0,
            threads_ended: None,
            gauged: (0, 0),
        })
    }

    /// The pipeline, watched; that of a recording's only fold.
    #[must_use]
    pub fn tapped(mut self, tap: Tap) -> Self {
        if let Some(first) = self.tables.first() {
            first.tap = Some(tap);
        }
        self
    }

    /// Runs until [`Message::Stop`], or until every sender is gone.
    ///
    /// # Errors
    ///
    /// A row could not be stored. The kernel's rings are then no longer read.
    pub fn run(mut self, messages: &Receiver<Message>) -> Result<Folded, SinkError> {
        loop {
            (self.setting.on_work)();
            match messages.recv_timeout(Duration::from_millis(200)) {
                Ok(Message::Stop(kept)) => return self.finish(&kept),
                Ok(message) => self.message(message)?,
                Err(RecvTimeoutError::Timeout) => self.tables.tick()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return self.finish(&Kept { at: clock::mono(), ..Kept::default() });
                }
            }
        }
    }

    fn message(&mut self, message: Message) -> Result<(), SinkError> {
        match message {
            Message::Drained(Drained::Records { stream, bytes }) => {
                if let Some(tap) = self.tables.tap() {
                    tap.drained(bytes.len());
                }
                self.decode(stream, &bytes);
                Ok(())
            }
            Message::Drained(Drained::Round { at }) => {
                self.release(MonoNs(at.0.saturating_sub(SLACK_NS)));
                self.tables.tick()
            }
            Message::Met(met) => {
                match met {
                    Met::Thread(tid, seed) => self.fold.seed(tid, *seed),
                    Met::Program(tgid, exe) => self.fold.program(tgid, exe),
                    Met::Placement(tgid, placement) => self.fold.placement(tgid, placement),
                }
                Ok(())
            }
            // The rows of threads wait for the end: to make them costs as much as many records. The gauges stay: the
            // target's processes live on.
            Message::Ended(at) => {
                let (fold, tables) = (&mut self.fold, &mut self.tables);
                self.order.finish(|event| fold.event(event, tables));
                self.threads_ended = Some(at);
                Ok(())
            }
            Message::Life(life) => {
                self.tables.ended(&life);
                Ok(())
            }
            message => self.tables.first().map_or(Ok(()), |first| told(first, message)),
        }
    }

    fn release(&mut self, until: MonoNs) {
        let (fold, tables, proc) = (&mut self.fold, &mut self.tables, &self.setting.proc);
        self.order.release(until, |event| {
            fold.event(event, tables);
            if let Some((utid, tgid)) = fold.executed(event)
                && let Some(placement) = proc.placement(tgid)
            {
                fold.moved(utid, placement);
            }
        });
        if let Rest::First(first) = &mut self.tables.rest {
            let gauges = &self.setting.gauges;
            gauges.set_threads(self.fold.live() as u64, self.fold.begun());
            let threads = (self.fold.begun(), self.fold.live());
            if threads != std::mem::replace(&mut self.gauged, threads) {
                gauges.set_processes(self.fold.processes());
            }
            if let Some(tap) = &mut first.tap {
                tap.released(until, &self.fold, &mut first.roles);
            }
        }
    }

    fn decode(&mut self, stream: usize, mut bytes: &[u8]) {
        let gauges = &self.setting.gauges;
        let of_threads = stream == self.setting.streams.threads();
        if !of_threads && gauges.first_record().is_none() {
            gauges.set_first_record(clock::mono());
        }
        // Those of threads are for every fold.
        let counts = self.share.is_first() || !of_threads;
        let mut records = 0;
        while !bytes.is_empty() {
            if let Ok(event) = Event::decode(bytes) {
                bytes = &bytes[event.wire_bytes()..];
                if of_threads && counts && matches!(event, Event::Begin(_)) {
                    gauges.add_thread();
                }
                self.order.push(stream, event);
                records += 1;
            } else {
                self.undecodable += if counts { bytes.len() as u64 } else { 0 };
                break;
            }
        }
        gauges.add_records(if counts { records } else { 0 });
    }

    fn finish(mut self, kept: &Kept) -> Result<Folded, SinkError> {
        let (fold, tables, proc) = (&mut self.fold, &mut self.tables, &self.setting.proc);
        self.order.finish(|event| fold.event(event, tables));
        if let Some((at, open)) = &kept.open_functions {
            fold.open_functions(open, *at, tables);
        }
        let ended = self.threads_ended;
        // What is read now of a thread tells nothing of when its recording ended.
        let seed = |tgid, tid| if ended.is_some() { None } else { proc.seed(tgid, tid) };
        fold.finish(ended.unwrap_or(kept.at), &kept.slots, &kept.tallies, seed, tables);
        let threads = self.setting.streams.threads();
        let counted_beside = if self.share.is_first() { 0 } else { self.order.late_of(threads) };
        let folded = Folded {
            counts: self.fold.counts(),
            http: self.fold.http_counts(),
            nvidia: self.fold.nvidia_counts(),
            late: self.order.late() - counted_beside,
            undecodable: self.undecodable,
        };
        self.tables.finish()?;
        Ok(folded)
    }
}

/// What is told to the first fold alone.
fn told(first: &mut First, message: Message) -> Result<(), SinkError> {
    match message {
        Message::Histogram(row) => {
            if let Some(tap) = &mut first.tap {
                tap.rolling.histogram(row.clone());
            }
            first.histogram.push(row)
        }
        Message::Loss(row) => {
            if let Some(tap) = &mut first.tap {
                tap.rolling.loss(row.clone());
            }
            first.loss.push(row)
        }
        Message::GpuEvent(row) => first.gpu_event.push(row),
        Message::GpuPm(rows) => rows.into_iter().try_for_each(|row| first.gpu_pm.push(row)),
        Message::Samples(samples) => {
            if let Some(tap) = &mut first.tap {
                tap.samples(&samples);
            }
            first.samples.push(*samples)
        }
        Message::Gpus(samples) => {
            if let Some(tap) = &mut first.tap {
                samples.gpus.iter().for_each(|row| tap.rolling.gpu(row.clone()));
            }
            first.samples.push_gpus(*samples)
        }
        Message::Engine(row) => {
            if let Some(tap) = &mut first.tap {
                tap.rolling.engine((*row).clone());
            }
            first.samples.push_engine(*row)
        }
        Message::Shed(row) => {
            if let Some(tap) = &mut first.tap {
                tap.rolling.shed(row.clone());
            }
            first.shed.push(row)
        }
        Message::Look(look) => {
            if let Some(tap) = &mut first.tap {
                tap.look(look);
            }
            Ok(())
        }
        Message::Drained(_) | Message::Met(_) | Message::Ended(_) | Message::Stop(_) | Message::Life(_) => {
            Ok(())
        }
    }
}
