//! GPUs, as of a window.

use std::collections::{BTreeMap, VecDeque};

use super::{bins::Window, picture::Gpu, rolling::bounded};
use crate::table::GpuSampleRow;

/// Samples of GPUs.
#[derive(Debug, Default)]
pub(super) struct Gpus(VecDeque<GpuSampleRow>);

impl Gpus {
    pub fn sample(&mut self, row: GpuSampleRow) {
        bounded(&mut self.0, row);
    }

    pub fn forget_before(&mut self, ns: u64) {
        while self.0.pop_front_if(|row| row.ts_mono_ns < ns).is_some() {}
    }

    /// Each GPU, and each instance of one that is divided, at its last sample before the window's end.
    pub fn window(&self, window: &Window) -> Vec<Gpu> {
        let mut last: BTreeMap<_, (&GpuSampleRow, Vec<f64>)> = BTreeMap::new();
        for row in self.0.iter().filter(|row| row.ts_mono_ns < window.to) {
            let key = (row.gpu, row.gpu_instance, row.compute_instance);
            let (newest, history) = last.entry(key).or_insert((row, Vec::new()));
            *newest = row;
            if row.ts_mono_ns >= window.from {
                history.extend(busy(row));
            }
        }
        last.into_values().map(|(row, history)| gpu(row, history)).collect()
    }
}

/// Whether anything ran; of an instance, for which the driver has no such share, how much of it did.
fn busy(row: &GpuSampleRow) -> Option<f64> {
    row.util_gpu.or(row.gr_util)
}

fn gpu(row: &GpuSampleRow, util_history: Vec<f64>) -> Gpu {
    let instance = |(gpu, compute): (u32, Option<u32>)| match compute {
        Some(compute) => format!("{gpu}/{compute}"),
        None => gpu.to_string(),
    };
    Gpu {
        index: row.gpu,
        instance: row.gpu_instance.map(|gpu| instance((gpu, row.compute_instance))),
        name: String::new(),
        util_ratio: busy(row),
        memory_used_bytes: row.mem_used_bytes,
        memory_total_bytes: row.mem_total_bytes,
        power_mw: row.power_mw.map(u64::from),
        power_limit_mw: row.power_limit_mw.map(u64::from),
        sm_clock_mhz: row.sm_clock_mhz,
        mem_clock_mhz: row.mem_clock_mhz,
        temperature_c: row.temperature_c,
        throttle_reasons: row.throttle_reasons.clone(),
        sm_ratio: row.sm_util,
        tensor_ratio: row.tensor_util,
        dram_ratio: row.dram_util,
        util_history,
    }
}
