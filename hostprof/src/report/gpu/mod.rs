//! The GPUs during a recording, from their samples: how busy, with what, held back by what, and who was on them.

mod bubbles;
mod text;
mod timeline;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::{
    bubbles::bubbles,
    text::write,
    timeline::{Timeline, timelines},
};
use crate::{
    ledger::{Gpm, gpm},
    recording::{Absent, Config, Recording, RecordingError},
    table::{GpuProcessSampleRow, GpuSampleRow, GpuUse, TargetBy},
};

/// GPU, GPU instance, compute instance.
type Unit = (u32, Option<u32>, Option<u32>);

/// The GPUs of the machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Gpus {
    /// The driver; null where it told none.
    pub driver: Option<String>,
    /// NVML's version; null as above.
    pub nvml: Option<String>,
    /// Why there are no samples; null where there are.
    pub missing: Option<String>,
    /// GPUs and instances, the target's first.
    pub devices: Vec<Gpu>,
    /// What PM sampling counted, by GPU; empty where it was not asked for.
    pub timelines: Vec<Timeline>,
    /// Columns that GPUs did not offer, and why.
    pub absent: Vec<Absent>,
}

/// A value over all samples; null where the GPU does not tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    pub mean: f64,
    pub min: f64,
    pub max: f64,
}

/// What GPM told over the recording.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Measured {
    /// The GPU does not offer it.
    NotMeasured,
    /// The recording holds fewer than two intervals of it.
    NotResolvable,
    /// Mean and greatest.
    Value { mean: f64, max: f64 },
}

impl From<Gpm> for Measured {
    fn from(gpm: Gpm) -> Self {
        match gpm {
            Gpm::NotMeasured => Self::NotMeasured,
            Gpm::NotResolvable => Self::NotResolvable,
            Gpm::Of { mean, max } => Self::Value { mean, max },
        }
    }
}

/// A GPU or an instance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gpu {
    pub gpu: u32,
    pub gpu_instance: Option<u32>,
    pub compute_instance: Option<u32>,
    pub name: Option<String>,
    /// By what it was the target's, in any sample; null where in none.
    pub target_by: Option<TargetBy>,
    pub samples: u64,
    /// From the first to the last.
    pub sampled_ns: u64,
    /// Time that reading it took, of each sample.
    pub read_ns: Spread,
    /// Mean length of GPM's intervals; null where there is none.
    pub gpm_window_ns: Option<u64>,
    pub util_gpu: Option<Spread>,
    pub util_mem: Option<Spread>,
    pub gr_util: Measured,
    pub sm_util: Measured,
    pub sm_occupancy: Measured,
    pub tensor_util: Measured,
    pub dram_util: Measured,
    pub pcie_rx_bytes_per_second: Measured,
    pub pcie_tx_bytes_per_second: Measured,
    pub nvlink_rx_bytes_per_second: Measured,
    pub nvlink_tx_bytes_per_second: Measured,
    pub mem_used_bytes: Option<Spread>,
    pub mem_total_bytes: Option<u64>,
    pub power_mw: Option<Spread>,
    pub power_limit_mw: Option<u32>,
    /// Energy between the first sample and the last.
    pub energy_mj: Option<u64>,
    pub sm_clock_mhz: Option<Spread>,
    pub mem_clock_mhz: Option<Spread>,
    pub temperature_c: Option<Spread>,
    /// Samples in which each reason held its clocks back; idleness is not one.
    pub throttled: BTreeMap<String, u64>,
    /// Errors between the first sample and the last.
    pub ecc_corrected: Option<u64>,
    pub ecc_uncorrected: Option<u64>,
    pub pcie_replays: Option<u64>,
    pub processes: Vec<GpuProcess>,
    pub history: History,
}

/// Each sample in the order of time, for a drawing; null where a sample had no value.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct History {
    pub ts_mono_ns: Vec<u64>,
    pub util_gpu: Vec<Option<f64>>,
    pub sm_util: Vec<Option<f64>>,
    pub tensor_util: Vec<Option<f64>>,
    pub dram_util: Vec<Option<f64>>,
    pub mem_used_bytes: Vec<Option<u64>>,
    pub power_mw: Vec<Option<u32>>,
    pub sm_clock_mhz: Vec<Option<u32>>,
}

