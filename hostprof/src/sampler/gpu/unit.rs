//! A GPU, or an instance of one that is divided.

use nvml_wrapper::{Device, Nvml};

use super::{Offered, fields, gpm::Gpm, processes::Processes, reading};
use crate::{
    clock,
    table::{GpuProcessSampleRow, GpuSampleRow},
    units::Tgid,
};

/// One to be read.
pub struct Unit<'nvml> {
    device: Device<'nvml>,
    index: u32,
    /// GPU instance and compute instance.
    instance: Option<(u32, u32)>,
    minor: Option<u32>,
    gpm: Gpm<'nvml>,
    processes: Processes,
    offered: Offered,
    /// When it was found to be gone.
    gone_mono_ns: Option<u64>,
}

impl<'nvml> Unit<'nvml> {
    /// A GPU, and its instances.
    pub fn all(nvml: &'nvml Nvml, index: u32, device: Device<'nvml>) -> Vec<Self> {
        let divided = device.mig_mode().is_ok_and(|mode| mode.current == 1);
        // The most there can be; numbers that are not taken are passed over.
        let most = if divided { device.mig_device_count().unwrap_or(0) } else { 0 };
        let instances: Vec<Self> = (0..most)
            .filter_map(|at| {
                let part = device.mig_device_by_index(at).ok()?;
                let instance = fields::instance(nvml, &part).ok()?;
                let whole = nvml.device_by_index(index).ok()?;
                Some(Self::new(part, index, Some(instance), Gpm::new(whole, Some(instance.0))))
            })
            .collect();
        let Ok(whole) = nvml.device_by_index(index) else { return instances };
        let mut units = vec![Self::new(device, index, None, Gpm::new(whole, None))];
        units.extend(instances);
        units
    }

    fn new(device: Device<'nvml>, index: u32, instance: Option<(u32, u32)>, gpm: Gpm<'nvml>) -> Self {
        let minor = device.minor_number().ok();
        Self {
            device,
            index,
            instance,
            minor,
            gpm,
            processes: Processes::default(),
            offered: Offered::default(),
            gone_mono_ns: None,
        }
    }

    /// Reads it once; `None` where it can no longer be read.
    pub fn sample(&mut self, nvml: &'nvml Nvml) -> Option<GpuSampleRow> {
        if self.gone_mono_ns.is_some() {
            return None;
        }
        let mut row = GpuSampleRow {
            gpu: self.index,
            gpu_instance: self.instance.map(|(gpu, _)| gpu),
            compute_instance: self.instance.map(|(_, compute)| compute),
            ..GpuSampleRow::default()
        };
        self.gpm.fill(nvml, &mut self.offered, &mut row);
        reading::fill(nvml, &self.device, &mut self.offered, &mut row);
        row.read_ns = clock::mono().0.saturating_sub(row.ts_mono_ns);
        if self.offered.gone().is_some() {
            self.gone_mono_ns = Some(row.ts_mono_ns);
            return None;
        }
        Some(row)
    }

    /// Reads its processes.
    pub fn processes(&mut self, ts_mono_ns: u64, live: &[Tgid]) -> Vec<GpuProcessSampleRow> {
        self.processes.sample(&self.device, self.index, ts_mono_ns, live)
    }

    /// The number of its device file.
    pub fn minor(&self) -> Option<u32> {
        self.minor
    }

    /// NVML's number of it.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The GPU instance that it is.
    pub fn gpu_instance(&self) -> Option<u32> {
        self.instance.map(|(gpu, _)| gpu)
    }

    /// Columns that are null, or were once, and why.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.offered.reasons().chain(self.processes.reasons())
    }

    /// What else should be known of it.
    pub fn notes(&self) -> Vec<String> {
        let name = match self.instance {
            Some((gpu, compute)) => format!("GPU {} instance {gpu}/{compute}", self.index),
            None => format!("GPU {}", self.index),
        };
        let gone = self.offered.gone().zip(self.gone_mono_ns);
        let gone = gone.map(|(why, at_ns)| format!("{name}: not read from {at_ns} ns (monotonic) on: {why}"));
        let no_number = self.gpm.not_a_number;
        let no_number =
            (no_number > 0).then(|| format!("{name}: GPM gave {no_number} values that are no number: null"));
        gone.into_iter().chain(no_number).collect()
    }
}
