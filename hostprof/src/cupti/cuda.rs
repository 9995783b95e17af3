//! The driver's GPUs, as CUPTI counts them: by CUDA's numbers, which are not NVML's.

use std::ffi::{CStr, c_char, c_int};

use libloading::Library;

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// CUDA's number of it.
    pub index: usize,
    /// Where it is on the PCI bus, as the kernel writes it: `0000:18:00.0`.
    pub pci: String,
}

/// Starts the driver in this process, without a context, and lists its GPUs. `CUDA_VISIBLE_DEVICES` holds.
///
/// # Errors
///
/// There is no driver, or no GPU; with the remedy.
pub fn devices() -> Result<Vec<Device>, String> {
    let missing = |error: libloading::Error| {
        format!("load libcuda.so.1: {error} (install the driver's libraries; in a container: --gpus all)")
    };
    // SAFETY: the driver's library, as the loader finds it; the types are those of cuda.h.
    unsafe {
        let library = Library::new("libcuda.so.1").map_err(missing)?;
        let init: unsafe extern "C" fn(u32) -> c_int = *library.get(b"cuInit\0").map_err(missing)?;
        let count: unsafe extern "C" fn(*mut c_int) -> c_int =
            *library.get(b"cuDeviceGetCount\0").map_err(missing)?;
        let pci: unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int =
            *library.get(b"cuDeviceGetPCIBusId\0").map_err(missing)?;
        match init(0) {
            0 => {}
            100 => return Err("cuInit: no GPU is there (nvidia-smi must list one)".to_owned()),
            code => return Err(format!("cuInit: error {code} (nvidia-smi must work)")),
        }
        let mut devices = 0;
        if count(&raw mut devices) != 0 {
            return Err("cuDeviceGetCount: no GPU is there".to_owned());
        }
        let mut all = Vec::new();
        for index in 0..devices {
            let mut text = [0 as c_char; 32];
            if pci(text.as_mut_ptr(), text.len() as c_int, index) == 0 {
                let pci = CStr::from_ptr(text.as_ptr()).to_string_lossy().to_lowercase();
                all.push(Device { index: index as usize, pci });
            }
        }
        // What was started in it stays.
        std::mem::forget(library);
        Ok(all)
    }
}
