//! A GPU that is kept busy for a time, and waited for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use cudarc::driver::{result, sys};

use super::{
    Sync,
    gpu::{Gpu, failed},
};

/// The first GPU, waited for by spinning. It belongs to the thread that opened it.
pub struct Busy {
    gpu: Gpu,
    /// Two words, which the kernel writes.
    account: sys::CUdeviceptr,
}

impl Busy {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// There is no GPU, or a call of libcuda failed.
    pub fn open() -> Result<Self> {
        let gpu = Gpu::open(Sync::Spin)?;
        // SAFETY: asks for memory.
        let account = unsafe { result::malloc_sync(size_of::<[u64; 2]>()) }
            .map_err(failed)
            .context("allocate device memory")?;
        Ok(Self { gpu, account })
    }

    /// Keeps it busy for a time; returns when it is done.
    ///
    /// # Errors
    ///
    /// A call of libcuda failed.
    pub fn run(&self, time: Duration) -> Result<()> {
        self.gpu
            .launch_busy(self.account, time.as_nanos() as u64)
            .and_then(|()| result::ctx::synchronize())
            .map_err(failed)
            .context("run a kernel")
    }
}
