//! What the kernel half is told of the NVIDIA driver's devices and structures.

use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use hostprof_common::{
    nvidia::{Settings, Shape, ShapeKey, device},
    span::DEVICE_RANGES,
};

use super::error::{LoadError, broken, refused};

/// Which calls are decoded, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NvidiaSettings {
    /// What each range of selected devices speaks, one of [`device`], in the order of the ranges.
    pub kinds: Vec<u32>,
    /// What to read of each structure.
    pub shapes: Vec<(ShapeKey, Shape)>,
    /// Whether a structure's bytes are told as they are.
    pub keep_bytes: bool,
}

impl NvidiaSettings {
    /// Whether any call is decoded.
    pub fn any(&self) -> bool {
        self.kinds.iter().any(|kind| *kind != device::OTHER)
    }

    /// What the kernel half is told before it is loaded.
    pub(super) fn settings(&self) -> Settings {
        let mut settings =
            Settings { any: self.any().into(), keep_bytes: self.keep_bytes.into(), ..Settings::NONE };
        for (range, kind) in settings.kinds.iter_mut().zip(self.kinds.iter().take(DEVICE_RANGES)) {
            *range = *kind;
        }
        settings
    }

    /// Tells the rest.
    pub(super) fn tell(&self, ebpf: &mut Ebpf) -> Result<(), LoadError> {
        if !self.any() {
            return Ok(());
        }
        // Borrowed, not taken: the programs of system calls are loaded later and need it open until then.
        let map = ebpf.map_mut("NVIDIA_SHAPES").ok_or_else(|| broken("NVIDIA_SHAPES"))?;
        let mut shapes: HashMap<&mut MapData, ShapeKey, Shape> =
            HashMap::try_from(map).map_err(|error| refused("open a map", &error))?;
        for (key, shape) in &self.shapes {
            shapes.insert(key, shape, 0).map_err(|error| refused("tell a structure's shape", &error))?;
        }
        Ok(())
    }
}