/// A process on a GPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GpuProcess {
    pub tgid: u32,
    pub comm: Option<String>,
    pub kind: GpuUse,
    pub in_target: bool,
    pub mem_used_bytes_max: Option<u64>,
    /// Mean over all samples of the GPU: 0 where it did nothing; null where the driver never told.
    pub sm_util: Option<f64>,
}

/// Reads the samples of a recording, without those of PM sampling; `None` where the machine has no GPU that anything is known of.
///
/// # Errors
///
/// A table cannot be read.
pub fn gpus(recording: &Recording) -> Result<Option<Gpus>, RecordingError> {
    Ok(Gpus::of(recording.config(), &recording.all()?, &recording.all()?))
}

impl Gpus {
    /// From the rows of the tables, each in the order of time.
    pub fn of(config: &Config, rows: &[GpuSampleRow], processes: &[GpuProcessSampleRow]) -> Option<Self> {
        let told = &config.host.gpus;
        if rows.is_empty() && told.devices.is_empty() {
            return None;
        }
        let mut units: BTreeMap<Unit, Vec<&GpuSampleRow>> = BTreeMap::new();
        for row in rows {
            units.entry((row.gpu, row.gpu_instance, row.compute_instance)).or_default().push(row);
        }
        let mut devices: Vec<Gpu> =
            units.values().filter_map(|rows| Gpu::of(config, rows, processes)).collect();
        // Sorting keeps the order of those that are alike.
        devices.sort_by_key(|gpu| match gpu.target_by {
            Some(TargetBy::Process) => 0,
            Some(TargetBy::Device) => 1,
            None => 2,
        });
        let missing = if !devices.is_empty() {
            None
        } else if config.samples.interval_ns.is_none() {
            Some("no samples were taken".to_owned())
        } else {
            Some(told.nvml_missing.clone().unwrap_or_else(|| "NVML told nothing of it".to_owned()))
        };
        Some(Self {
            driver: told.driver.clone(),
            nvml: told.nvml.clone(),
            missing,
            devices,
            timelines: Vec::new(),
            absent: config.samples.absent.clone(),
        })
    }
}

impl Gpu {
    fn of(config: &Config, rows: &[&GpuSampleRow], processes: &[GpuProcessSampleRow]) -> Option<Self> {
        let (first, last) = (*rows.first()?, *rows.last()?);
        let begin_ns = config.started.mono_ns.0;
        // The last sample is taken once the recording has ended: it reaches over the end.
        let end_ns = config.ended.as_ref().map_or(last.ts_mono_ns, |ended| ended.at.mono_ns.0);
        let window = (begin_ns, end_ns);
        let of_gpm =
            |column: fn(&GpuSampleRow) -> Option<f64>| gpm(rows.iter().copied(), window, column).into();
        let growth = |counter: fn(&GpuSampleRow) -> Option<u64>| {
            let mut told = rows.iter().filter_map(|row| counter(row));
            let first = told.next()?;
            Some(told.next_back().unwrap_or(first).saturating_sub(first))
        };
        let windows: Vec<u64> = rows.iter().filter_map(|row| row.gpm_window_ns).collect();
        Some(Self {
            gpu: first.gpu,
            gpu_instance: first.gpu_instance,
            compute_instance: first.compute_instance,
            name: config
                .host
                .gpus
                .devices
                .iter()
                .find(|gpu| gpu.index == Some(first.gpu))
                .and_then(|gpu| gpu.name.clone()),
            // A process says more than an open device.
            target_by: rows.iter().filter_map(|row| row.target_by).min(),
            samples: rows.len() as u64,
            sampled_ns: last.ts_mono_ns - first.ts_mono_ns,
            read_ns: spread(rows, |row| Some(row.read_ns as f64)).unwrap_or_default(),
            gpm_window_ns: windows.iter().sum::<u64>().checked_div(windows.len() as u64),
            util_gpu: spread(rows, |row| row.util_gpu),
            util_mem: spread(rows, |row| row.util_mem),
            gr_util: of_gpm(|row| row.gr_util),
            sm_util: of_gpm(|row| row.sm_util),
            sm_occupancy: of_gpm(|row| row.sm_occupancy),
            tensor_util: of_gpm(|row| row.tensor_util),
            dram_util: of_gpm(|row| row.dram_util),
            pcie_rx_bytes_per_second: of_gpm(|row| row.gpm_pcie_rx_bytes_per_second),
            pcie_tx_bytes_per_second: of_gpm(|row| row.gpm_pcie_tx_bytes_per_second),
            nvlink_rx_bytes_per_second: of_gpm(|row| row.gpm_nvlink_rx_bytes_per_second),
            nvlink_tx_bytes_per_second: of_gpm(|row| row.gpm_nvlink_tx_bytes_per_second),
            mem_used_bytes: spread(rows, |row| row.mem_used_bytes.map(|bytes| bytes as f64)),
            mem_total_bytes: rows.iter().rev().find_map(|row| row.mem_total_bytes),
            power_mw: spread(rows, |row| row.power_mw.map(f64::from)),
            power_limit_mw: rows.iter().rev().find_map(|row| row.power_limit_mw),
            energy_mj: growth(|row| row.energy_mj),
            sm_clock_mhz: spread(rows, |row| row.sm_clock_mhz.map(f64::from)),
            mem_clock_mhz: spread(rows, |row| row.mem_clock_mhz.map(f64::from)),
            temperature_c: spread(rows, |row| row.temperature_c.map(f64::from)),
            throttled: throttled(rows),
            ecc_corrected: growth(|row| row.ecc_corrected),
            ecc_uncorrected: growth(|row| row.ecc_uncorrected),
            pcie_replays: growth(|row| row.pcie_replays),
            processes: on_gpu(first, processes, rows.len()),
            history: History::of(rows),
        })
    }
}

