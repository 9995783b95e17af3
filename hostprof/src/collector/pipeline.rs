//! Records into files: decode, order, fold, write, on one thread of its own.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use hostprof_common::{cuda, shed::Tallies, slot::Slot};

use super::{
    fds::Fds,
    role,
    sampling::SampleTables,
    tap::{Look, Tap},
};
use crate::{
    bpf::{self, Drained},
    clock,
    order::{Order, SLACK_NS},
    probe::{
        Devices, Event, Fold, FoldCounts, HttpCounts, Life, Placement, Rows, Seed, nvidia::NvidiaCounts,
    },
    sampler::{GpuSamples, Samples},
    sink::{ParquetSink, ParquetWriter, Sink as _, SinkError, Writer as _},
    table::{
        CudaCallRow, GpuEventRow, GpuIoctlRow, HistogramRow, LossRow, OffCpuCountRow, OffCpuRow,
        PageFaultRow, RequestRow, ShedRow, SyscallRow, ThreadRow, TokenRow,
    },
    target::Proc,
    units::{MonoNs, Tgid, Tid},
};

/// What the pipeline's thread is told.
#[derive(Debug)]
pub enum Message {
    /// From a drain.
    Drained(Drained),
    /// A scan found a thread.
    Seed(Tid, Box<Seed>),
    /// A scan found a process.
    Program(Tgid, String),
    /// Where a scan found a process.
    Placement(Tgid, Placement),
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
    /// A step below the ceiling.
    Shed(ShedRow),
    /// A view wants a picture.
    Look(Box<Look>),
    /// Calls of CUDA's driver library are recorded no more: since when, and those that were open, each with its thread.
    /// Told before what follows.
    OpenCuda(MonoNs, Vec<(Slot, cuda::Open)>),
    /// The drains have ended, threads are recorded no more: what the kernel half kept of each, and when it stopped.
    Ended(MonoNs, Vec<Slot>, Vec<Tallies>),
    /// The same, and recording is over.
    Stop(MonoNs, Vec<Slot>, Vec<Tallies>),
}

impl From<Drained> for Message {
    fn from(drained: Drained) -> Self {
        Self::Drained(drained)
    }
}

/// What others may look at while the pipeline runs.
#[derive(Debug, Default)]
pub struct Gauges {
    records: AtomicU64,
    first_record_ns: AtomicU64,
    threads: AtomicU64,
    live: AtomicU64,
    begun: AtomicU64,
    network_ended: AtomicBool,
    processes: Mutex<Vec<Tgid>>,
}

