//! The kernel: its version, its types, and what it is told to refuse.

use super::{Check, Machine, Seen};
use crate::bpf::{OLDEST_KERNEL, kernel_version_of};

pub const CHECKS: &[Check] = &[
    Check {
        name: "kernel",
        why: "the programs need what it has since then, and a state or two needs a newer one",
        needed: true,
        look: version,
    },
    Check {
        name: "kernel types (BTF)",
        why: "every offset into the kernel's structures is read from them",
        needed: true,
        look: btf,
    },
    Check {
        name: "lockdown",
        why: "in confidentiality mode no program may read the kernel's memory",
        needed: true,
        look: lockdown,
    },
    Check {
        name: "Secure Boot",
        why: "distributions that find it on may lock the kernel down",
        needed: false,
        look: secure_boot,
    },
    Check {
        name: "tracefs",
        why: "ids of classic tracepoints are read there; the standard probes need none",
        needed: false,
        look: tracefs,
    },
    Check {
        name: "perf_event_paranoid",
        why: "above 2 only CAP_SYS_ADMIN may open perf events, as uprobes need; the standard probes need none",
        needed: false,
        look: paranoid,
    },
];

/// The first kernel that tells per thread whether its cgroup is throttled.
const TELLS_THROTTLED: (u32, u32) = (6, 18);

fn version(machine: &Machine) -> Seen {
    let release = machine.text("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    let (major, minor) = OLDEST_KERNEL;
    match kernel_version_of(&release) {
        Some(version) if version >= TELLS_THROTTLED => Seen::ok(release),
        Some(version) if version >= OLDEST_KERNEL => Seen::limited(
            format!("{release}: whether a thread is throttled by its cgroup is approximate"),
            "exact from Linux 6.18 on",
        ),
        _ => Seen::missing(release, format!("run Linux {major}.{minor} or newer")),
    }
}

fn btf(machine: &Machine) -> Seen {
    match machine.path(crate::bpf::VMLINUX_BTF).metadata() {
        Ok(metadata) => Seen::ok(format!("{} KiB", metadata.len() / 1024)),
        Err(_) => Seen::missing(
            "no /sys/kernel/btf/vmlinux",
            "run a kernel built with CONFIG_DEBUG_INFO_BTF (in a container: mount /sys)",
        ),
    }
}

fn lockdown(machine: &Machine) -> Seen {
    let Some(modes) = machine.text("/sys/kernel/security/lockdown") else {
        return Seen::not_applicable("the kernel tells of none (/sys/kernel/security/lockdown is not there)");
    };
    // `none [integrity] confidentiality`
    let mode = modes.split(['[', ']']).nth(1).unwrap_or("unknown").to_owned();
    match mode.as_str() {
        "confidentiality" => Seen::missing(
            mode,
            "boot with lockdown=integrity or without lockdown=confidentiality (some distributions: Secure Boot off)",
        ),
        _ => Seen::ok(mode),
    }
}

fn secure_boot(machine: &Machine) -> Seen {
    const VARIABLE: &str = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    if !machine.has("/sys/firmware/efi") {
        return Seen::not_applicable("not booted by EFI");
    }
    // Four bytes of attributes, then the value.
    match std::fs::read(machine.path(VARIABLE)).ok().and_then(|bytes| bytes.get(4).copied()) {
        Some(0) => Seen::ok("off"),
        Some(_) => Seen::ok("on: the mode of lockdown above counts"),
        None => Seen::not_applicable("the firmware does not tell"),
    }
}

fn tracefs(machine: &Machine) -> Seen {
    let places = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    match places.into_iter().find(|place| machine.has(&format!("{place}/events"))) {
        Some(place) => Seen::ok(place),
        None => Seen::limited(
            "not mounted, or not readable",
            "sudo mount -t tracefs nodev /sys/kernel/tracing (in a container: mount it from the host)",
        ),
    }
}

fn paranoid(machine: &Machine) -> Seen {
    let Some(level) = machine.text("/proc/sys/kernel/perf_event_paranoid") else {
        return Seen::limited("the kernel has no perf events", "run a kernel built with CONFIG_PERF_EVENTS");
    };
    let high = level.parse::<i32>().is_ok_and(|level| level > 2);
    if !high {
        Seen::ok(level)
    } else if machine.may(caps::Capability::CAP_SYS_ADMIN) {
        Seen::ok(format!("{level}, and CAP_SYS_ADMIN"))
    } else {
        Seen::limited(level, "run with sudo, or: sudo sysctl kernel.perf_event_paranoid=2")
    }
}
