//! The GPU: found, opened with a way of waiting, its kernels loaded.

use std::{
    ffi::{CStr, CString, c_void},
    ptr,
};

use anyhow::{Context, Result, bail};
use cudarc::driver::{
    result::{self, DriverError},
    sys,
};

use super::Sync;

/// NUL-terminated, as the driver wants it.
const KERNELS: &str = concat!(include_str!("kernels.ptx"), "\0");

/// A GPU with the kernels in it.
pub struct Gpu {
    device: sys::CUdevice,
    context: sys::CUcontext,
    work: sys::CUfunction,
    busy: sys::CUfunction,
    /// A word in its memory: kernels that ran.
    launches: sys::CUdeviceptr,
    multiprocessors: u32,
    name: String,
    cuda_version: i32,
}

// SAFETY: contexts, functions and device pointers are handles that libcuda lets any thread use.
unsafe impl Send for Gpu {}
// SAFETY: as above; none is changed after `open`.
unsafe impl std::marker::Sync for Gpu {}

/// The first GPU.
///
/// # Errors
///
/// There is none, or its driver is not whole: in one line, with the remedy.
pub fn find() -> Result<sys::CUdevice> {
    // SAFETY: looks whether the library can be loaded.
    if !unsafe { sys::is_culib_present() } {
        bail!(
            "load libcuda.so.1: not found (install NVIDIA's driver; in a container: --gpus all; or --backend cpu)"
        );
    }
    let count = result::init().and_then(|()| result::device::get_count());
    match count {
        Ok(1..) => result::device::get(0).map_err(failed).context("open GPU 0"),
        Ok(_) => {
            bail!("find a GPU: there is none (look at nvidia-smi, CUDA_VISIBLE_DEVICES; or --backend cpu)")
        }
        Err(error) => bail!(
            "start CUDA: {} (nvidia-smi must work, and CUDA_VISIBLE_DEVICES name a GPU; or --backend cpu)",
            text(error)
        ),
    }
}

/// A failure of libcuda in its own words.
pub fn failed(error: DriverError) -> anyhow::Error {
    anyhow::anyhow!("{}", text(error))
}

fn text(error: DriverError) -> String {
    let word = |text: Result<&CStr, DriverError>| text.map(|text| text.to_string_lossy().into_owned());
    let name = word(error.error_name()).unwrap_or_else(|_| format!("CUDA error {}", error.0 as u32));
    word(error.error_string()).map_or(name.clone(), |text| format!("{text} ({name})"))
}

impl Gpu {
    /// Opens the first one.
    ///
    /// # Errors
    ///
    /// There is none, or libcuda refuses a step.
    pub fn open(sync: Sync) -> Result<Self> {
        let device = find()?;
        let flags = match sync {
            Sync::Spin => sys::CUctx_flags_enum::CU_CTX_SCHED_SPIN,
            Sync::Yield => sys::CUctx_flags_enum::CU_CTX_SCHED_YIELD,
            Sync::Blocking => sys::CUctx_flags_enum::CU_CTX_SCHED_BLOCKING_SYNC,
        };
        Self::prepare(device, flags as u32).map_err(failed).context("open GPU 0")
    }

    fn prepare(device: sys::CUdevice, flags: u32) -> Result<Self, DriverError> {
        let mut cuda_version = 0;
        // SAFETY: room for an int.
        unsafe { sys::cuDriverGetVersion(&raw mut cuda_version) }.result()?;
        // SAFETY: the device is libcuda's, here and below; the image is text that ends with NUL; names are the image's.
        unsafe {
            sys::cuDevicePrimaryCtxSetFlags_v2(device, flags).result()?;
            let context = result::primary_ctx::retain(device)?;
            result::ctx::set_current(context)?;
            let module = result::module::load_data(KERNELS.as_ptr().cast::<c_void>())?;
            let launches = result::malloc_sync(size_of::<u64>())?;
            result::memset_d8_sync(launches, 0, size_of::<u64>())?;
            let multiprocessors = result::device::get_attribute(
                device,
                sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
            )?;
            Ok(Self {
                device,
                context,
                work: result::module::get_function(module, CString::from(c"work"))?,
                busy: result::module::get_function(module, CString::from(c"busy"))?,
                launches,
                multiprocessors: multiprocessors as u32,
                name: result::device::get_name(device)?,
                cuda_version,
            })
        }
    }

    /// Makes it the calling thread's.
    pub fn enter(&self) -> Result<()> {
        // SAFETY: a context that is not released before the end.
        unsafe { result::ctx::set_current(self.context) }.map_err(failed).context("enter the CUDA context")
    }

    /// Launches the kernel of arithmetic.
    pub fn launch(
        &self,
        stream: sys::CUstream,
        blocks: u32,
        threads: u32,
        steps: u64,
    ) -> Result<(), DriverError> {
        let (mut launches, mut steps) = (self.launches, steps);
        let mut arguments = [(&raw mut launches).cast::<c_void>(), (&raw mut steps).cast::<c_void>()];
        // SAFETY: the kernel takes an address and a number, which libcuda copies before it returns.
        unsafe {
            result::launch_kernel(self.work, (blocks, 1, 1), (threads, 1, 1), 0, stream, &mut arguments)
        }
    }

    /// Launches the kernel that runs for a time, which writes two words at an address of the GPU's.
    pub fn launch_busy(&self, account: sys::CUdeviceptr, nanoseconds: u64) -> Result<(), DriverError> {
        let (mut account, mut nanoseconds) = (account, nanoseconds);
        let mut arguments = [(&raw mut account).cast::<c_void>(), (&raw mut nanoseconds).cast::<c_void>()];
        // SAFETY: as above.
        unsafe { result::launch_kernel(self.busy, (1, 1, 1), (1, 1, 1), 0, ptr::null_mut(), &mut arguments) }
    }

    /// Kernels that ran, by the GPU's own count; waits for those under way.
    pub fn kernels(&self) -> Result<u64> {
        self.enter()?;
        let mut count = [0_u64];
        result::ctx::synchronize().map_err(failed).context("wait for the GPU")?;
        // SAFETY: a word of the GPU's, and one of ours.
        unsafe { result::memcpy_dtoh_sync(&mut count, self.launches) }
            .map_err(failed)
            .context("read the GPU's count")?;
        Ok(count[0])
    }

    pub fn device(&self) -> sys::CUdevice {
        self.device
    }

    pub fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn cuda_version(&self) -> i32 {
        self.cuda_version
    }
}
