//! What the machine is set to that makes less of a recording.

use super::{Check, Machine, Seen};
use crate::sampler::CgroupLayout;

pub const CHECKS: &[Check] = &[
    Check {
        name: "BPF compiler",
        why: "interpreted programs cost several times as much at each context switch",
        needed: false,
        look: compiler,
    },
    Check {
        name: "cgroups",
        why: "limits, throttling and pressure of a container are read there",
        needed: false,
        look: cgroups,
    },
];

fn compiler(machine: &Machine) -> Seen {
    match machine.text("/proc/sys/net/core/bpf_jit_enable").as_deref() {
        Some("0") => Seen::limited("off", "sudo sysctl net.core.bpf_jit_enable=1"),
        Some(_) => Seen::ok("on"),
        None => Seen::not_applicable("the kernel does not tell"),
    }
}

fn cgroups(machine: &Machine) -> Seen {
    let layout = CgroupLayout::read_under(&machine.path("/"));
    let seen = layout.describe();
    if layout.is_empty() {
        return Seen::limited(
            seen,
            "mount -t cgroup2 none /sys/fs/cgroup (in a container: mount it from the host)",
        );
    }
    match layout.note() {
        None => Seen::ok(seen),
        Some(_) => Seen::limited(
            seen,
            "for v2: systemd.unified_cgroup_hierarchy=1 on the kernel's command line, and the controllers in \
             cgroup.subtree_control",
        ),
    }
}
