//! compute-heavy: few long kernels that fill the GPU, and one wait at the end.

use std::time::Instant;

use anyhow::Result;

use super::{time_of, worker::Worker};
use crate::cpu::Limit;

/// Steps of a kernel by default: about 5 ms on an H100.
pub(super) const STEPS: u64 = 2_000_000;

const THREADS_PER_BLOCK: u32 = 256;
/// Enough that every scheduler of a multiprocessor has a warp to run.
const BLOCKS_PER_MULTIPROCESSOR: u32 = 2;

pub(super) fn run(worker: &mut Worker<'_>) -> Result<()> {
    let blocks = worker.gpu.multiprocessors() * BLOCKS_PER_MULTIPROCESSOR;
    let mut left = match worker.plan.limit {
        Limit::Operations(operations) => operations,
        Limit::Time(_) => as_many_as_fit(worker, blocks)?,
    };
    while left > 0 {
        let stream = worker.stream(worker.counts.operations);
        worker.launch(stream, blocks, THREADS_PER_BLOCK, worker.plan.size)?;
        worker.counts.operations += 1;
        left -= 1;
    }
    worker.wait_for_all()
}

/// Kernels that fit into the time, by how long the first one takes: launches do not wait for the GPU, so the clock
/// would not tell when to end.
fn as_many_as_fit(worker: &mut Worker<'_>, blocks: u32) -> Result<u64> {
    let begun = Instant::now();
    let stream = worker.stream(0);
    worker.launch(stream, blocks, THREADS_PER_BLOCK, worker.plan.size)?;
    worker.wait(stream)?;
    worker.counts.operations += 1;
    let one = begun.elapsed().as_secs_f64();
    let left = time_of(worker.plan.limit).map_or(0.0, |time| time.as_secs_f64() - one);
    Ok((left.max(0.0) / one.max(1e-6)) as u64)
}
