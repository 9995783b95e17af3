//! The patterns on a GPU, through the driver's own library (libcuda), which is loaded at run time: building needs no CUDA.
//!
//! What a pattern did is counted by the program and, for kernels, by the GPU: each launch adds one to a word of its
//! memory. The CUDA context is made before the clock starts, so that rows of a recording after `start_mono_ns` are the
//! pattern's and those before it CUDA's initialisation.

mod alloc;
mod busy;
mod compute;
mod gaps;
mod gpu;
mod launch;
mod sync;
mod worker;

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};

pub use self::busy::Busy;
pub use self::gaps::{Gap, GapsPlan, GapsTruth, run as run_gaps};
use self::{gpu::Gpu, worker::Worker};
use crate::{
    Pattern,
    cpu::Limit,
    sys::{clock::mono_ns, usage::Usage},
    truth::{Parameters, ThreadTruth, Truth},
};

/// How a thread waits for the GPU.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Sync {
    /// It looks again and again
    #[default]
    Spin,
    /// It looks again and again and lets others run between
    Yield,
    /// It sleeps until the GPU's interrupt
    Blocking,
}

/// What is allocated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Alloc {
    /// Device memory: cuMemAlloc, cuMemFree
    #[default]
    Device,
    /// Device memory of the stream's pool: cuMemAllocAsync, cuMemFreeAsync
    Pool,
    /// Host memory that the GPU can reach: cuMemHostAlloc, cuMemFreeHost
    Pinned,
    /// Device memory mapped into a reserved range: cuMemCreate, cuMemMap, cuMemUnmap, cuMemRelease
    Vmm,
}

macro_rules! word {
    ($($type:ty),+) => { $(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let value = clap::ValueEnum::to_possible_value(self);
                f.pad(value.as_ref().map_or("", |value| value.get_name()))
            }
        }
    )+ };
}
word!(Sync, Alloc);

/// What a pattern runs with.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub threads: usize,
    /// Streams of each thread, used in turn.
    pub streams: usize,
    /// The size of an operation, in the pattern's own unit.
    pub size: u64,
    pub limit: Limit,
    pub sync: Sync,
    pub alloc: Alloc,
    /// Kernels in a graph, which is then launched instead of them one by one.
    pub graph: Option<u64>,
}

impl Plan {
    /// A plan with the pattern's own size where none was asked for.
    pub fn new(pattern: Pattern, size: Option<u64>, plan: Self) -> Result<Self> {
        if !(1..=64).contains(&plan.threads) || !(1..=64).contains(&plan.streams) {
            bail!("run {pattern}: {} threads of {} streams (it takes 1 to 64)", plan.threads, plan.streams);
        }
        if plan.graph.is_some_and(|kernels| !(1..=100_000).contains(&kernels)) {
            bail!("run {pattern}: a graph of {} kernels (it takes 1 to 100000)", plan.graph.unwrap_or(0));
        }
        let default = match (pattern, plan.alloc) {
            (Pattern::ComputeHeavy, _) => compute::STEPS,
            (Pattern::LaunchHeavy | Pattern::SyncHeavy, _) => 0,
            (Pattern::AllocHeavy, Alloc::Pinned) => 4 << 20,
            (Pattern::AllocHeavy, _) => 64 << 20,
        };
        let size = size.unwrap_or(default);
        if pattern == Pattern::AllocHeavy && size == 0 {
            bail!("run {pattern}: size 0 (give the bytes of an allocation)");
        }
        Ok(Self { size, ..plan })
    }
}

/// What a pattern did on the GPU, all threads together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CudaTruth {
    /// The GPU's name.
    pub device: String,
    /// The driver's version of CUDA: 13000 is 13.0.
    pub cuda_version: i32,
    pub sync: Sync,
    /// Null for patterns that allocate nothing.
    pub alloc: Option<Alloc>,
    pub streams: usize,
    /// Kernels in a graph; null without one.
    pub graph_kernels: Option<u64>,
    /// From the first call of libcuda to the start of the pattern, nanoseconds.
    pub init_ns: u64,
    pub counts: Counts,
    /// Kernels that ran, by the GPU's own count.
    pub kernels: u64,
}

/// Calls of libcuda that a pattern made after its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub operations: u64,
    /// cuLaunchKernel.
    pub launches: u64,
    /// cuGraphLaunch.
    pub graph_launches: u64,
    /// Kernels that both asked for.
    pub kernels: u64,
    /// cuCtxSynchronize, of one thread with one stream, else cuStreamSynchronize.
    pub syncs: u64,
    /// The time those took, nanoseconds.
    pub sync_ns: u64,
    pub allocations: u64,
    pub frees: u64,
    pub bytes: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.launches += other.launches;
        self.graph_launches += other.graph_launches;
        self.kernels += other.kernels;
        self.syncs += other.syncs;
        self.sync_ns += other.sync_ns;
        self.allocations += other.allocations;
        self.frees += other.frees;
        self.bytes += other.bytes;
    }
}

