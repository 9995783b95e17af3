//! What `config.json` says of a recording at its start.

use super::{Options, Wanted, spans};
use crate::{
    bpf, clock,
    privilege::Invoker,
    probe::{NETWORK, PROBES, escape_comm},
    recording::{ClockAnchor, Config, ProbeStatus, Process, Rings, Samples, Target, User, mask_args},
    sampler::CgroupLayout,
    table::SCHEMA_VERSION,
    target::{Found, Proc, Selector},
    units::Tgid,
};

/// The config of a recording that begins; what is known later is left empty.
pub fn config(
    options: &Options,
    found: &Found,
    selector: &Selector,
    proc: &Proc,
    invoker: &Invoker,
    settings: &bpf::Settings,
    hooks: &bpf::Spans,
) -> Config {
    let command: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    Config {
        schema_version: SCHEMA_VERSION,
        hostprof_version: env!("CARGO_PKG_VERSION").to_owned(),
        command: mask_args(&command),
        target: target(options, found, selector, proc),
        user: User { uid: invoker.uid.as_raw(), name: invoker.name() },
        probes: PROBES
            .iter()
            .map(|probe| {
                let on = options.probes.has(probe.name);
                let notes =
                    if on { spans::hook_notes(probe.name, hooks, &settings.spans) } else { Vec::new() };
                ProbeStatus { notes, ..status(probe, options) }
            })
            .collect(),
        rings: Rings { count: bpf::possible_cpus().unwrap_or_default(), bytes: settings.cell_bytes() },
        drain_priority: bpf::drain_priority(options.drain_priority).text().to_owned(),
        clock_anchors: vec![anchor()],
        samples: samples(options),
        ..Config::default()
    }
}

/// What is sampled; what cannot be read is known at the end.
fn samples(options: &Options) -> Samples {
    let Some(interval) = options.sample_interval else { return Samples::default() };
    Samples {
        interval_ns: Some(interval.as_nanos() as u64),
        notes: CgroupLayout::read().note().into_iter().collect(),
        absent: Vec::new(),
    }
}

/// Marks the probes that the kernel does not offer.
pub fn left_out(config: &mut Config, probes: &[(&str, String)]) {
    for (name, reason) in probes {
        for probe in config.probes.iter_mut().filter(|probe| probe.name == *name) {
            (probe.on, probe.reason) = (false, reason.clone());
        }
    }
}

/// Adds what is to be known of a probe.
pub fn note(config: &mut Config, probe: &str, note: String) {
    if let Some(status) = config.probes.iter_mut().find(|status| status.name == probe) {
        status.notes.push(note);
    }
}

/// The clocks now, as `config.json` keeps them.
pub fn anchor() -> ClockAnchor {
    let anchor = clock::anchor();
    let error_ns = Some(anchor.error_ns);
    ClockAnchor { mono_ns: anchor.mono.0, wall_ns: anchor.wall.0, boot_ns: anchor.boot_ns, error_ns }
}

fn status(probe: &crate::probe::Probe, options: &Options) -> ProbeStatus {
    let asked = options.probes.has(probe.name);
    let with_samples = probe.name != NETWORK || options.sample_interval.is_some();
    let on = asked && with_samples;
    ProbeStatus {
        name: probe.name.to_owned(),
        on,
        reason: match (options.probes.has(probe.name), on) {
            (false, _) => options.probes.reason_off(probe.name).to_owned(),
            (true, false) => "no samples are taken, with which it is read".to_owned(),
            (true, true) => String::new(),
        },
        notes: Vec::new(),
        bystander_cost: probe.bystander_cost.to_owned(),
    }
}

fn target(options: &Options, found: &Found, selector: &Selector, proc: &Proc) -> Target {
    let process = |&tgid: &Tgid| Process {
        tgid: tgid.0,
        comm: proc.process(tgid).map(|process| escape_comm(&process.comm)).unwrap_or_default(),
        exe: proc.exe(tgid),
        cmdline: mask_args(&proc.command_line(tgid)),
        reason: match (selector, found.engine) {
            (_, Some(engine)) if found.pulled_in.contains(&tgid) => format!("root of the {engine} engine"),
            (selector, _) => selector.describe().0.to_owned(),
        },
    };
    let (kind, mut value) = selector.describe();
    if let Wanted::Command { command, .. } = &options.wanted {
        let words: Vec<String> = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        value = mask_args(&words).join(" ");
    }
    Target {
        kind: kind.to_owned(),
        value,
        tree: options.tree.name().to_owned(),
        engine: found.engine.map(str::to_owned),
        roots: found.roots.iter().map(process).collect(),
        pulled_in: found.pulled_in.iter().map(process).collect(),
    }
}
