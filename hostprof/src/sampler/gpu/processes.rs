//! The processes of a GPU: what memory each has, and its share of the multiprocessors.

use std::{collections::BTreeMap, fs};

use nvml_wrapper::{
    Device, enums::device::UsedGpuMemory, error::NvmlError, struct_wrappers::device::ProcessInfo,
};

use super::Offered;
use crate::{
    table::{GpuProcessSampleRow, GpuUse},
    units::Tgid,
};

const SHARES: &[&str] = &["gpu_process_sample.sm_util", "gpu_process_sample.mem_util"];

/// The processes of one GPU.
#[derive(Debug, Default)]
pub struct Processes {
    /// The newest sampling period that was read, by the driver's clock.
    seen_us: u64,
    offered: Offered,
}

/// What a process had in its last sampling period.
type Shares = (u64, Option<f64>, Option<f64>);

impl Processes {
    /// Reads them. `live` are the target's, sorted.
    pub fn sample(
        &mut self,
        device: &Device<'_>,
        gpu: u32,
        ts_mono_ns: u64,
        live: &[Tgid],
    ) -> Vec<GpuProcessSampleRow> {
        let offered = &mut self.offered;
        let compute = offered.ask(&["gpu_process_sample (compute)"], || device.running_compute_processes());
        let graphics =
            offered.ask(&["gpu_process_sample (graphics)"], || device.running_graphics_processes());
        let mps = offered.ask(&["gpu_process_sample (mps)"], || device.mps_running_compute_processes());
        let shares = if compute.as_ref().is_some_and(|list| !list.is_empty()) {
            self.shares(device)
        } else {
            BTreeMap::new()
        };
        let lists = [(GpuUse::Compute, compute), (GpuUse::Graphics, graphics), (GpuUse::Mps, mps)];
        let mut rows: Vec<GpuProcessSampleRow> = lists
            .into_iter()
            .flat_map(|(kind, list)| list.unwrap_or_default().into_iter().map(move |process| (kind, process)))
            .map(|(kind, process)| {
                let (_, sm_util, mem_util) = shares.get(&process.pid).copied().unwrap_or_default();
                GpuProcessSampleRow {
                    in_target: live.binary_search(&Tgid(process.pid)).is_ok(),
                    comm: comm(process.pid),
                    sm_util,
                    mem_util,
                    ..row(&process, kind, gpu, ts_mono_ns)
                }
            })
            .collect();
        // A client of the multi-process service is in the list of compute processes too, in some drivers.
        rows.sort_by_key(|row| (row.tgid, row.gpu_instance, row.compute_instance, row.kind));
        rows.dedup_by_key(|row| (row.tgid, row.gpu_instance, row.compute_instance, row.kind));
        rows
    }

    /// The last sampling period of each process that did anything since the sample before.
    fn shares(&mut self, device: &Device<'_>) -> BTreeMap<u32, Shares> {
        let seen_us = self.seen_us;
        let samples = self.offered.ask(SHARES, || match device.process_utilization_stats(seen_us) {
            // Nothing was done since.
            Err(NvmlError::NotFound) => Ok(Vec::new()),
            samples => samples,
        });
        let mut shares: BTreeMap<u32, Shares> = BTreeMap::new();
        for sample in samples.into_iter().flatten().filter(|sample| sample.timestamp > seen_us) {
            self.seen_us = self.seen_us.max(sample.timestamp);
            let newest = shares.entry(sample.pid).or_default();
            if sample.timestamp >= newest.0 {
                *newest = (sample.timestamp, ratio(sample.sm_util), ratio(sample.mem_util));
            }
        }
        shares
    }

    /// Columns that are null, and why.
    pub fn reasons(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.offered.reasons()
    }
}

fn row(process: &ProcessInfo, kind: GpuUse, gpu: u32, ts_mono_ns: u64) -> GpuProcessSampleRow {
    GpuProcessSampleRow {
        ts_mono_ns,
        gpu,
        gpu_instance: process.gpu_instance_id,
        compute_instance: process.compute_instance_id,
        tgid: process.pid,
        kind,
        mem_used_bytes: match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        },
        ..GpuProcessSampleRow::default()
    }
}

/// Some drivers give more than 100 where they have no value.
fn ratio(percent: u32) -> Option<f64> {
    (percent <= 100).then(|| f64::from(percent) / 100.0)
}

fn comm(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end().to_owned())
}
