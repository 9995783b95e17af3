//! What stands between hostprof and the machine: sandboxes, other kernels' hosts, containers.

use super::{Check, Machine, Seen};
use crate::bpf::is_initial_pid_namespace;

pub const CHECKS: &[Check] = &[
    Check {
        name: "gVisor",
        why: "its kernel is a program of its own, which loads no programs",
        needed: true,
        look: gvisor,
    },
    Check {
        name: "WSL",
        why: "GPUs are reached through Windows there, not through /dev/nvidia*",
        needed: true,
        look: wsl,
    },
    Check {
        name: "pid namespace",
        why: "the kernel's programs see the host's process ids",
        needed: true,
        look: pid_namespace,
    },
    Check {
        name: "seccomp",
        why: "a filter may refuse bpf() and perf_event_open(), whatever the capabilities are",
        needed: false,
        look: seccomp,
    },
];

/// What gVisor calls its kernel, in every release.
const GVISOR_VERSION: &str = "#1 SMP Sun Jan 10 15:06:54 PST 2016";

fn gvisor(machine: &Machine) -> Seen {
    let version = machine.text("/proc/version").unwrap_or_default();
    if version.contains(GVISOR_VERSION) {
        Seen::missing("hostprof runs in gVisor", "run hostprof on the host, outside the sandbox")
    } else {
        Seen::not_applicable("no")
    }
}

fn wsl(machine: &Machine) -> Seen {
    let release = machine.text("/proc/sys/kernel/osrelease").unwrap_or_default();
    let lower = release.to_lowercase();
    if lower.contains("wsl2") || lower.ends_with("microsoft-standard") {
        Seen::limited(
            format!("WSL2 ({release}): waits in GPU calls are told as ioctl, not as gpu_ioctl"),
            "run Linux itself to tell GPU calls apart",
        )
    } else if lower.contains("microsoft") {
        Seen::missing(format!("WSL1 ({release}): no Linux kernel"), "wsl --set-version DISTRIBUTION 2")
    } else {
        Seen::not_applicable("no")
    }
}

fn pid_namespace(machine: &Machine) -> Seen {
    let namespace = std::fs::read_link(machine.path("/proc/self/ns/pid"));
    if namespace.map_or(true, |namespace| is_initial_pid_namespace(&namespace)) {
        Seen::ok("the host's")
    } else {
        Seen::missing(
            "one of its own: a container without the host's",
            "run in the host's pid namespace (docker run --pid=host; Kubernetes: hostPID: true)",
        )
    }
}

fn seccomp(machine: &Machine) -> Seen {
    let status = machine.text("/proc/self/status").unwrap_or_default();
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim);
    match mode {
        Some("2") => Seen::limited(
            "a filter is on",
            "nothing, where the probes below run; else docker run --security-opt seccomp=unconfined",
        ),
        _ => Seen::ok("no filter"),
    }
}
