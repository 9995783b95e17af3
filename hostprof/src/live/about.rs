//! What a picture says beside what rows tell: the target, the probes, and what is missing and brings it.

use super::picture::{Missing, Picture, ProbeHealth, Target};
use crate::{
    probe::{HTTP, IOCTL, MEMORY, PAGE_FAULT, SYSCALL, SYSCALL_COUNT},
    recording::{Config, ProbeStatus},
};

impl Target {
    /// What a recording is of.
    pub fn of(config: &Config) -> Self {
        let target = &config.target;
        let option = if target.kind == "command" { "--".to_owned() } else { format!("--{}", target.kind) };
        let comm = target.roots.first().map(|root| root.comm.as_str()).unwrap_or_default();
        let named = if comm.is_empty() || comm == target.value || target.kind == "command" {
            String::new()
        } else {
            format!(" ({comm})")
        };
        Self {
            name: format!("{option} {}{named}", target.value),
            engine: target.engine.clone(),
            host: config.host.hostname.clone(),
            cpus: config.host.online_cpus.len() as u32,
            ..Self::default()
        }
    }
}

/// Says of a picture which probes there are, and takes out what no probe brought.
pub fn complete(picture: &mut Picture, probes: &[ProbeStatus], sampled: bool) {
    let status = |name: &str| probes.iter().find(|probe| probe.name == name);
    let is_on = |name: &str| status(name).is_some_and(|probe| probe.on);
    let why = |name: &str| {
        let reason = status(name).map(|probe| probe.reason.as_str()).filter(|reason| !reason.is_empty());
        reason
            .map_or_else(|| format!("probe {name} is off"), |reason| format!("probe {name} is off: {reason}"))
    };
    let missing = |what: &str, name: &str| Missing {
        what: what.to_owned(),
        why: why(name),
        remedy: format!("--probe auto,{name}"),
    };
    let every = is_on(SYSCALL) || is_on(SYSCALL_COUNT);
    if !every {
        picture.calls_missing.push(missing("system calls", SYSCALL_COUNT));
    }
    if !is_on(IOCTL) {
        picture.calls_missing.push(missing("ioctls on GPU devices", IOCTL));
    }
    let memory = &mut picture.memory;
    if !(is_on(MEMORY) || is_on(SYSCALL)) {
        memory.calls = None;
        memory.missing.push(missing("calls that change the address space", MEMORY));
    }
    if !is_on(PAGE_FAULT) {
        memory.missing.push(missing("page faults", PAGE_FAULT));
    }
    if !sampled {
        memory.missing.push(Missing {
            what: "memory of processes and cgroups".to_owned(),
            why: "no samples are taken".to_owned(),
            remedy: "leave out --no-samples".to_owned(),
        });
    }
    picture.gpus_missing = Some(Missing {
        what: "GPUs".to_owned(),
        why: "this version takes no samples of GPUs".to_owned(),
        remedy: String::new(),
    });
    if picture.requests.is_empty() {
        picture.requests_missing = Some(if is_on(HTTP) {
            Missing {
                what: "requests".to_owned(),
                why: "none was seen yet, on the sockets of the target or by hostprof load".to_owned(),
                remedy: "hostprof load, or any client".to_owned(),
            }
        } else {
            missing("requests", HTTP)
        });
    }
    let lossy = std::mem::take(&mut picture.health.probes);
    let lost = |name: &str| lossy.iter().find(|probe| probe.name == name).cloned().unwrap_or_default();
    picture.health.probes = probes
        .iter()
        .map(|probe| ProbeHealth {
            name: probe.name.clone(),
            on: probe.on,
            reason: if probe.on { probe.notes.join("; ") } else { probe.reason.clone() },
            ..lost(&probe.name)
        })
        .collect();
}
