//! The engine: one thread that batches. Each step makes a token of every request whose prompt is done, and takes one
//! chunk of one prompt along.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use calibration::{
    cuda::Busy,
    sys::{
        clock::mono_ns,
        mapping::{Mapping, page_bytes},
    },
};

use crate::{
    Arguments,
    cache::{Cache, How},
    helper::Helper,
    storage::{Adapters, Weights},
    work::{Pace, Pool},
};

/// Memory that a chunk of a prompt takes for a while.
const CHUNK_BYTES: usize = 4 << 20;
/// Requests at a time.
const MOST: usize = 16;
/// Every so many steps an adapter is read.
const ADAPTER_EVERY: u64 = 8;

/// A request, as the engine has it.
pub struct Job {
    /// Chunks of its prompt.
    pub chunks: u64,
    /// Tokens wanted.
    pub tokens: u64,
    /// Told each token; closed after the last.
    pub made: Sender<()>,
}

/// What the engine is told to do beside its work.
#[derive(Debug, Default)]
pub struct EngineOrders {
    /// Whether weights are mapped.
    pub mapped: AtomicBool,
    /// Before each step something else is done for so long…
    pub gap_us: AtomicU64,
    /// …until then, `CLOCK_MONOTONIC`…
    pub gap_until_ns: AtomicU64,
    /// …by computing, not by sleeping.
    pub gap_computes: AtomicBool,
}

/// Where a step is computed.
enum Compute {
    Cpu(Pool),
    Gpu(Busy),
}

/// The engine, before it runs.
pub struct Engine {
    pace: Pace,
    workers: usize,
    gpu: bool,
    step_us: u64,
    chunk_us: u64,
    cache: Arc<Cache>,
    detokenizer: Helper,
    weights: Option<Weights>,
    adapters: Option<Adapters>,
    orders: Arc<EngineOrders>,
}

impl Engine {
    /// Opens what it reads.
    pub fn new(
        arguments: &Arguments,
        pace: Pace,
        cache: Arc<Cache>,
        detokenizer: Helper,
        orders: Arc<EngineOrders>,
    ) -> io::Result<Self> {
        let weights = arguments.weights.as_deref().map(|path| Weights::open(path, arguments.reads));
        Ok(Self {
            pace,
            workers: arguments.workers,
            gpu: arguments.gpu,
            step_us: arguments.step_us,
            chunk_us: arguments.chunk_us,
            cache,
            detokenizer,
            weights: weights.transpose()?,
            adapters: arguments.adapter.as_deref().map(Adapters::open).transpose()?,
            orders,
        })
    }

    /// Starts it; returns when it can compute.
    pub fn start(self) -> io::Result<Sender<Job>> {
        let (give, jobs) = channel();
        let (ready, is_ready) = channel();
        let body = move || {
            // A context belongs to the thread that opens it.
            let compute = if self.gpu {
                Busy::open().map(Compute::Gpu).map_err(|error| told(&error))
            } else {
                Pool::start(self.pace, self.workers).map(Compute::Cpu)
            };
            match compute {
                Ok(compute) => {
                    let _ = ready.send(Ok(()));
                    if let Err(error) = self.run(&compute, &jobs) {
                        eprintln!("planted-server: engine: {error}");
                    }
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        };
        thread::Builder::new().name("engine".to_owned()).spawn(body)?;
        is_ready.recv().unwrap_or_else(|_| Err(io::Error::other("the engine ended")))?;
        Ok(give)
    }

    fn run(mut self, compute: &Compute, jobs: &Receiver<Job>) -> io::Result<()> {
        let mut active: Vec<Job> = Vec::new();
        let mut steps = 0_u64;
        loop {
            if active.is_empty() {
                let Ok(job) = jobs.recv() else { return Ok(()) };
                active.push(job);
            }
            while active.len() < MOST
                && let Ok(job) = jobs.try_recv()
            {
                active.push(job);
            }
            steps += 1;
            self.cache.step();
            let mut us = 0;
            if active.iter().any(|job| job.chunks == 0) {
                if let Some(weights) = &mut self.weights {
                    weights.read(self.orders.mapped.load(Ordering::Relaxed))?;
                }
                if steps.is_multiple_of(ADAPTER_EVERY) {
                    self.read_adapter()?;
                }
                us += self.step_us;
            }
            if let Some(job) = active.iter_mut().find(|job| job.chunks > 0) {
                job.chunks -= 1;
                self.read_adapter()?;
                Mapping::anonymous(CHUNK_BYTES, 0)?.write_pages(page_bytes());
                us += self.chunk_us;
            }
            self.pass_gap();
            match compute {
                Compute::Cpu(pool) => pool.work(us),
                Compute::Gpu(busy) => busy.run(Duration::from_micros(us)).map_err(|error| told(&error))?,
            }
            let tokens = active.iter().filter(|job| job.chunks == 0).count() as u64;
            if tokens > 0 {
                self.detokenizer.ask(tokens)?;
            }
            active.retain_mut(|job| {
                if job.chunks > 0 {
                    return true;
                }
                job.tokens = job.tokens.saturating_sub(1);
                job.made.send(()).is_ok() && job.tokens > 0
            });
        }
    }

    fn read_adapter(&mut self) -> io::Result<()> {
        self.adapters.as_mut().map_or(Ok(()), Adapters::read)
    }

    fn pass_gap(&self) {
        if mono_ns() < self.orders.gap_until_ns.load(Ordering::Relaxed) {
            let computes = self.orders.gap_computes.load(Ordering::Relaxed);
            let how = if computes { How::Compute } else { How::Sleep };
            how.pass(self.pace, self.orders.gap_us.load(Ordering::Relaxed));
        }
    }
}

fn told(error: &anyhow::Error) -> io::Error {
    io::Error::other(format!("{error:#}"))
}