impl Gauges {
    /// Of a target with these processes.
    pub fn new(processes: &[Tgid]) -> Self {
        let gauges = Self::default();
        gauges.set_processes(processes.to_vec());
        gauges
    }
    /// Records decoded.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }
    /// When the first record of a wait came; `None` while none has.
    pub fn first_record(&self) -> Option<MonoNs> {
        Some(MonoNs(self.first_record_ns.load(Ordering::Relaxed))).filter(|at| at.0 != 0)
    }
    /// Threads seen.
    pub fn threads(&self) -> u64 {
        self.threads.load(Ordering::Relaxed)
    }
    /// Whether threads have begun and all of them have ended.
    pub fn all_ended(&self) -> bool {
        self.begun.load(Ordering::Acquire) > 0 && self.live() == 0
    }
    /// Whether the programs that count network bytes are detached.
    pub fn network_ended(&self) -> bool {
        self.network_ended.load(Ordering::Acquire)
    }
    /// Says so.
    pub fn end_network(&self) {
        self.network_ended.store(true, Ordering::Release);
    }
    /// The processes that have a thread that lives, sorted.
    pub fn processes(&self) -> Vec<Tgid> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn set_processes(&self, mut processes: Vec<Tgid>) {
        processes.sort_unstable();
        *self.processes.lock().unwrap_or_else(PoisonError::into_inner) = processes;
    }
    /// Threads that live.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
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

/// Writers of all tables.
struct Tables {
    thread: ParquetWriter<ThreadRow>,
    off_cpu: ParquetWriter<OffCpuRow>,
    off_cpu_count: ParquetWriter<OffCpuCountRow>,
    syscall: ParquetWriter<SyscallRow>,
    gpu_ioctl: ParquetWriter<GpuIoctlRow>,
    gpu_event: ParquetWriter<GpuEventRow>,
    cuda_call: ParquetWriter<CudaCallRow>,
    page_fault: ParquetWriter<PageFaultRow>,
    /// Whether faults were asked for; the table is there in any case.
    page_faults: bool,
    request: ParquetWriter<RequestRow>,
    token: ParquetWriter<TokenRow>,
    histogram: ParquetWriter<HistogramRow>,
    shed: ParquetWriter<ShedRow>,
    loss: ParquetWriter<LossRow>,
    samples: SampleTables,
    roles: role::Roles,
    fds: Fds,
    /// What a view is shown; `None` where nobody looks.
    tap: Option<Tap>,
    error: Option<SinkError>,
}

impl Tables {
    fn keep(&mut self, result: Result<(), SinkError>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

impl Rows for Tables {
    fn alive(&mut self, life: &Life) {
        if let Some(tap) = &mut self.tap {
            tap.alive(life, &mut self.roles);
        }
    }

    fn off_cpu(&mut self, mut row: OffCpuRow) {
        if let Some(tap) = &mut self.tap {
            tap.rolling.off_cpu(&row);
        }
        row.fd_kind = self.fds.kind(&row);
        let result = self.off_cpu.push(row);
        self.keep(result);
    }

    fn off_cpu_count(&mut self, row: OffCpuCountRow) {
        let result = self.off_cpu_count.push(row);
        self.keep(result);
    }

    fn syscall(&mut self, row: SyscallRow) {
        if let Some(tap) = &mut self.tap {
            tap.rolling.syscall(&row);
        }
        let result = self.syscall.push(row);
        self.keep(result);
    }

    fn gpu_ioctl(&mut self, row: GpuIoctlRow) {
        if let Some(tap) = &mut self.tap {
            tap.rolling.gpu_ioctl(&row);
        }
        let result = self.gpu_ioctl.push(row);
        self.keep(result);
    }

    fn cuda_call(&mut self, row: CudaCallRow) {
        if let Some(tap) = &mut self.tap {
            tap.rolling.cuda_call(&row);
        }
        let result = self.cuda_call.push(row);
        self.keep(result);
    }

    fn page_fault(&mut self, row: PageFaultRow) {
        if self.page_faults {
            if let Some(tap) = &mut self.tap {
                tap.rolling.page_fault(&row);
            }
            let result = self.page_fault.push(row);
            self.keep(result);
        }
    }

    fn request(&mut self, row: RequestRow) {
        if let Some(tap) = &mut self.tap {
            tap.rolling.request(&row);
        }
        let result = self.request.push(row);
        self.keep(result);
    }

    fn token(&mut self, row: TokenRow) {
        if let Some(tap) = &mut self.tap {
            tap.rolling.token(&row);
        }
        let result = self.token.push(row);
        self.keep(result);
    }

    fn thread(&mut self, life: &Life) {
        let row = self.roles.assign(life);
        if let Some(tap) = &mut self.tap {
            tap.ended(&row);
        }
        let result = self.thread.push(row);
        self.keep(result);
    }
}

/// The pipeline before it runs.
pub struct Pipeline {
    order: Order,
    fold: Fold,
    tables: Tables,
    rounds: HashMap<usize, MonoNs>,
    drains: usize,
    thread_stream: usize,
    undecodable: u64,
    threads_ended: bool,
    open_cuda: Option<(MonoNs, Vec<(Slot, cuda::Open)>)>,
    gauges: Arc<Gauges>,
    /// Threads begun and threads living, of which the gauges know the processes.
    gauged: (u64, usize),
    proc: Proc,
}

impl Pipeline {
    /// A pipeline for those streams.
    ///
    /// # Errors
    ///
    /// A table cannot be begun.
    pub fn new(
        sink: &ParquetSink,
        streams: bpf::Streams,
        devices: Devices,
        page_faults: bool,
        engine: Option<&str>,
        proc: Proc,
        gauges: Arc<Gauges>,
    ) -> Result<Self, SinkError> {
        let tables = Tables {
            thread: sink.writer()?,
            off_cpu: sink.writer()?,
            off_cpu_count: sink.writer()?,
            syscall: sink.writer()?,
            gpu_ioctl: sink.writer()?,
            gpu_event: sink.writer()?,
            cuda_call: sink.writer()?,
            page_fault: sink.writer()?,
            page_faults,
            request: sink.writer()?,
            token: sink.writer()?,
            histogram: sink.writer()?,
            shed: sink.writer()?,
            loss: sink.writer()?,
            samples: SampleTables::new(sink)?,
            roles: role::Roles::new(engine, proc.clone()),
            fds: Fds::new(proc.clone()),
            tap: None,
            error: None,
        };
        Ok(Self {
            order: Order::new(streams.count()),
            fold: Fold::new(devices),
            tables,
            rounds: HashMap::new(),
            drains: streams.drains,
            thread_stream: streams.threads(),
            undecodable: 0,
            threads_ended: false,
            open_cuda: None,
            gauges,
            gauged: (0, 0),
            proc,
        })
    }

    /// The pipeline, watched.
    #[must_use]
    pub fn tapped(mut self, tap: Tap) -> Self {
        self.tables.tap = Some(tap);
        self
    }

    /// Runs until [`Message::Stop`], or until every sender is gone.
    ///
    /// # Errors
    ///
    /// A row could not be stored. The kernel's rings are then no longer read.
    pub fn run(mut self, messages: &Receiver<Message>) -> Result<Folded, SinkError> {
        bpf::prefer_thread();
        loop {
            match messages.recv_timeout(Duration::from_millis(200)) {
                Ok(Message::Stop(at, slots, tallies)) => return self.finish(at, &slots, &tallies),
                Ok(message) => self.message(message)?,
                Err(RecvTimeoutError::Timeout) => self.tick()?,
                Err(RecvTimeoutError::Disconnected) => return self.finish(clock::mono(), &[], &[]),
            }
        }
    }

    fn message(&mut self, message: Message) -> Result<(), SinkError> {
        match message {
            Message::Drained(Drained::Records { stream, bytes }) => {
                if let Some(tap) = &mut self.tables.tap {
                    tap.drained(bytes.len());
                }
                self.decode(stream, &bytes);
            }
            Message::Drained(Drained::Round { drain, at }) => {
                self.rounds.insert(drain, at);
                if self.rounds.len() == self.drains {
                    let until = self.rounds.values().min().map_or(0, |at| at.0.saturating_sub(SLACK_NS));
                    let (fold, tables, proc) = (&mut self.fold, &mut self.tables, &self.proc);
                    self.order.release(MonoNs(until), |event| {
                        fold.event(event, tables);
                        if let Some((utid, tgid)) = fold.executed(event)
                            && let Some(placement) = proc.placement(tgid)
                        {
                            fold.moved(utid, placement);
                        }
                    });
                    self.gauges.live.store(self.fold.live() as u64, Ordering::Relaxed);
                    self.gauges.begun.store(self.fold.begun(), Ordering::Release);
                    let threads = (self.fold.begun(), self.fold.live());
                    if threads != std::mem::replace(&mut self.gauged, threads) {
                        self.gauges.set_processes(self.fold.processes());
                    }
                    if let Some(tap) = &mut self.tables.tap {
                        tap.released(MonoNs(until), &self.fold, &mut self.tables.roles);
                    }
                }
                self.tick()?;
            }
            Message::Seed(tid, seed) => self.fold.seed(tid, *seed),
            Message::Program(tgid, exe) => self.fold.program(tgid, exe),
            Message::Placement(tgid, placement) => self.fold.placement(tgid, placement),
            Message::Histogram(row) => {
                if let Some(tap) = &mut self.tables.tap {
                    tap.rolling.histogram(row.clone());
                }
                self.tables.histogram.push(row)?;
            }
            Message::Loss(row) => {
                if let Some(tap) = &mut self.tables.tap {
                    tap.rolling.loss(row.clone());
                }
                self.tables.loss.push(row)?;
            }
            Message::GpuEvent(row) => self.tables.gpu_event.push(row)?,
            Message::Samples(samples) => {
                if let Some(tap) = &mut self.tables.tap {
                    tap.samples(&samples);
                }
                self.tables.samples.push(*samples)?;
            }
            Message::Gpus(samples) => self.tables.samples.push_gpus(*samples)?,
            Message::Shed(row) => self.tables.shed.push(row)?,
            Message::Look(look) => {
                if let Some(tap) = &mut self.tables.tap {
                    tap.look(look);
                }
            }
            Message::OpenCuda(at, open) => self.open_cuda = Some((at, open)),
            // The gauges stay: the target's processes live on.
            Message::Ended(at, slots, tallies) => self.end_threads(at, &slots, &tallies),
            Message::Stop(..) => {}
        }
        Ok(())
    }

    fn decode(&mut self, stream: usize, mut bytes: &[u8]) {
        if stream != self.thread_stream && self.gauges.first_record().is_none() {
            self.gauges.first_record_ns.store(clock::mono().0, Ordering::Relaxed);
        }
        let mut records = 0;
        while !bytes.is_empty() {
            if let Ok(event) = Event::decode(bytes) {
                bytes = &bytes[event.wire_bytes()..];
                if stream == self.thread_stream && matches!(event, Event::Begin(_)) {
                    self.gauges.threads.fetch_add(1, Ordering::Relaxed);
                }
                self.order.push(stream, event);
                records += 1;
            } else {
                self.undecodable += bytes.len() as u64;
                break;
            }
        }
        self.gauges.records.fetch_add(records, Ordering::Relaxed);
    }

    fn tick(&mut self) -> Result<(), SinkError> {
        self.tables.thread.tick()?;
        self.tables.off_cpu.tick()?;
        self.tables.off_cpu_count.tick()?;
        self.tables.syscall.tick()?;
        self.tables.gpu_ioctl.tick()?;
        self.tables.gpu_event.tick()?;
        self.tables.cuda_call.tick()?;
        self.tables.page_fault.tick()?;
        self.tables.request.tick()?;
        self.tables.token.tick()?;
        self.tables.histogram.tick()?;
        self.tables.shed.tick()?;
        self.tables.loss.tick()?;
        self.tables.samples.tick()?;
        self.tables.error.take().map_or(Ok(()), Err)
    }

    fn end_threads(&mut self, stop: MonoNs, slots: &[Slot], tallies: &[Tallies]) {
        if std::mem::replace(&mut self.threads_ended, true) {
            return;
        }
        let (fold, tables, proc) = (&mut self.fold, &mut self.tables, &self.proc);
        self.order.finish(|event| fold.event(event, tables));
        if let Some((at, open)) = self.open_cuda.take() {
            fold.open_cuda(&open, at, tables);
        }
        fold.finish(stop, slots, tallies, |tgid, tid| proc.seed(tgid, tid), tables);
    }

    fn finish(mut self, stop: MonoNs, slots: &[Slot], tallies: &[Tallies]) -> Result<Folded, SinkError> {
        self.end_threads(stop, slots, tallies);
        let folded = Folded {
            counts: self.fold.counts(),
            http: self.fold.http_counts(),
            nvidia: self.fold.nvidia_counts(),
            late: self.order.late(),
            undecodable: self.undecodable,
        };
        let Tables {
            thread,
            off_cpu,
            off_cpu_count,
            syscall,
            gpu_ioctl,
            gpu_event,
            cuda_call,
            page_fault,
            request,
            token,
            histogram,
            shed,
            loss,
            samples,
            error,
            ..
        } = self.tables;
        thread.finish()?;
        off_cpu.finish()?;
        off_cpu_count.finish()?;
        syscall.finish()?;
        gpu_ioctl.finish()?;
        gpu_event.finish()?;
        cuda_call.finish()?;
        page_fault.finish()?;
        request.finish()?;
        token.finish()?;
        histogram.finish()?;
        shed.finish()?;
        loss.finish()?;
        samples.finish()?;
        error.map_or(Ok(folded), Err)
    }
}
