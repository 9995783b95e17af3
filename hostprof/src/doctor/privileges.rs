//! What hostprof may do, and as whom.

use caps::Capability;

use super::{Check, Machine, Seen, machine::own_path};
use crate::bpf;

pub const CHECKS: &[Check] = &[
    Check {
        name: "capabilities",
        why: "without CAP_BPF and CAP_PERFMON the kernel loads no program",
        needed: true,
        look: programs,
    },
    Check {
        name: "user namespace",
        why: "the capabilities of a user namespace count for nothing with programs in the kernel",
        needed: true,
        look: user_namespace,
    },
    Check {
        name: "other users' processes",
        why: "executables, open files and waits of running processes are read in /proc, with CAP_SYS_PTRACE",
        needed: false,
        look: ptrace,
    },
    Check {
        name: "priority of the drains",
        why: "on a saturated machine records are lost when the threads that read them must wait for a CPU",
        needed: false,
        look: priority,
    },
];

fn programs(machine: &Machine) -> Seen {
    let needed = [Capability::CAP_BPF, Capability::CAP_PERFMON];
    let lacking: Vec<String> = needed
        .into_iter()
        .filter(|capability| !machine.may(*capability))
        .map(|capability| capability.to_string())
        .collect();
    if lacking.is_empty() {
        return Seen::ok("CAP_BPF and CAP_PERFMON");
    }
    Seen::missing(
        format!("no {}", lacking.join(", no ")),
        format!(
            "run with sudo, or once: sudo setcap cap_bpf,cap_perfmon+ep {} (in a container: --cap-add BPF --cap-add PERFMON)",
            own_path()
        ),
    )
}

fn user_namespace(machine: &Machine) -> Seen {
    let map = machine.text("/proc/self/uid_map").unwrap_or_default();
    let ids: Vec<&str> = map.split_whitespace().collect();
    match ids.as_slice() {
        // A kernel without user namespaces has no such file.
        [] | ["0", "0", "4294967295"] => Seen::ok("the host's"),
        _ => Seen::missing(
            "one of its own (a rootless container?)",
            "run hostprof on the host, or in a container that root started",
        ),
    }
}

fn ptrace(machine: &Machine) -> Seen {
    if machine.may(Capability::CAP_SYS_PTRACE) {
        Seen::ok("CAP_SYS_PTRACE")
    } else {
        Seen::limited(
            "no CAP_SYS_PTRACE: columns of threads that ran before are null for other users' processes",
            "run with sudo, or add cap_sys_ptrace (in a container: --cap-add SYS_PTRACE)",
        )
    }
}

fn priority(_: &Machine) -> Seen {
    let achieved = bpf::drain_priority(bpf::DrainPriority::Auto);
    if achieved == bpf::Achieved::Ordinary {
        Seen::limited(
            "that of any thread",
            "run with sudo, or add cap_sys_nice (in a container: --cap-add SYS_NICE)",
        )
    } else {
        Seen::ok(achieved.text())
    }
}
