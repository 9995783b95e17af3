//! What samplers read: whether each table of samples has its source.

use super::{Check, Machine, Seen};
use crate::sampler::CgroupLayout;

pub const CHECKS: &[Check] = &[
    Check {
        name: "process_sample",
        why: "memory, faults and switches of the recorded processes",
        needed: false,
        look: process,
    },
    Check {
        name: "host_sample",
        why: "pressure, load, steal and interrupt time of the machine",
        needed: false,
        look: host,
    },
    Check {
        name: "cgroup_sample",
        why: "memory, throttling and pressure of the recorded cgroups",
        needed: false,
        look: cgroup,
    },
    Check { name: "disk_sample", why: "reads, writes and waits of each disk", needed: false, look: disk },
    Check { name: "gpu_sample", why: "load, memory and clocks of each GPU", needed: false, look: gpu },
    Check {
        name: "engine_sample",
        why: "requests that run and wait, and the key-value cache, by the engine",
        needed: false,
        look: engine,
    },
];

fn process(machine: &Machine) -> Seen {
    if machine.has("/proc/self/stat") {
        Seen::ok("/proc")
    } else {
        Seen::missing("/proc is not mounted", "mount -t proc proc /proc")
    }
}

fn host(machine: &Machine) -> Seen {
    if machine.has("/proc/pressure/cpu") {
        Seen::ok("/proc/stat and /proc/pressure")
    } else {
        Seen::limited(
            "/proc/stat; pressure columns are null",
            "boot with psi=1 a kernel built with CONFIG_PSI",
        )
    }
}

fn cgroup(machine: &Machine) -> Seen {
    let layout = CgroupLayout::read_under(&machine.path("/"));
    if layout.is_empty() {
        Seen::missing("no cgroup hierarchy with a controller", "mount -t cgroup2 none /sys/fs/cgroup")
    } else if layout.note().is_some() {
        Seen::limited("columns of the controllers that v2 lacks are null", "see cgroups above")
    } else {
        Seen::ok("cgroup v2")
    }
}

fn disk(machine: &Machine) -> Seen {
    match machine.text("/proc/diskstats") {
        Some(disks) if !disks.is_empty() => Seen::ok("/proc/diskstats"),
        _ => Seen::missing("/proc/diskstats tells of no disk", "nothing: the machine has none, or hides it"),
    }
}

fn gpu(machine: &Machine) -> Seen {
    let gpus = &machine.host.gpus;
    if gpus.devices.is_empty() {
        return Seen::not_applicable("no NVIDIA GPU");
    }
    if let Some(why) = &gpus.nvml_missing {
        return Seen::missing(why.clone(), "install the libraries of the driver that is loaded");
    }
    let without = gpus.devices.iter().filter(|gpu| gpu.gpm != Some(true)).count();
    match without {
        0 => Seen::ok("NVML and GPM"),
        _ => Seen::limited(
            format!(
                "NVML; {without} of {} GPUs have no GPM: columns of its units are null",
                gpus.devices.len()
            ),
            "GPM needs Hopper or newer, and a driver from 520 on",
        ),
    }
}

fn engine(_: &Machine) -> Seen {
    Seen::not_applicable("asked for with --metrics URL")
}
