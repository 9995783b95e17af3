//! GPM: what the units of a GPU did between two samples of its counters (Hopper and later).
//!
//! Samples closer together than 100 ms gave zeros and NaN on an H100 (driver 580, November 2026), so none are
//! taken; NaN is null.

use std::{thread, time::Duration};

use nvml_wrapper::{
    Device, GpmSample, Nvml, enums::gpm::GpmMetricId, error::NvmlError, gpm::gpm_metrics_get,
};

use super::Offered;
use crate::{clock, table::GpuSampleRow};

/// No window is shorter.
pub const LEAST_WINDOW: Duration = Duration::from_millis(100);
/// A sample that comes early by no more than this waits for the rest.
const WAITS_AT_MOST_NS: u64 = 10_000_000;

const PERCENT: f64 = 0.01;
const MIB: f64 = (1 << 20) as f64;

type Column = fn(&mut GpuSampleRow) -> &mut Option<f64>;

/// A metric, its column, and what its value is multiplied by for that.
const METRICS: &[(GpmMetricId, &str, Column, f64)] = &[
    (GpmMetricId::GraphicsUtil, "gr_util", |row| &mut row.gr_util, PERCENT),
    (GpmMetricId::SmUtil, "sm_util", |row| &mut row.sm_util, PERCENT),
    (GpmMetricId::SmOccupancy, "sm_occupancy", |row| &mut row.sm_occupancy, PERCENT),
    (GpmMetricId::AnyTensorUtil, "tensor_util", |row| &mut row.tensor_util, PERCENT),
    (GpmMetricId::DramBwUtil, "dram_util", |row| &mut row.dram_util, PERCENT),
    (GpmMetricId::Fp16Util, "fp16_util", |row| &mut row.fp16_util, PERCENT),
    (GpmMetricId::Fp32Util, "fp32_util", |row| &mut row.fp32_util, PERCENT),
    (GpmMetricId::Fp64Util, "fp64_util", |row| &mut row.fp64_util, PERCENT),
    (
        GpmMetricId::PcieRxPerSec,
        "gpm_pcie_rx_bytes_per_second",
        |row| &mut row.gpm_pcie_rx_bytes_per_second,
        MIB,
    ),
    (
        GpmMetricId::PcieTxPerSec,
        "gpm_pcie_tx_bytes_per_second",
        |row| &mut row.gpm_pcie_tx_bytes_per_second,
        MIB,
    ),
    (
        GpmMetricId::NvlinkTotalRxPerSec,
        "gpm_nvlink_rx_bytes_per_second",
        |row| &mut row.gpm_nvlink_rx_bytes_per_second,
        MIB,
    ),
    (
        GpmMetricId::NvlinkTotalTxPerSec,
        "gpm_nvlink_tx_bytes_per_second",
        |row| &mut row.gpm_nvlink_tx_bytes_per_second,
        MIB,
    ),
];

/// All columns of GPM.
const COLUMNS: &[&str] = &[
    "gpm_window_ns",
    "gr_util",
    "sm_util",
    "sm_occupancy",
    "tensor_util",
    "dram_util",
    "fp16_util",
    "fp32_util",
    "fp64_util",
    "gpm_pcie_rx_bytes_per_second",
    "gpm_pcie_tx_bytes_per_second",
    "gpm_nvlink_rx_bytes_per_second",
    "gpm_nvlink_tx_bytes_per_second",
];

/// The sample before.
struct Last<'nvml> {
    /// Just before it was asked for: where a window begins.
    asked_ns: u64,
    /// When it had been taken, somewhere in between: from then on the next must wait.
    taken_ns: u64,
    sample: GpmSample<'nvml>,
}

/// The counters of a GPU or of a GPU instance.
pub struct Gpm<'nvml> {
    /// The GPU; of an instance, the GPU that it is a part of.
    device: Device<'nvml>,
    gpu_instance: Option<u32>,
    last: Option<Last<'nvml>>,
    supported: Option<bool>,
    /// Values that were no number.
    pub not_a_number: u64,
}

impl<'nvml> Gpm<'nvml> {
    /// Reads nothing yet.
    pub fn new(device: Device<'nvml>, gpu_instance: Option<u32>) -> Self {
        Self { device, gpu_instance, last: None, supported: None, not_a_number: 0 }
    }

    /// Takes a sample, unless the last is too fresh, and fills the row from both. Sets the row's time.
    pub fn fill(&mut self, nvml: &'nvml Nvml, offered: &mut Offered, row: &mut GpuSampleRow) {
        row.ts_mono_ns = clock::mono().0;
        if !self.is_supported(offered) || !self.is_due(row) {
            return;
        }
        let taken = offered.ask(COLUMNS, || match self.gpu_instance {
            Some(instance) => self.device.gpm_mig_sample(instance),
            None => self.device.gpm_sample(),
        });
        let taken_ns = clock::mono().0;
        let Some(sample) = taken else {
            // A gap: the next window must not span it.
            self.last = None;
            return;
        };
        if let Some(last) = &self.last {
            let ids: Vec<GpmMetricId> = METRICS.iter().map(|(id, ..)| *id).collect();
            if let Some(values) = offered.ask(COLUMNS, || gpm_metrics_get(nvml, &last.sample, &sample, &ids))
            {
                row.gpm_window_ns = Some(row.ts_mono_ns - last.asked_ns);
                for ((_, name, column, scale), value) in METRICS.iter().zip(values) {
                    match value {
                        Ok(metric) if metric.value.is_finite() => *column(row) = Some(metric.value * scale),
                        Ok(_) => self.not_a_number += 1,
                        Err(error) => offered.lacks(name, &error),
                    }
                }
            }
        }
        self.last = Some(Last { asked_ns: row.ts_mono_ns, taken_ns, sample });
    }

    fn is_supported(&mut self, offered: &mut Offered) -> bool {
        let device = &self.device;
        *self.supported.get_or_insert_with(|| match offered.ask(COLUMNS, || device.gpm_support()) {
            Some(false) => {
                offered.refuse(COLUMNS, &NvmlError::NotSupported);
                false
            }
            supported => supported.is_some(),
        })
    }

    /// Whether the last sample is old enough; waits where it nearly is.
    fn is_due(&self, row: &mut GpuSampleRow) -> bool {
        let Some(last) = &self.last else { return true };
        let due_ns = last.taken_ns + LEAST_WINDOW.as_nanos() as u64;
        let early_ns = due_ns.saturating_sub(row.ts_mono_ns);
        if early_ns > WAITS_AT_MOST_NS {
            return false;
        }
        if early_ns > 0 {
            thread::sleep(Duration::from_nanos(early_ns));
            row.ts_mono_ns = clock::mono().0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_a_column_of_the_list() {
        let named: Vec<&str> = METRICS.iter().map(|(_, name, ..)| *name).collect();
        assert_eq!(named, COLUMNS[1..]);
    }
}
