//! The GPUs set as text, with a drawing of each sample.

use std::fmt::{self, Write};

use super::{Gpu, GpuProcess, Gpus, Measured, Spread, timeline};
use crate::{
    humane::{bytes, count, duration, fitted, plural, printable},
    report::text::{NAME_WIDTH, heading, join, more},
    story::GpuBubbles,
    table::TargetBy,
};

/// The longest drawing; several samples share a cell where there are more.
pub(super) const CELLS: usize = 80;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Sets them.
pub fn write(out: &mut String, gpus: Option<&Gpus>, bubbles: &[GpuBubbles], shown: usize) -> fmt::Result {
    let Some(gpus) = gpus else { return Ok(()) };
    let versions = [("driver", &gpus.driver), ("NVML", &gpus.nvml)];
    let versions: Vec<String> = versions
        .into_iter()
        .filter_map(|(what, version)| Some(format!("{what} {}", printable(version.as_deref()?))))
        .collect();
    heading(out, "GPU", &versions.join(", "))?;
    if let Some(missing) = &gpus.missing {
        // PM sampling needs none of NVML.
        writeln!(out, "not measured: {}", printable(missing))?;
    }
    for gpu in gpus.devices.iter().take(shown) {
        device(out, gpu, shown)?;
    }
    more(out, gpus.devices.len().saturating_sub(shown))?;
    for timeline in &gpus.timelines {
        timeline::write(out, timeline, bubbles.iter().find(|of| of.gpu == timeline.gpu))?;
    }
    for absent in &gpus.absent {
        let instance =
            absent.gpu_instance.map(|instance| format!(" instance {instance}")).unwrap_or_default();
        let columns = absent.columns.join(", ");
        writeln!(out, "absent   GPU {}{instance}: {columns}: {}", absent.gpu, printable(&absent.reason))?;
    }
    Ok(())
}

fn device(out: &mut String, gpu: &Gpu, shown: usize) -> fmt::Result {
    let instance = gpu.gpu_instance.zip(gpu.compute_instance);
    let title = match instance {
        Some((of_gpu, of_compute)) => format!("GPU {} instance {of_gpu}/{of_compute}", gpu.gpu),
        None => format!("GPU {}", gpu.gpu),
    };
    join(
        out,
        "",
        vec![
            title,
            gpu.name.as_deref().map(printable).unwrap_or_default(),
            match gpu.target_by {
                Some(TargetBy::Process) => "the target computes on it".to_owned(),
                Some(TargetBy::Device) => "the target has it open".to_owned(),
                None => "not the target's".to_owned(),
            },
            format!("{} over {}", plural(gpu.samples, "sample"), duration(gpu.sampled_ns)),
            gpu.gpm_window_ns.map(|ns| format!("GPM every {}", duration(ns))).unwrap_or_default(),
        ],
    )?;
    let history = &gpu.history;
    let ratio = |value: &Option<Spread>| value.map(|value| percent(value.mean));
    line(out, "busy", ratio(&gpu.util_gpu), &history.util_gpu, 1.0)?;
    line(out, "SM", measured(gpu.sm_util), &history.sm_util, 1.0)?;
    line(out, "tensor", measured(gpu.tensor_util), &history.tensor_util, 1.0)?;
    line(out, "DRAM", measured(gpu.dram_util), &history.dram_util, 1.0)?;
    let floats = |values: &[Option<u64>]| -> Vec<Option<f64>> {
        values.iter().map(|value| value.map(|value| value as f64)).collect()
    };
    let narrow = |values: &[Option<u32>]| -> Vec<Option<f64>> {
        values.iter().map(|value| value.map(f64::from)).collect()
    };
    let memory = gpu.mem_used_bytes.map(|used| bytes(used.max as u64));
    let total = gpu.mem_total_bytes.map_or(1.0, |total| total as f64);
    line(out, "memory", memory, &floats(&history.mem_used_bytes), total)?;
    let power = gpu.power_mw.map(|power| format!("{:.0} W", power.mean / 1e3));
    let limit = gpu.power_limit_mw.map(f64::from).or(gpu.power_mw.map(|power| power.max)).unwrap_or(1.0);
    line(out, "power", power, &narrow(&history.power_mw), limit)?;
    let clock = gpu.sm_clock_mhz.map(|clock| format!("{:.0} MHz", clock.mean));
    let fastest = gpu.sm_clock_mhz.map_or(1.0, |clock| clock.max);
    line(out, "clock", clock, &narrow(&history.sm_clock_mhz), fastest)?;
    beside(out, gpu)?;
    held_back(out, gpu)?;
    processes(out, &gpu.processes, shown)
}