/// Whether a GPU can be used, and if not why, with the remedy.
///
/// # Errors
///
/// There is none, or its driver is not whole.
pub fn can_run() -> Result<()> {
    gpu::find().map(|_| ())
}

/// Runs a pattern to its end.
///
/// # Errors
///
/// There is no GPU, or a call of libcuda failed.
pub fn run(pattern: Pattern, plan: &Plan) -> Result<Truth> {
    let begun_ns = mono_ns();
    let gpu = Gpu::open(plan.sync)?;
    let stop = AtomicBool::new(false);
    let mut workers =
        (0..plan.threads).map(|_| Worker::new(&gpu, plan, &stop)).collect::<Result<Vec<_>>>()?;
    let start_mono_ns = mono_ns();
    let threads = if let [only] = workers.as_mut_slice() {
        // On the main thread: another one would make switches that are not the pattern's.
        vec![work(pattern, only, None)?]
    } else {
        on_threads(pattern, plan, workers, &stop)?
    };
    let run_ns = mono_ns() - start_mono_ns;
    let mut counts = Counts::default();
    for (_, of_thread) in &threads {
        counts += *of_thread;
    }
    let kernels = gpu.kernels()?;
    if kernels != counts.kernels {
        bail!("run {pattern}: {} kernels were launched and {kernels} ran", counts.kernels);
    }
    let (ops, seconds) = match plan.limit {
        Limit::Operations(operations) => (Some(operations), None),
        Limit::Time(time) => (None, Some(time.as_secs_f64())),
    };
    Ok(Truth {
        pattern,
        backend: "cuda".to_owned(),
        parameters: Parameters { threads: plan.threads, size: plan.size, ops, seconds },
        pid: std::process::id(),
        start_mono_ns,
        run_ns,
        operations: counts.operations,
        barriers: 0,
        threads: threads.into_iter().map(|(thread, _)| thread).collect(),
        cuda: Some(CudaTruth {
            device: gpu.name().to_owned(),
            cuda_version: gpu.cuda_version(),
            sync: plan.sync,
            alloc: (pattern == Pattern::AllocHeavy).then_some(plan.alloc),
            streams: plan.streams,
            graph_kernels: plan.graph.filter(|_| pattern == Pattern::LaunchHeavy),
            init_ns: start_mono_ns - begun_ns,
            counts,
            kernels,
        }),
    })
}

/// One worker a thread; a thread that waits for them tells the time.
fn on_threads(
    pattern: Pattern,
    plan: &Plan,
    workers: Vec<Worker<'_>>,
    stop: &AtomicBool,
) -> Result<Vec<(ThreadTruth, Counts)>> {
    std::thread::scope(|scope| {
        let handles = workers
            .into_iter()
            .enumerate()
            .map(|(at, mut worker)| {
                let name = format!("cuda-{at}");
                let builder = std::thread::Builder::new().name(name.clone());
                builder
                    .spawn_scoped(scope, move || work(pattern, &mut worker, Some(name)))
                    .context("start a thread")
            })
            .collect::<Result<Vec<_>>>()?;
        if let Limit::Time(time) = plan.limit {
            std::thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
        }
        handles
            .into_iter()
            .map(|handle| handle.join().map_err(|_| anyhow!("join a thread: it panicked"))?)
            .collect()
    })
}

/// A thread's part, and its own account. The main thread has the program's name.
fn work(pattern: Pattern, worker: &mut Worker<'_>, name: Option<String>) -> Result<(ThreadTruth, Counts)> {
    worker.begin()?;
    let before = Usage::of_this_thread();
    match pattern {
        Pattern::ComputeHeavy => compute::run(worker),
        Pattern::LaunchHeavy => launch::run(worker),
        Pattern::SyncHeavy => sync::run(worker),
        Pattern::AllocHeavy => alloc::run(worker),
    }
    .with_context(|| format!("run {pattern}"))?;
    let counts = worker.counts;
    let name = name.unwrap_or_else(|| {
        std::fs::read_to_string("/proc/self/comm").unwrap_or_default().trim_end().to_owned()
    });
    let usage = Usage::of_this_thread().since(&before);
    Ok((ThreadTruth { name, operations: counts.operations, usage, ..ThreadTruth::default() }, counts))
}

/// The most time that a worker alone may run.
fn time_of(limit: Limit) -> Option<Duration> {
    match limit {
        Limit::Time(time) => Some(time),
        Limit::Operations(_) => None,
    }
}
