//! launch-heavy: many tiny kernels, one by one or through a graph, and one wait at the end.

use anyhow::{Context, Result};
use cudarc::driver::{
    result::{self, DriverError},
    sys,
};

use super::{gpu::failed, worker::Worker};

/// Tiny kernels' threads: one warp.
const THREADS: u32 = 32;

pub(super) fn run(worker: &mut Worker<'_>) -> Result<()> {
    match worker.plan.graph {
        Some(kernels) => graphs(worker, kernels),
        None => kernels(worker),
    }?;
    worker.wait_for_all()
}

fn kernels(worker: &mut Worker<'_>) -> Result<()> {
    while worker.goes_on() {
        let stream = worker.stream(worker.counts.operations);
        worker.launch_tiny(stream)?;
        worker.counts.operations += 1;
    }
    Ok(())
}

/// An operation is a launch of the graph.
fn graphs(worker: &mut Worker<'_>, kernels: u64) -> Result<()> {
    let graph = capture(worker, kernels).map_err(failed).context("make a graph")?;
    while worker.goes_on() {
        let stream = worker.stream(worker.counts.operations);
        // SAFETY: a graph and a stream of this worker's.
        unsafe { result::graph::launch(graph, stream) }.map_err(failed).context("launch a graph")?;
        worker.counts.graph_launches += 1;
        worker.counts.kernels += kernels;
        worker.counts.operations += 1;
    }
    Ok(())
}

/// What is launched while a stream is captured does not run.
fn capture(worker: &Worker<'_>, kernels: u64) -> Result<sys::CUgraphExec, DriverError> {
    let stream = worker.stream(0);
    // SAFETY: a stream of this worker's, in which nothing is under way.
    unsafe {
        result::stream::begin_capture(
            stream,
            sys::CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
        )?;
        for _ in 0..kernels {
            worker.gpu.launch(stream, 1, THREADS, worker.plan.size)?;
        }
        let graph = result::stream::end_capture(stream)?;
        let mut instance = std::ptr::null_mut();
        sys::cuGraphInstantiateWithFlags(&raw mut instance, graph, 0).result()?;
        Ok(instance)
    }
}