impl History {
    fn of(rows: &[&GpuSampleRow]) -> Self {
        Self {
            ts_mono_ns: rows.iter().map(|row| row.ts_mono_ns).collect(),
            util_gpu: rows.iter().map(|row| row.util_gpu).collect(),
            sm_util: rows.iter().map(|row| row.sm_util).collect(),
            tensor_util: rows.iter().map(|row| row.tensor_util).collect(),
            dram_util: rows.iter().map(|row| row.dram_util).collect(),
            mem_used_bytes: rows.iter().map(|row| row.mem_used_bytes).collect(),
            power_mw: rows.iter().map(|row| row.power_mw).collect(),
            sm_clock_mhz: rows.iter().map(|row| row.sm_clock_mhz).collect(),
        }
    }
}

fn spread(rows: &[&GpuSampleRow], value: impl Fn(&GpuSampleRow) -> Option<f64>) -> Option<Spread> {
    let values: Vec<f64> = rows.iter().filter_map(|row| value(row)).collect();
    (!values.is_empty()).then(|| Spread {
        mean: values.iter().sum::<f64>() / values.len() as f64,
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    })
}

fn throttled(rows: &[&GpuSampleRow]) -> BTreeMap<String, u64> {
    let mut samples: BTreeMap<String, u64> = BTreeMap::new();
    let reasons = rows.iter().filter_map(|row| row.throttle_reasons.as_deref());
    for reason in reasons.flat_map(|reasons| reasons.split('+')) {
        if !matches!(reason, "" | "gpu_idle") {
            *samples.entry(reason.to_owned()).or_default() += 1;
        }
    }
    samples
}

fn on_gpu(unit: &GpuSampleRow, processes: &[GpuProcessSampleRow], samples: usize) -> Vec<GpuProcess> {
    let mut by_id: BTreeMap<(u32, GpuUse), Vec<&GpuProcessSampleRow>> = BTreeMap::new();
    let instance = (unit.gpu_instance, unit.compute_instance);
    for row in processes.iter().filter(|row| row.gpu == unit.gpu) {
        if unit.gpu_instance.is_none() || (row.gpu_instance, row.compute_instance) == instance {
            by_id.entry((row.tgid, row.kind)).or_default().push(row);
        }
    }
    let mut all: Vec<GpuProcess> = by_id
        .into_iter()
        .map(|((tgid, kind), rows)| {
            let told: Vec<f64> = rows.iter().filter_map(|row| row.sm_util).collect();
            GpuProcess {
                tgid,
                comm: rows.iter().rev().find_map(|row| row.comm.clone()),
                kind,
                in_target: rows.iter().any(|row| row.in_target),
                mem_used_bytes_max: rows.iter().filter_map(|row| row.mem_used_bytes).max(),
                sm_util: (!told.is_empty()).then(|| told.iter().sum::<f64>() / samples.max(1) as f64),
            }
        })
        .collect();
    all.sort_by_key(|process| (!process.in_target, std::cmp::Reverse(process.mem_used_bytes_max)));
    all
}
