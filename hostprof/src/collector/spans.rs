//! The probes of system calls in a recording: whether `auto` has them, what the kernel half is told, and
//! what is noted of them.

use hostprof_common::span::{Open, ProbeStats, SpanStats, probe};

use super::nvidia;
use crate::{
    bpf::{SpanSettings, Spans},
    humane::{count, duration, plural},
    probe::{CUDA, CUDA_LAUNCH, Devices, ENGINE, FUTEX, IOCTL, MEMORY, SYSCALL, SYSCALL_COUNT, Selection},
    target::{self, Proc, Selector, TreeMode},
};

/// The probes of system calls, by the index of their counters.
pub const PROBES: [(u16, &str); 5] = [
    (probe::IOCTL, IOCTL),
    (probe::MEMORY, MEMORY),
    (probe::FUTEX, FUTEX),
    (probe::SYSCALL, SYSCALL),
    (probe::SYSCALL_COUNT, SYSCALL_COUNT),
];

/// Whether the target has a selected device open now. One that cannot be found has not; attaching tells why.
pub fn has_device(proc: &Proc, selector: &Selector, mode: TreeMode, devices: &Devices) -> bool {
    if devices.ranges().is_empty() {
        return false;
    }
    let Ok(found) = target::find(proc, selector, mode) else { return false };
    found.processes.iter().any(|&tgid| proc.open_devices(tgid).iter().any(|&rdev| devices.selected(rdev)))
}

/// What the kernel half is told.
pub fn settings(
    probes: &Selection,
    devices: &Devices,
    futex_threshold_ns: u64,
    keep_bytes: bool,
) -> SpanSettings {
    SpanSettings {
        ioctl: probes.has(IOCTL),
        memory: probes.has(MEMORY),
        futex: probes.has(FUTEX),
        rows: probes.has(SYSCALL),
        counts: probes.has(SYSCALL_COUNT),
        functions: [CUDA, CUDA_LAUNCH, ENGINE].into_iter().any(|name| probes.has(name)),
        devices: devices.ranges().to_vec(),
        futex_threshold_ns,
        nvidia: nvidia::settings(probes, devices, keep_bytes),
    }
}

/// What bystanders pay, in a sentence; `None` where they pay nothing.
pub fn price(spans: &Spans, probes: &Selection) -> Option<String> {
    let hook = spans.hook()?;
    let on: Vec<&str> = PROBES.iter().map(|(_, name)| *name).filter(|name| probes.has(name)).collect();
    Some(format!(
        "tracing system calls ({}) by {}: while this runs, programs that are not recorded pay {}",
        on.join(", "),
        hook.text(),
        hook.bystander_cost(),
    ))
}

/// What is known of a probe's hook at the start.
pub fn hook_notes(name: &str, spans: &Spans, settings: &SpanSettings) -> Vec<String> {
    let mut notes = Vec::new();
    let Some(hook) = spans.hook().filter(|_| PROBES.iter().any(|(_, known)| *known == name)) else {
        return notes;
    };
    notes.push(format!("by {}", hook.text()));
    notes.extend(spans.refused().iter().map(|error| format!("not by a cheaper hook: {error}")));
    if settings.rows || settings.counts {
        notes.push(format!("the hook of every call, since {SYSCALL} or {SYSCALL_COUNT} is on"));
    }
    match name {
        FUTEX if settings.rows => notes.push(format!("every call, since {SYSCALL} is on")),
        FUTEX => notes.push(format!("calls of {} and longer", duration(settings.futex_threshold_ns))),
        IOCTL => {
            let ranges: Vec<String> = settings
                .devices
                .iter()
                .map(|(first, last)| {
                    let numbers = |rdev: u32| format!("{}:{}", rdev >> 20, rdev & 0xf_ffff);
                    if first == last {
                        numbers(*first)
                    } else {
                        format!("{} to {}", numbers(*first), numbers(*last))
                    }
                })
                .collect();
            notes.push(format!("devices {}", ranges.join(", ")));
        }
        _ => {}
    }
    notes
}

/// What was counted of a probe's calls and is no row, at the end. `open` are the calls then under way.
pub fn count_notes(name: &str, stats: &[SpanStats], open: &[Open]) -> Vec<String> {
    let Some((index, _)) = PROBES.iter().find(|(_, known)| *known == name) else { return Vec::new() };
    let sum = |of: fn(&ProbeStats) -> u64| -> u64 {
        stats.iter().map(|cpu| of(&cpu.probes[usize::from(*index)])).sum()
    };
    let mut notes = Vec::new();
    let mut note = |calls: u64, text: &str| {
        if calls > 0 {
            notes.push(format!("{} {text}", plural(calls, "call")));
        }
    };
    note(sum(|stats| stats.filtered), "left out: another device, shorter, or 32-bit");
    note(sum(|stats| stats.unbegun), "returned that had begun before their thread was recorded");
    let open = open.iter().filter(|call| call.probe == *index).count() as u64;
    note(sum(|stats| stats.unfinished) + open, "never returned, or not before the recording's end");
    let records = sum(|stats| stats.records);
    if records > 0 {
        notes.push(format!("{} rows", count(records)));
    }
    notes
}