pub(super) fn percent(ratio: f64) -> String {
    format!("{:.1}%", ratio * 100.0)
}

fn measured(value: Measured) -> Option<String> {
    match value {
        Measured::NotMeasured => None,
        Measured::NotResolvable => Some("not resolvable".to_owned()),
        Measured::Value { mean, .. } => Some(percent(mean)),
    }
}

/// A value and its drawing; nothing where it is not told.
pub(super) fn line(
    out: &mut String,
    what: &str,
    value: Option<String>,
    values: &[Option<f64>],
    most: f64,
) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    let drawing = if value == "not resolvable" { String::new() } else { drawing(values, most) };
    writeln!(out, "{}", format!("  {what:<7}{value:>14}  {drawing}").trim_end())
}

/// A cell a sample, or several samples' mean; a blank where none has a value.
fn drawing(values: &[Option<f64>], most: f64) -> String {
    let in_cell = values.len().div_ceil(CELLS).max(1);
    values
        .chunks(in_cell)
        .map(|cell| {
            let told: Vec<f64> = cell.iter().copied().flatten().collect();
            if told.is_empty() {
                return ' ';
            }
            let mean = told.iter().sum::<f64>() / told.len() as f64;
            let level = (mean / most.max(f64::MIN_POSITIVE) * 8.0).ceil().clamp(1.0, 8.0);
            LEVELS[level as usize - 1]
        })
        .collect()
}

/// What needs no drawing.
fn beside(out: &mut String, gpu: &Gpu) -> fmt::Result {
    let rate = |what: &str, received: Measured, sent: Measured| match (received, sent) {
        (Measured::Value { mean: received, .. }, Measured::Value { mean: sent, .. }) => {
            format!("{what} {}/s in, {}/s out", bytes(received as u64), bytes(sent as u64))
        }
        _ => String::new(),
    };
    let power = gpu.power_limit_mw.map(|limit| format!("power limit {:.0} W", f64::from(limit) / 1e3));
    let energy = gpu.energy_mj.filter(|energy| *energy > 0);
    join(
        out,
        "  ",
        vec![
            gpu.mem_total_bytes.map(|total| format!("memory {} in all", bytes(total))).unwrap_or_default(),
            power.unwrap_or_default(),
            energy.map(|mj| format!("energy {:.1} J", mj as f64 / 1e3)).unwrap_or_default(),
            gpu.temperature_c.map(|heat| format!("{:.0} °C at most", heat.max)).unwrap_or_default(),
            rate("PCIe", gpu.pcie_rx_bytes_per_second, gpu.pcie_tx_bytes_per_second),
            rate("NVLink", gpu.nvlink_rx_bytes_per_second, gpu.nvlink_tx_bytes_per_second),
        ],
    )
}

fn held_back(out: &mut String, gpu: &Gpu) -> fmt::Result {
    for (reason, samples) in &gpu.throttled {
        writeln!(
            out,
            "  NOTE   clocks held back by {} in {} of {}",
            printable(reason),
            count(*samples),
            plural(gpu.samples, "sample")
        )?;
    }
    let errors = [
        ("corrected memory error", gpu.ecc_corrected),
        ("uncorrected memory error", gpu.ecc_uncorrected),
        ("repeated PCIe transfer", gpu.pcie_replays),
    ];
    for (what, number) in errors {
        if let Some(number) = number.filter(|number| *number > 0) {
            writeln!(out, "  NOTE   {}", plural(number, what))?;
        }
    }
    Ok(())
}

fn processes(out: &mut String, processes: &[GpuProcess], shown: usize) -> fmt::Result {
    for process in processes.iter().take(shown) {
        let name = process.comm.as_deref().map_or_else(|| "-".to_owned(), |comm| fitted(comm, NAME_WIDTH));
        let memory = process.mem_used_bytes_max.map(|used| format!("{} of memory at most", bytes(used)));
        join(
            out,
            "  ",
            vec![
                format!("process {} {name}", process.tgid),
                if process.in_target { "target".to_owned() } else { "another's".to_owned() },
                process.kind.to_string(),
                memory.unwrap_or_default(),
                process.sm_util.map(|share| format!("SM {}", percent(share))).unwrap_or_default(),
            ],
        )?;
    }
    more(out, processes.len().saturating_sub(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_a_cell_a_sample_and_a_blank_for_none() {
        assert_eq!(drawing(&[Some(0.0), Some(0.5), None, Some(1.0)], 1.0), "▁▄ █");
        assert_eq!(drawing(&vec![Some(1.0); 10 * CELLS], 1.0).chars().count(), CELLS);
    }
}
