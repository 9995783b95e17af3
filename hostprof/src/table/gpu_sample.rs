//! Table `gpu_sample`: what each GPU does and has, as NVML tells.

use super::{table, word::words};

words! {
    /// By what a GPU was found to be the target's.
    #[derive(Default)]
    TargetBy {
        /// NVML lists a process of the target as one of the GPU's.
        #[default]
        Process = "process",
        /// A process of the target has the GPU's device file open. CUDA opens that of every GPU it may use, so
        /// this says less.
        Device = "device",
    }
}

table! {
    /// One row is a GPU, or an instance of one that is divided (MIG), at an instant, one at each sample. What the
    /// GPU, its driver or its NVML does not offer is null, and `samples.absent` in config.json has the reason.
    /// Shares of `util_gpu`, `util_mem` are of the driver's own sampling period (1/6 s to 1 s, by product); those
    /// below `gpm_window_ns` of the time since the row before, exactly.
    GpuSampleRow in "gpu_sample" as GpuSampleColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns);

    /// Just before the GPU was read, CLOCK_MONOTONIC: the end of the GPM window.
    ts_mono_ns: u64 ["ns" Delta],
    /// NVML's number of it, as in `host.gpus` of config.json; CUDA may count in another order.
    gpu: u32 ["" Dictionary],
    /// The GPU instance, of one that is divided; null for a whole GPU.
    gpu_instance: Option<u32> ["" Dictionary],
    /// The compute instance within it; null as above.
    compute_instance: Option<u32> ["" Dictionary],
    /// By what it was found to be the target's; null where it was not.
    target_by: Option<TargetBy> ["" Dictionary],
    /// How long it took to read all of this row.
    read_ns: u64 ["ns" Plain],
    /// Share of the driver's last sampling period in which any kernel ran, 0 to 1: nvidia-smi's GPU-Util.
    util_gpu: Option<f64> ["ratio" Dictionary],
    /// Share of it in which device memory was read or written, as `util_gpu`.
    util_mem: Option<f64> ["ratio" Dictionary],
    /// Device memory in use, by all processes and the driver.
    mem_used_bytes: Option<u64> ["bytes" Dictionary],
    /// Device memory there is.
    mem_total_bytes: Option<u64> ["bytes" Dictionary],
    /// Power of the whole board, averaged by the driver (over a second on many products).
    power_mw: Option<u32> ["mW" Plain],
    /// The limit that is in force.
    power_limit_mw: Option<u32> ["mW" Dictionary],
    /// Energy of the whole board, cumulative since the driver was loaded.
    energy_mj: Option<u64> ["mJ" Delta],
    /// Clock of the multiprocessors.
    sm_clock_mhz: Option<u32> ["MHz" Dictionary],
    /// Clock of the memory.
    mem_clock_mhz: Option<u32> ["MHz" Dictionary],
    /// Temperature of the GPU.
    temperature_c: Option<u32> ["°C" Dictionary],
    /// Temperature of its memory.
    mem_temperature_c: Option<u32> ["°C" Dictionary],
    /// Why its clocks are lower than they could be, joined by `+`, empty for no reason: `gpu_idle`,
    /// `applications_clocks`, `sw_power_cap`, `hw_slowdown`, `sync_boost`, `sw_thermal`, `hw_thermal`,
    /// `hw_power_brake`, `display_clocks`; others as their bit (`0x200`).
    throttle_reasons: Option<String> ["" Dictionary],
    /// Memory errors that were corrected, cumulative since the driver was loaded.
    ecc_corrected: Option<u64> ["" Dictionary],
    /// Memory errors that were not, as above.
    ecc_uncorrected: Option<u64> ["" Dictionary],
    /// Bytes received over PCIe, the driver's counter, which can wrap within a second.
    pcie_rx_bytes: Option<u64> ["bytes" Delta],
    /// Bytes sent over PCIe, as above.
    pcie_tx_bytes: Option<u64> ["bytes" Delta],
    /// Transfers over PCIe that were repeated, cumulative.
    pcie_replays: Option<u64> ["" Dictionary],
    /// Payload bytes received over all NVLinks, cumulative, in steps of 1 KiB.
    nvlink_rx_bytes: Option<u64> ["bytes" Delta],
    /// Payload bytes sent over all NVLinks, as above.
    nvlink_tx_bytes: Option<u64> ["bytes" Delta],
    /// The time that the columns below are of, which ends at `ts_mono_ns`; null, as they are, in the first row, where
    /// the last window is not 100 ms old, and where GPM is not supported (Hopper and later have it).
    gpm_window_ns: Option<u64> ["ns" Plain],
    /// Share of that time in which the graphics and compute engine was busy.
    gr_util: Option<f64> ["ratio" Plain],
    /// Share of the multiprocessors' time in which a warp was resident.
    sm_util: Option<f64> ["ratio" Plain],
    /// Resident warps, of those that there is room for.
    sm_occupancy: Option<f64> ["ratio" Plain],
    /// Share of the time in which tensor cores worked, of any type of number.
    tensor_util: Option<f64> ["ratio" Plain],
    /// Share of the device memory's bandwidth that was used.
    dram_util: Option<f64> ["ratio" Plain],
    /// Share of the time in which the FP16 units worked (not the tensor cores).
    fp16_util: Option<f64> ["ratio" Plain],
    /// The FP32 units, as above.
    fp32_util: Option<f64> ["ratio" Plain],
    /// The FP64 units, as above.
    fp64_util: Option<f64> ["ratio" Plain],
    /// Rate of bytes received over PCIe.
    gpm_pcie_rx_bytes_per_second: Option<f64> ["bytes/s" Plain],
    /// Rate of bytes sent over PCIe.
    gpm_pcie_tx_bytes_per_second: Option<f64> ["bytes/s" Plain],
    /// Rate of bytes received over all NVLinks, protocol included.
    gpm_nvlink_rx_bytes_per_second: Option<f64> ["bytes/s" Plain],
    /// Rate of bytes sent over all NVLinks, as above.
    gpm_nvlink_tx_bytes_per_second: Option<f64> ["bytes/s" Plain],
}
