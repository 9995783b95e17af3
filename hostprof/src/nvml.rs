//! The driver's library (NVML), loaded while hostprof runs: the one place that loads it.
//!
//! It is `libnvidia-ml.so.1`, wherever the loader finds that, or the file that `HOSTPROF_NVML` names. The variable is
//! passed over where the kernel gave hostprof more rights than its caller has, as the loader does with
//! `LD_LIBRARY_PATH`.

use std::path::Path;

use nvml_wrapper::{Nvml, error::NvmlError};

use crate::variable;

/// Names the library's file.
pub const VARIABLE: &str = "HOSTPROF_NVML";

/// Whether there is a GPU to ask for, or a library was named: to load it takes a moment, and wakes the GPU.
pub fn is_worth_loading(root: &Path) -> bool {
    root.join("dev/nvidiactl").exists() || variable::library(VARIABLE).is_some()
}

/// Loads the library and starts it.
///
/// # Errors
///
/// It is not there, its driver is not loaded, or it is another driver's.
pub fn start() -> Result<Nvml, NvmlError> {
    match variable::library(VARIABLE) {
        Some(path) => Nvml::builder().lib_path(&path).init(),
        None => Nvml::init(),
    }
}

/// Why it did not start, and the remedy.
pub fn why(error: &NvmlError) -> String {
    match (error, variable::library(VARIABLE)) {
        (NvmlError::LibloadingError(cause), Some(path)) => {
            format!("load {} (of {VARIABLE}): {cause}", path.display())
        }
        (NvmlError::LibloadingError(_), None) => {
            "load libnvidia-ml.so.1: not found (install the driver's libraries; in a container: --gpus all)"
                .to_owned()
        }
        (NvmlError::DriverNotLoaded, _) => {
            "start NVML: the driver is not loaded (sudo modprobe nvidia)".to_owned()
        }
        (NvmlError::LibRmVersionMismatch, _) => {
            "start NVML: it is another version's than the loaded driver (load the driver anew, or restart)"
                .to_owned()
        }
        (error, _) => format!("start NVML: {error}"),
    }
}
