//! What NVML tells of a GPU at an instant: a call a line, each null where it is refused.

use nvml_wrapper::{
    Device, Nvml,
    bitmasks::device::ThrottleReasons,
    enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor},
    error::{Bits, NvmlError},
};

use super::{Offered, fields};
use crate::table::GpuSampleRow;

/// Words for the bits.
const REASONS: &[(ThrottleReasons, &str)] = &[
    (ThrottleReasons::GPU_IDLE, "gpu_idle"),
    (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "applications_clocks"),
    (ThrottleReasons::SW_POWER_CAP, "sw_power_cap"),
    (ThrottleReasons::HW_SLOWDOWN, "hw_slowdown"),
    (ThrottleReasons::SYNC_BOOST, "sync_boost"),
    (ThrottleReasons::SW_THERMAL_SLOWDOWN, "sw_thermal"),
    (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hw_thermal"),
    (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "hw_power_brake"),
    (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display_clocks"),
];

/// Fills all columns but GPM's.
pub fn fill(nvml: &Nvml, device: &Device<'_>, offered: &mut Offered, row: &mut GpuSampleRow) {
    if let Some(util) = offered.ask(&["util_gpu", "util_mem"], || device.utilization_rates()) {
        row.util_gpu = Some(f64::from(util.gpu) / 100.0);
        row.util_mem = Some(f64::from(util.memory) / 100.0);
    }
    if let Some((used, total)) = offered.ask(&["mem_used_bytes", "mem_total_bytes"], || memory(nvml, device))
    {
        row.mem_used_bytes = Some(used);
        row.mem_total_bytes = Some(total);
    }
    row.power_mw = offered.ask(&["power_mw"], || device.power_usage());
    row.power_limit_mw = offered.ask(&["power_limit_mw"], || device.enforced_power_limit());
    row.energy_mj = offered.ask(&["energy_mj"], || device.total_energy_consumption());
    row.sm_clock_mhz = offered.ask(&["sm_clock_mhz"], || device.clock_info(Clock::SM));
    row.mem_clock_mhz = offered.ask(&["mem_clock_mhz"], || device.clock_info(Clock::Memory));
    row.temperature_c = offered.ask(&["temperature_c"], || device.temperature(TemperatureSensor::Gpu));
    row.throttle_reasons = offered.ask(&["throttle_reasons"], || throttle_reasons(device));
    let ecc = |kind| device.total_ecc_errors(kind, EccCounter::Volatile);
    row.ecc_corrected = offered.ask(&["ecc_corrected"], || ecc(MemoryError::Corrected));
    row.ecc_uncorrected = offered.ask(&["ecc_uncorrected"], || ecc(MemoryError::Uncorrected));
    row.pcie_replays = offered.ask(&["pcie_replays"], || device.pcie_replay_counter()).map(u64::from);
    fields(nvml, device, offered, row);
}

fn memory(nvml: &Nvml, device: &Device<'_>) -> Result<(u64, u64), NvmlError> {
    match device.memory_info() {
        Err(NvmlError::FailedToLoadSymbol(_)) => fields::memory_of_old(nvml, device),
        told => told.map(|memory| (memory.used, memory.total)),
    }
}

fn throttle_reasons(device: &Device<'_>) -> Result<String, NvmlError> {
    let bits = match device.current_throttle_reasons_strict() {
        Ok(reasons) => reasons.bits(),
        Err(NvmlError::IncorrectBits(Bits::U64(bits))) => bits,
        Err(error) => return Err(error),
    };
    Ok(words(bits))
}

fn words(bits: u64) -> String {
    let mut left = bits;
    let mut words = Vec::new();
    for (reason, word) in REASONS {
        if left & reason.bits() != 0 {
            words.push((*word).to_owned());
            left &= !reason.bits();
        }
    }
    if left != 0 {
        words.push(format!("{left:#x}"));
    }
    words.join("+")
}

fn fields(nvml: &Nvml, device: &Device<'_>, offered: &mut Offered, row: &mut GpuSampleRow) {
    let Some(values) = offered.ask(fields::COLUMNS, || fields::values(nvml, device)) else { return };
    let mut told = fields::COLUMNS.iter().zip(values).map(|(column, value)| match value {
        Ok(value) => Some(value),
        Err(error) => {
            offered.lacks(column, &error);
            None
        }
    });
    let mut next = || told.next().flatten();
    row.mem_temperature_c = next().map(|value| value as u32);
    row.pcie_rx_bytes = next();
    row.pcie_tx_bytes = next();
    row.nvlink_rx_bytes = next();
    row.nvlink_tx_bytes = next();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttle_reasons_are_words_and_unknown_ones_their_bits() {
        assert_eq!(words(0), "");
        assert_eq!(words(0x1), "gpu_idle");
        assert_eq!(words(0x4 | 0x40), "sw_power_cap+hw_thermal");
        assert_eq!(words(0x4 | 0x1000), "sw_power_cap+0x1000");
    }
}
