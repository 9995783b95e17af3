//! GPUs: what NVML tells of each, its instances (MIG) and its processes, and what GPM measures between two samples.
//!
//! NVML may take its time (a GPU that is lost, one that wakes), so this sampler is not one of
//! [`super::Sampler`]'s: it has a thread of its own. What a GPU does not offer is asked for once, stays null and is told
//! by [`Gpus::absent`].

mod fields;
mod gpm;
mod offered;
mod open;
mod processes;
mod reading;
mod unit;

use std::collections::BTreeMap;

use nvml_wrapper::Nvml;

pub use self::gpm::LEAST_WINDOW;
use self::{offered::Offered, open::OpenDevices, unit::Unit};
use crate::{
    table::{GpuProcessSampleRow, GpuSampleRow, TargetBy},
    units::Tgid,
};

/// The rows of one sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuSamples {
    /// Of the GPUs and instances.
    pub gpus: Vec<GpuSampleRow>,
    /// Of their processes.
    pub processes: Vec<GpuProcessSampleRow>,
}

/// Columns that a GPU did not fill, or not always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// NVML's number of the GPU.
    pub gpu: u32,
    /// The GPU instance, of one that is divided.
    pub gpu_instance: Option<u32>,
    /// Columns of `gpu_sample`; those of `gpu_process_sample` say so.
    pub columns: Vec<&'static str>,
    /// Why, with the remedy where there is one.
    pub reason: String,
}

/// The GPUs that NVML shows.
pub struct Gpus<'nvml> {
    nvml: &'nvml Nvml,
    units: Vec<Unit<'nvml>>,
    open: OpenDevices,
    notes: Vec<String>,
}

impl<'nvml> Gpus<'nvml> {
    /// All that there are, and the instances of those that are divided.
    pub fn new(nvml: &'nvml Nvml) -> Self {
        let (mut units, mut notes) = (Vec::new(), Vec::new());
        match nvml.device_count() {
            Ok(count) => {
                for index in 0..count {
                    match nvml.device_by_index(index) {
                        Ok(device) => units.extend(Unit::all(nvml, index, device)),
                        Err(error) => notes.push(format!("read GPU {index}: {error}")),
                    }
                }
            }
            Err(error) => notes.push(format!("count the GPUs: {error}")),
        }
        Self { nvml, units, open: OpenDevices::default(), notes }
    }

    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// Reads each once. `live` are the target's processes now, sorted.
    pub fn sample(&mut self, live: &[Tgid]) -> GpuSamples {
        let mut samples = GpuSamples::default();
        self.open.look(live);
        // A GPU comes before its instances, which its processes are matched with.
        let mut processes: Vec<GpuProcessSampleRow> = Vec::new();
        for unit in &mut self.units {
            let Some(mut row) = unit.sample(self.nvml) else { continue };
            if row.gpu_instance.is_none() {
                processes.clear();
                processes.extend(unit.processes(row.ts_mono_ns, live));
                samples.processes.extend(processes.iter().cloned());
            }
            row.target_by = target_by(&row, &processes, unit.minor(), &self.open);
            samples.gpus.push(row);
        }
        samples
    }

    /// What was not offered, by GPU and reason.
    pub fn absent(&self) -> Vec<Absent> {
        let mut all = Vec::new();
        for unit in &self.units {
            let mut by_reason: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
            for (column, reason) in unit.reasons() {
                by_reason.entry(reason).or_default().push(column);
            }
            all.extend(by_reason.into_iter().map(|(reason, columns)| Absent {
                gpu: unit.index(),
                gpu_instance: unit.gpu_instance(),
                columns,
                reason: reason.to_owned(),
            }));
        }
        all
    }

    /// What else should be known.
    pub fn notes(&self) -> Vec<String> {
        let of_units = self.units.iter().flat_map(Unit::notes);
        self.notes.iter().cloned().chain(of_units).chain(self.open.note()).collect()
    }
}

/// By what a GPU is the target's. `processes` are those of the whole GPU.
fn target_by(
    row: &GpuSampleRow,
    processes: &[GpuProcessSampleRow],
    minor: Option<u32>,
    open: &OpenDevices,
) -> Option<TargetBy> {
    let is_on = |process: &&GpuProcessSampleRow| {
        row.gpu_instance.is_none()
            || (row.gpu_instance, row.compute_instance) == (process.gpu_instance, process.compute_instance)
    };
    if processes.iter().filter(is_on).any(|process| process.in_target) {
        return Some(TargetBy::Process);
    }
    // An instance has no device file of its own that would tell.
    let has_open = row.gpu_instance.is_none() && minor.is_some_and(|minor| open.has(minor));
    has_open.then_some(TargetBy::Device)
}
