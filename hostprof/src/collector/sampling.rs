//! Samples at intervals, on a thread of their own: which processes there are from the pipeline, what they send and
//! receive from the kernel half, all else from the samplers; rows to the pipeline.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, Sender, SyncSender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    gauges::Gauges,
    gpu_sampling::{GpuSampling, Told},
    pipeline::Message,
};
use crate::{
    bpf::Sockets,
    sampler::{GpuSamples, Sampler, Samples},
    sink::{ParquetSink, ParquetWriter, Sink as _, SinkError, Writer as _},
    table::{
        CgroupSampleRow, DiskSampleRow, EngineSampleRow, GpuProcessSampleRow, GpuSampleRow, HostSampleRow,
        ProcessSampleRow,
    },
    units::Tgid,
};

/// Samples under way.
pub struct Sampling {
    end: Sender<()>,
    thread: JoinHandle<Vec<String>>,
    interval: Duration,
    gpus: Option<GpuSampling>,
}

impl Sampling {
    /// Takes a first sample before it returns, and then one at each interval.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start(
        interval: Duration,
        sockets: Option<Sockets>,
        gauges: &Arc<Gauges>,
        sender: &SyncSender<Message>,
    ) -> io::Result<Self> {
        let mut round = Round {
            sampler: Sampler::new(),
            sockets,
            socket_processes: Vec::new(),
            socket_error: None,
            gauges: Arc::clone(gauges),
            sender: sender.clone(),
        };
        round.take();
        let (end, ended) = channel();
        let thread = thread::Builder::new().name("hostprof-sample".to_owned()).spawn(move || {
            let mut next = Instant::now() + interval;
            while ended.recv_timeout(next.saturating_duration_since(Instant::now()))
                == Err(RecvTimeoutError::Timeout)
            {
                if !round.take() {
                    return round.notes();
                }
                // One that is late moves those after it: two close together would tell little.
                next = (next + interval).max(Instant::now() + interval / 2);
            }
            round.take();
            round.notes()
        })?;
        Ok(Self { end, thread, interval, gpus: None })
    }

    /// Takes samples of GPUs too from now on, the first of which may come later.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn watch_gpus(&mut self, gauges: &Arc<Gauges>, sender: &SyncSender<Message>) -> io::Result<()> {
        self.gpus = Some(GpuSampling::start(self.interval, Arc::clone(gauges), sender.clone())?);
        Ok(())
    }

    /// Takes a last sample; tells what could not be read.
    pub fn finish(self) -> Told {
        // A thread that is gone has told why, or panicked and said so.
        let _ = self.end.send(());
        let notes = self.thread.join().unwrap_or_default();
        let mut told = self.gpus.map(GpuSampling::finish).unwrap_or_default();
        told.notes.splice(0..0, notes);
        told
    }
}

/// What a sample takes.
struct Round {
    sampler: Sampler,
    sockets: Option<Sockets>,
    /// The processes that had sent or received something at the last sample.
    socket_processes: Vec<Tgid>,
    socket_error: Option<String>,
    gauges: Arc<Gauges>,
    sender: SyncSender<Message>,
}

impl Round {
    /// Takes one; false where nobody takes its rows.
    fn take(&mut self) -> bool {
        let live = self.gauges.processes();
        // Known to have ended before their counts are read a last time.
        let mut ended = std::mem::take(&mut self.socket_processes);
        ended.retain(|tgid| {
            live.binary_search(tgid).is_err() && !Path::new(&format!("/proc/{tgid}")).exists()
        });
        if self.gauges.network_ended() {
            // What is counted no more is null, not what it was.
            self.sockets = None;
        }
        let counts = match self.sockets.as_ref().map(Sockets::read) {
            None => None,
            Some(Ok(counts)) => Some(counts),
            Some(Err(error)) => {
                self.socket_error = Some(error.to_string());
                None
            }
        };
        let samples = self.sampler.sample(&live, counts.as_deref());
        if let (Some(sockets), Some(counts)) = (&mut self.sockets, counts) {
            for tgid in &ended {
                sockets.forget(*tgid);
            }
            self.socket_processes = counts.into_iter().map(|(tgid, _)| tgid).collect();
            self.socket_processes.retain(|tgid| !ended.contains(tgid));
        }
        self.sender.send(Message::Samples(Box::new(samples))).is_ok()
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.sampler.notes();
        notes.extend(self.socket_error.clone());
        notes
    }
}

/// The tables that samples fill.
pub struct SampleTables {
    process: ParquetWriter<ProcessSampleRow>,
    cgroup: ParquetWriter<CgroupSampleRow>,
    disk: ParquetWriter<DiskSampleRow>,
    host: ParquetWriter<HostSampleRow>,
    gpu: ParquetWriter<GpuSampleRow>,
    gpu_process: ParquetWriter<GpuProcessSampleRow>,
    engine: ParquetWriter<EngineSampleRow>,
}

impl SampleTables {
    /// Begins them.
    ///
    /// # Errors
    ///
    /// One cannot be begun.
    pub fn new(sink: &ParquetSink) -> Result<Self, SinkError> {
        Ok(Self {
            process: sink.writer()?,
            cgroup: sink.writer()?,
            disk: sink.writer()?,
            host: sink.writer()?,
            gpu: sink.writer()?,
            gpu_process: sink.writer()?,
            engine: sink.writer()?,
        })
    }

    /// Adds a sample's rows.
    ///
    /// # Errors
    ///
    /// One could not be stored.
    pub fn push(&mut self, samples: Samples) -> Result<(), SinkError> {
        samples.processes.into_iter().try_for_each(|row| self.process.push(row))?;
        samples.cgroups.into_iter().try_for_each(|row| self.cgroup.push(row))?;
        samples.disks.into_iter().try_for_each(|row| self.disk.push(row))?;
        samples.host.into_iter().try_for_each(|row| self.host.push(row))
    }

    /// Adds a sample's rows of GPUs.
    ///
    /// # Errors
    ///
    /// One could not be stored.
    pub fn push_gpus(&mut self, samples: GpuSamples) -> Result<(), SinkError> {
        samples.gpus.into_iter().try_for_each(|row| self.gpu.push(row))?;
        samples.processes.into_iter().try_for_each(|row| self.gpu_process.push(row))
    }

    /// Adds a sample of an engine.
    ///
    /// # Errors
    ///
    /// It could not be stored.
    pub fn push_engine(&mut self, row: EngineSampleRow) -> Result<(), SinkError> {
        self.engine.push(row)
    }

    /// Closes parts that are old enough.
    ///
    /// # Errors
    ///
    /// A part could not be stored.
    pub fn tick(&mut self) -> Result<(), SinkError> {
        self.process.tick()?;
        self.cgroup.tick()?;
        self.disk.tick()?;
        self.host.tick()?;
        self.gpu.tick()?;
        self.gpu_process.tick()?;
        self.engine.tick()
    }

    /// Closes all.
    ///
    /// # Errors
    ///
    /// A part could not be stored.
    pub fn finish(self) -> Result<(), SinkError> {
        self.process.finish()?;
        self.cgroup.finish()?;
        self.disk.finish()?;
        self.host.finish()?;
        self.gpu.finish()?;
        self.gpu_process.finish()?;
        self.engine.finish()
    }
}
