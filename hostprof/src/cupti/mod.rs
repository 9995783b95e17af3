//! NVIDIA's library that counts (CUPTI), loaded while hostprof runs: the one place that loads it.
//!
//! Its PM sampling tells what the units of a GPU do, 100 to 10,000 times a second, whichever process they work for: the
//! target is not touched. The library wants the driver started in this process (`cuInit`), but no context: so it takes none
//! of the GPU's memory, and works beside an engine that has filled it.

mod api;
mod cuda;
mod find;
mod sampler;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use libloading::{
    Library,
    os::unix::{Library as UnixLibrary, RTLD_GLOBAL, RTLD_NOW},
};

use self::api::{Api, Refused, code};
pub use self::{
    cuda::{Device, devices},
    find::VARIABLE,
    sampler::{Metric, PmSample, PmSampler, PmSettings, PmUnit, Taken},
};
use crate::units::Tgid;

/// What libcupti loads by name once it is started; it lies beside it.
const COUNTERS: &str = "libnvperf_host.so";

/// The library that a recording would try first, of those that lie in a toolkit.
pub fn library(root: &Path) -> Option<PathBuf> {
    find::candidates(root, &[]).into_iter().find(|path| path.is_absolute() && find::untrusted(path).is_none())
}

/// The library, started.
pub struct Cupti {
    api: Api,
    /// The file it was loaded from, or the name that the loader found.
    pub path: PathBuf,
    /// Its version: `13.0.1`.
    pub version: String,
}

impl Cupti {
    /// Loads the first library that starts. The driver must have been started: see [`devices`].
    ///
    /// # Errors
    ///
    /// None does; each with its reason, and the remedy.
    pub fn load(root: &Path, target: &[Tgid]) -> Result<Self, String> {
        let mut tried = Vec::new();
        for path in find::candidates(root, target) {
            match Self::open(&path) {
                Ok(cupti) => return Ok(cupti),
                // What no toolkit is there for need not be told by name.
                Err(_) if path.is_relative() && tried.is_empty() => {}
                Err(why) => tried.push(format!("{}: {why}", path.display())),
            }
        }
        let tried = if tried.is_empty() { "not found".to_owned() } else { tried.join("; ") };
        Err(format!(
            "load libcupti: {tried} (install CUDA's toolkit, 12.6 or later, or python's package nvidia-cuda-cupti, or name \
             the file in {VARIABLE})"
        ))
    }

    fn open(path: &Path) -> Result<Self, String> {
        if let Some(why) = find::untrusted(path) {
            return Err(why);
        }
        let load = |path: &Path| {
            // SAFETY: what such a library does when it is loaded is NVIDIA's, and its file only root or the user can write.
            unsafe { UnixLibrary::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
        };
        let beside = path.parent().filter(|folder| folder.is_absolute()).map(|folder| folder.join(COUNTERS));
        if let Some(counters) = beside.filter(|path| path.exists() && find::untrusted(path).is_none()) {
            // It stays loaded, as what loads it does. Where it cannot be, that will say so.
            std::mem::forget(load(&counters));
        }
        let library = load(path).map_err(|error| error.to_string())?;
        // SAFETY: it is CUPTI by its name.
        let api = unsafe { Api::new(Library::from(library)) }
            .map_err(|_| "it is older than PM sampling (CUDA 12.6)".to_owned())?;
        // SAFETY: it takes nothing.
        unsafe { api.call(&mut api::Initialize::of([])) }.map_err(|refused| why(&refused))?;
        let version = api.version();
        Ok(Self { api, path: path.to_owned(), version })
    }

    /// Takes the counters of a GPU, by CUDA's number of it, and begins to sample.
    ///
    /// # Errors
    ///
    /// Why not, and the remedy.
    pub fn sample(
        &self,
        device: usize,
        settings: &PmSettings,
        round: Duration,
    ) -> Result<PmSampler<'_>, String> {
        PmSampler::start(&self.api, device, settings, round).map_err(|refused| why(&refused))
    }
}

/// Why a call was refused, and the remedy.
pub fn why(refused: &Refused) -> String {
    let Refused { call, code, name } = refused;
    match *code {
        code::HARDWARE_BUSY => {
            format!(
                "{call}: another has the GPU's counters (end ncu, nsys, DCGM's profiling or another hostprof)"
            )
        }
        code::INSUFFICIENT_PRIVILEGES => format!(
            "{call}: not allowed to count (load the driver with NVreg_RestrictProfilingToAdminUsers=0, or record as root \
             itself)"
        ),
        code::NOT_SUPPORTED => {
            format!("{call}: the GPU does not offer it (PM sampling is of Turing and later)")
        }
        _ => format!("{call}: {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_remedy() {
        let refused = |code| Refused { call: "cuptiX", code, name: "CUPTI_ERROR_UNKNOWN".to_owned() };
        assert!(why(&refused(26)).contains("another has the GPU's counters"));
        assert!(why(&refused(35)).contains("NVreg_RestrictProfilingToAdminUsers"));
        assert_eq!(why(&refused(999)), "cuptiX: CUPTI_ERROR_UNKNOWN");
    }
}
