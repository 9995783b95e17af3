//! What a picture says beside what rows tell: the target, the probes, and what is missing and brings it.

use super::picture::{Missing, Picture, ProbeHealth, Target};
use crate::{
    probe::{HTTP, IOCTL, MEMORY, PAGE_FAULT, SYSCALL, SYSCALL_COUNT},
    recording::{Config, Gpus, ProbeStatus},
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

/// What is known of a recording from its beginning.
#[derive(Clone, Debug)]
pub struct About {
    probes: Vec<ProbeStatus>,
    sampled: bool,
    /// `None` while NVML is still asked.
    gpus: Option<Gpus>,
}

impl About {
    /// Of a recording.
    pub fn of(config: &Config) -> Self {
        Self { probes: config.probes.clone(), sampled: config.samples.interval_ns.is_some(), gpus: None }
    }

    /// The machine's GPUs are known.
    pub fn knows(&mut self, gpus: &Gpus) {
        self.gpus.get_or_insert_with(|| gpus.clone());
    }

    /// Why no GPU is measured.
    fn gpus_missing(&self) -> Missing {
        let (why, remedy) = match &self.gpus {
            _ if !self.sampled => ("no samples are taken", "leave out --no-samples"),
            None => ("they are being looked for", ""),
            Some(Gpus { nvml_missing: Some(reason), .. }) => (reason.as_str(), ""),
            Some(gpus) if gpus.devices.is_empty() => ("this machine has none that NVML tells of", ""),
            Some(_) => ("none was sampled yet", ""),
        };
        Missing { what: "GPUs".to_owned(), why: why.to_owned(), remedy: remedy.to_owned() }
    }
}

/// Says of a picture which probes and GPUs there are, and takes out what no probe brought.
pub fn complete(picture: &mut Picture, about: &About) {
    let About { probes, sampled, gpus } = about;
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
    let parts = picture.parts;
    if parts.calls && !every {
        picture.calls_missing.push(missing("system calls", SYSCALL_COUNT));
    }
    if parts.calls && !is_on(IOCTL) {
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
    if picture.gpus.is_empty() {
        picture.gpus_missing = Some(about.gpus_missing());
    }
    for gpu in &mut picture.gpus {
        let mut devices = gpus.iter().flat_map(|gpus| &gpus.devices);
        let named = devices.find(|device| device.index == Some(gpu.index));
        gpu.name = named.and_then(|device| device.name.clone()).unwrap_or_default();
    }
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
