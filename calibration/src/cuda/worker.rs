//! A thread's streams and counts, and the calls that every pattern makes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use anyhow::{Context, Result};
use cudarc::driver::{result, sys};

use super::{Counts, Gpu, Plan, gpu::failed, time_of};
use crate::{cpu::Limit, sys::clock::mono_ns};

/// How many operations pass between two looks at the clock.
const LOOK_EVERY: u64 = 16;

/// What a thread works with.
pub struct Worker<'a> {
    pub gpu: &'a Gpu,
    pub plan: &'a Plan,
    pub counts: Counts,
    streams: Vec<sys::CUstream>,
    stop: &'a AtomicBool,
    end: Option<Instant>,
}

// SAFETY: streams are handles that libcuda lets any thread use; each is one worker's.
unsafe impl Send for Worker<'_> {}

impl<'a> Worker<'a> {
    /// With streams of its own.
    pub fn new(gpu: &'a Gpu, plan: &'a Plan, stop: &'a AtomicBool) -> Result<Self> {
        gpu.enter()?;
        let streams = (0..plan.streams)
            .map(|_| result::stream::create(result::stream::StreamKind::NonBlocking))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)
            .context("make a stream")?;
        Ok(Self { gpu, plan, counts: Counts::default(), streams, stop, end: None })
    }

    /// On the thread that it works on.
    pub fn begin(&mut self) -> Result<()> {
        // The main thread has entered already.
        if self.plan.threads > 1 {
            self.gpu.enter()?;
        } else {
            self.end = time_of(self.plan.limit).map(|time| Instant::now() + time);
        }
        Ok(())
    }

    /// Whether there is another operation to do.
    pub fn goes_on(&self) -> bool {
        let done = self.counts.operations;
        match self.plan.limit {
            Limit::Operations(operations) => done < operations,
            Limit::Time(_) if self.stop.load(Ordering::Relaxed) => false,
            Limit::Time(_) => {
                !done.is_multiple_of(LOOK_EVERY) || self.end.is_none_or(|end| Instant::now() < end)
            }
        }
    }

    /// The stream of an operation.
    pub fn stream(&self, operation: u64) -> sys::CUstream {
        self.streams[(operation % self.streams.len() as u64) as usize]
    }

    /// A tiny kernel: one block of a warp.
    pub fn launch_tiny(&mut self, stream: sys::CUstream) -> Result<()> {
        self.launch(stream, 1, 32, self.plan.size)
    }

    /// A kernel.
    pub fn launch(&mut self, stream: sys::CUstream, blocks: u32, threads: u32, steps: u64) -> Result<()> {
        self.gpu.launch(stream, blocks, threads, steps).map_err(failed).context("launch a kernel")?;
        self.counts.launches += 1;
        self.counts.kernels += 1;
        Ok(())
    }

    /// Waits until a stream is done: as `cudaDeviceSynchronize` does where there is one stream, so that a thread
    /// does not wait for those of others.
    pub fn wait(&mut self, stream: sys::CUstream) -> Result<()> {
        let alone = self.plan.threads == 1 && self.streams.len() == 1;
        let begun_ns = mono_ns();
        let waited = if alone {
            result::ctx::synchronize()
        } else {
            // SAFETY: a stream of this worker's.
            unsafe { result::stream::synchronize(stream) }
        };
        self.counts.sync_ns += mono_ns() - begun_ns;
        self.counts.syncs += 1;
        waited.map_err(failed).context("wait for the GPU")
    }

    /// Waits until all of its streams are done.
    pub fn wait_for_all(&mut self) -> Result<()> {
        self.streams.clone().into_iter().try_for_each(|stream| self.wait(stream))
    }
}
