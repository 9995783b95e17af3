//! gpu-gaps: the GPU works for a time, then idles for a time that is known. What watches the GPU should show each gap.
//!
//! The host sees a gap from the return of its wait to its next launch; the GPU, by its own clock, from the end of one
//! kernel to the beginning of the next: longer by what a launch and a wait take.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use cudarc::driver::result;
use serde::{Deserialize, Serialize};

use super::{
    Sync,
    gpu::{Gpu, failed},
};
use crate::sys::clock::mono_ns;

/// What is planted.
#[derive(Clone, Debug)]
pub struct GapsPlan {
    pub busy: Duration,
    /// One after the other, after each time of work.
    pub gaps: Vec<Duration>,
    pub repeat: u32,
}

/// What was planted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GapsTruth {
    pub pattern: String,
    pub device: String,
    pub pid: u32,
    pub busy_ns: u64,
    /// `CLOCK_MONOTONIC`, nanoseconds.
    pub start_mono_ns: u64,
    pub end_mono_ns: u64,
    pub gaps: Vec<Gap>,
}

/// A time in which the GPU had nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub intended_ns: u64,
    /// The wait for the work before it returned, `CLOCK_MONOTONIC` nanoseconds.
    pub start_mono_ns: u64,
    /// The next kernel was launched.
    pub end_mono_ns: u64,
    /// Its length by the GPU's clock.
    pub gpu_ns: u64,
}

/// Plants them.
///
/// # Errors
///
/// There is no GPU, or a call of libcuda failed.
pub fn run(plan: &GapsPlan) -> Result<GapsTruth> {
    if plan.gaps.is_empty() || plan.busy.is_zero() || plan.repeat == 0 {
        bail!("run gpu-gaps: nothing to plant (--busy-ms, --gap-ms and --repeat must be above 0)");
    }
    let gpu = Gpu::open(Sync::Spin)?;
    let busy_ns = plan.busy.as_nanos() as u64;
    let intended: Vec<u64> =
        (0..plan.repeat).flat_map(|_| plan.gaps.iter().map(|gap| gap.as_nanos() as u64)).collect();
    // Two words a kernel; each gap lies between two kernels.
    let mut clocks = vec![[0_u64; 2]; intended.len() + 1];
    let bytes = size_of_val(clocks.as_slice());
    // SAFETY: asks for memory.
    let account = unsafe { result::malloc_sync(bytes) }.map_err(failed).context("allocate device memory")?;
    let work = |kernel: usize| -> Result<()> {
        let at = account + (kernel * size_of::<[u64; 2]>()) as u64;
        gpu.launch_busy(at, busy_ns)
            .and_then(|()| result::ctx::synchronize())
            .map_err(failed)
            .context("run a kernel")
    };
    let start_mono_ns = mono_ns();
    work(0)?;
    let mut gaps = Vec::with_capacity(intended.len());
    for (at, &intended_ns) in intended.iter().enumerate() {
        let begun_ns = mono_ns();
        // Sleeps for most of it and spins for the rest: a sleep alone ends late.
        let spin_ns = intended_ns.min(200_000);
        std::thread::sleep(Duration::from_nanos(intended_ns - spin_ns));
        while mono_ns() - begun_ns < intended_ns {
            std::hint::spin_loop();
        }
        gaps.push(Gap { intended_ns, start_mono_ns: begun_ns, end_mono_ns: mono_ns(), gpu_ns: 0 });
        work(at + 1)?;
    }
    let end_mono_ns = mono_ns();
    // SAFETY: as many words as were allocated, all of them written.
    unsafe { result::memcpy_dtoh_sync(clocks.as_mut_slice(), account) }
        .map_err(failed)
        .context("read the GPU's clocks")?;
    for (gap, pair) in gaps.iter_mut().zip(clocks.windows(2)) {
        gap.gpu_ns = pair[1][0].saturating_sub(pair[0][1]);
    }
    let device = gpu.name().to_owned();
    let pid = std::process::id();
    Ok(GapsTruth { pattern: "gpu-gaps".to_owned(), device, pid, busy_ns, start_mono_ns, end_mono_ns, gaps })
}
