//! NVIDIA GPUs: driver, library, who may count, whether they are divided.

use caps::Capability;

use super::{Check, Machine, Seen};

pub const CHECKS: &[Check] = &[
    Check {
        name: "NVIDIA driver",
        why: "its calls are told apart from other ioctls by its device files",
        needed: false,
        look: driver,
    },
    Check {
        name: "NVML",
        why: "load, memory, clocks and links of a GPU come from it",
        needed: false,
        look: nvml,
    },
    Check {
        name: "GPU counters",
        why: "with RmProfilingAdminOnly the driver lets only CAP_SYS_ADMIN count what the GPU's units do",
        needed: false,
        look: profiling,
    },
    Check {
        name: "GPM",
        why: "what the units of a GPU do (multiprocessors, tensor cores, memory) comes from it",
        needed: false,
        look: gpm,
    },
    Check {
        name: "CUPTI",
        why: "probe gpu_pm loads it: what the GPU's units do, 2,000 times a second",
        needed: false,
        look: cupti,
    },
    Check {
        name: "MIG",
        why: "of a GPU that is divided, load is told of each instance and not of the whole",
        needed: false,
        look: mig,
    },
];

fn has_gpu(machine: &Machine) -> bool {
    !machine.host.gpus.devices.is_empty()
}

fn driver(machine: &Machine) -> Seen {
    match &machine.host.gpus.driver {
        Some(version) if machine.has("/dev/nvidiactl") => Seen::ok(version.clone()),
        Some(version) => Seen::limited(
            format!("{version}, but no /dev/nvidiactl"),
            "in a container: --gpus all, or the NVIDIA runtime; else sudo nvidia-modprobe",
        ),
        None if has_gpu(machine) => {
            Seen::missing("a GPU is there, its driver is not", "install NVIDIA's driver")
        }
        None => Seen::not_applicable("no NVIDIA GPU"),
    }
}

fn nvml(machine: &Machine) -> Seen {
    match &machine.host.gpus.nvml_missing {
        Some(why) => Seen::missing(
            why.clone(),
            "install the libraries of the driver that is loaded (nvidia-smi must work)",
        ),
        None if has_gpu(machine) => Seen::ok(match &machine.host.gpus.nvml {
            Some(version) => format!("libnvidia-ml.so.1, {version}"),
            None => "libnvidia-ml.so.1".to_owned(),
        }),
        None => Seen::not_applicable("no NVIDIA GPU"),
    }
}

fn profiling(machine: &Machine) -> Seen {
    let Some(params) = machine.text("/proc/driver/nvidia/params") else {
        return Seen::not_applicable("no NVIDIA driver");
    };
    let restricted = params
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name == "RmProfilingAdminOnly" && value.trim() != "0");
    if restricted {
        let through_sudo = machine.may(Capability::CAP_SYS_ADMIN);
        Seen::limited(
            if through_sudo {
                "for CAP_SYS_ADMIN only, which a recording through sudo gives up"
            } else {
                "for CAP_SYS_ADMIN only"
            },
            "load the driver with NVreg_RestrictProfilingToAdminUsers=0 (/etc/modprobe.d), or record as root itself",
        )
    } else {
        Seen::ok("open to all users")
    }
}

fn gpm(machine: &Machine) -> Seen {
    let gpus = &machine.host.gpus;
    let have = gpus.devices.iter().filter(|gpu| gpu.gpm == Some(true)).count();
    if gpus.devices.is_empty() {
        Seen::not_applicable("no NVIDIA GPU")
    } else if have == gpus.devices.len() {
        Seen::ok("all GPUs")
    } else if gpus.nvml_missing.is_some() {
        Seen::missing("not known without NVML", "see NVML above")
    } else {
        Seen::limited(
            format!("{have} of {} GPUs", gpus.devices.len()),
            "a GPU of Hopper or later with its driver of 520 or later; others have load, memory and clocks alone",
        )
    }
}

fn cupti(machine: &Machine) -> Seen {
    if !has_gpu(machine) {
        return Seen::not_applicable("no NVIDIA GPU");
    }
    match crate::cupti::library(&machine.path("/")) {
        Some(path) => Seen::ok(path.display().to_string()),
        None => Seen::missing(
            "no libcupti in a toolkit; the target's own is tried when it is recorded",
            "install CUDA's toolkit, 12.6 or later, or python's package nvidia-cuda-cupti",
        ),
    }
}

fn mig(machine: &Machine) -> Seen {
    let gpus = &machine.host.gpus.devices;
    let divided: Vec<&str> =
        gpus.iter().filter(|gpu| gpu.mig == Some(true)).map(|gpu| gpu.pci.as_str()).collect();
    if gpus.is_empty() {
        Seen::not_applicable("no NVIDIA GPU")
    } else if divided.is_empty() {
        Seen::ok("no GPU is divided")
    } else {
        Seen::limited(
            format!("divided: {}", divided.join(", ")),
            "sudo nvidia-smi -mig 0, where the whole is to be measured",
        )
    }
}
