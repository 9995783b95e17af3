//! The four patterns on the CPU. One file a pattern; this one starts the clock, stops the threads and
//! collects what they say.

mod alloc;
mod compute;
mod launch;
mod ring;
mod sync;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::{Builder, Scope, ScopedJoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};

use crate::{
    Pattern,
    sys::{clock::mono_ns, futex::Waits, usage::Usage},
    truth::{Parameters, ThreadTruth, Truth},
};

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// After this many operations, exactly.
    Operations(u64),
    /// At the first occasion after this time.
    Time(Duration),
}

/// What a pattern runs with.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub threads: usize,
    pub size: u64,
    pub limit: Limit,
}

impl Plan {
    /// A plan with the pattern's own defaults where nothing was asked for.
    pub fn new(pattern: Pattern, threads: Option<usize>, size: Option<u64>, limit: Limit) -> Result<Self> {
        let (least, default, most, default_size) = match pattern {
            Pattern::ComputeHeavy => (2, 2, 512, compute::BLOCKS_PER_ROUND),
            Pattern::LaunchHeavy => (2, 2, 2, launch::STEPS_PER_ITEM),
            Pattern::SyncHeavy => (2, 2, 2, sync::STEPS_PER_TURN),
            Pattern::AllocHeavy => (1, 1, 512, alloc::PAGES_PER_MAPPING),
        };
        let threads = threads.unwrap_or(default);
        if !(least..=most).contains(&threads) {
            bail!("run {pattern}: {threads} threads (it takes {least} to {most})");
        }
        let size = size.unwrap_or(default_size);
        if size == 0 {
            bail!("run {pattern}: size 0 (give 1 or more)");
        }
        Ok(Self { threads, size, limit })
    }

    /// Operations after which to end by itself.
    fn most_operations(&self) -> u64 {
        match self.limit {
            Limit::Operations(operations) => operations,
            Limit::Time(_) => u64::MAX,
        }
    }
}

/// What a pattern leaves behind.
struct Done {
    operations: u64,
    barriers: u64,
    threads: Vec<ThreadTruth>,
}

/// Runs a pattern to its end.
pub fn run(pattern: Pattern, plan: &Plan) -> Result<Truth> {
    // Huge pages would turn many first touches into one fault; the count of faults is the point.
    // SAFETY: integers only.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    let start_mono_ns = mono_ns();
    let done = match pattern {
        Pattern::ComputeHeavy => compute::run(plan),
        Pattern::LaunchHeavy => launch::run(plan),
        Pattern::SyncHeavy => sync::run(plan),
        Pattern::AllocHeavy => alloc::run(plan),
    }
    .with_context(|| format!("run {pattern}"))?;
    let run_ns = mono_ns() - start_mono_ns;
    let (ops, seconds) = match plan.limit {
        Limit::Operations(operations) => (Some(operations), None),
        Limit::Time(time) => (None, Some(time.as_secs_f64())),
    };
    Ok(Truth {
        pattern,
        backend: "cpu".to_owned(),
        parameters: Parameters { threads: plan.threads, size: plan.size, ops, seconds },
        pid: std::process::id(),
        start_mono_ns,
        run_ns,
        operations: done.operations,
        barriers: done.barriers,
        threads: done.threads,
        cuda: None,
    })
}

/// A thread of a pattern, on its way.
type Worker<'scope> = ScopedJoinHandle<'scope, Result<ThreadTruth>>;

/// Starts a thread under a name of at most 15 bytes, the kernel's limit.
fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> Result<ThreadTruth> + Send + 'scope,
) -> Result<Worker<'scope>> {
    debug_assert!(name.len() <= 15);
    let named = name.to_owned();
    let body = move || {
        let mut truth = work()?;
        truth.name = named;
        truth.usage = Usage::of_this_thread();
        Ok(truth)
    };
    Builder::new().name(name.to_owned()).spawn_scoped(scope, body).context("start a thread")
}

/// Sleeps until the time is up, tells the threads, and waits for them. The clock is read here, by a
/// thread that does no work, so that the others need no system call for it.
fn finish(plan: &Plan, stop: &AtomicBool, workers: Vec<Worker<'_>>) -> Result<Vec<ThreadTruth>> {
    if let Limit::Time(time) = plan.limit {
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    }
    workers.into_iter().map(|w| w.join().map_err(|_| anyhow!("join a thread: it panicked"))?).collect()
}

/// A thread's account where only operations and waits are counted.
fn counted(operations: u64, waits: Waits) -> ThreadTruth {
    ThreadTruth { operations, futex_waits: waits.woken, futex_misses: waits.missed, ..ThreadTruth::default() }
}

/// Arithmetic in a chain of dependent steps, about five cycles each on any CPU.
pub fn churn(mut x: u64, steps: u64) -> u64 {
    let mut step = 0;
    while step < steps {
        x = x.wrapping_mul(6_364_136_223_846_793_005);
        x ^= x >> 29;
        step += 1;
    }
    x
}
