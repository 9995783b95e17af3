//! The diagnosis for people.

use std::fmt::Write as _;

use super::{Diagnosis, Finding, Verdict};
use crate::{
    humane::bytes,
    recording::{Gpu, Host},
};

/// All of it: what fails or is limited with why that matters and what to do.
pub fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    let parts =
        [("machine", &diagnosis.checks), ("probes", &diagnosis.probes), ("samplers", &diagnosis.samplers)];
    let names = parts.iter().flat_map(|(_, findings)| findings.iter());
    let width = names.map(|finding| finding.name.chars().count()).max().unwrap_or(0);
    for (title, findings) in parts {
        let _ = writeln!(text, "{title}");
        for finding in findings {
            line(&mut text, finding, width);
        }
    }
    topology(&mut text, &diagnosis.topology);
    let lacking: Vec<&str> = diagnosis
        .checks
        .iter()
        .chain(&diagnosis.probes)
        .filter(|finding| finding.needed && finding.verdict == Verdict::Missing)
        .map(|finding| finding.name.as_str())
        .collect();
    let _ = match (diagnosis.can_record, lacking.as_slice()) {
        (true, _) => writeln!(text, "hostprof can record here"),
        (false, lacking) => writeln!(text, "hostprof cannot record here: {}", lacking.join(", ")),
    };
    text
}

fn line(text: &mut String, finding: &Finding, width: usize) {
    let mark = match finding.verdict {
        Verdict::Ok => "ok",
        Verdict::Limited => "limited",
        Verdict::Missing => "missing",
        Verdict::NotApplicable => "-",
    };
    let _ = writeln!(text, "  {mark:7}  {:width$}  {}", finding.name, finding.seen);
    if matches!(finding.verdict, Verdict::Limited | Verdict::Missing) {
        let _ = writeln!(text, "  {:7}  {:width$}  why: {}", "", "", finding.why);
        let _ = writeln!(text, "  {:7}  {:width$}  remedy: {}", "", "", finding.remedy);
    }
}

fn topology(text: &mut String, host: &Host) {
    let _ = writeln!(text, "topology");
    let _ = writeln!(
        text,
        "  CPUs {} ({}), {} memory",
        ranges(&host.online_cpus),
        if host.cpu_model.is_empty() { &host.machine } else { &host.cpu_model },
        bytes(host.memory_bytes)
    );
    for node in &host.numa_nodes {
        let _ = writeln!(
            text,
            "  NUMA node {}: CPUs {}, {} memory",
            node.node,
            ranges(&node.cpus),
            bytes(node.memory_bytes)
        );
    }
    if host.gpus.devices.is_empty() {
        let _ = writeln!(text, "  no NVIDIA GPU");
    }
    for gpu in &host.gpus.devices {
        let _ = writeln!(text, "  {}", gpu_text(gpu));
    }
    for path in &host.gpus.paths {
        let through =
            path.pcie.as_deref().map_or_else(|| "unknown".to_owned(), |pcie| pcie.replace('_', " "));
        let links = if path.nvlinks > 0 { format!(", {} NVLinks", path.nvlinks) } else { String::new() };
        let _ = writeln!(text, "  {} to {}: PCIe through {through}{links}", path.from, path.to);
    }
}

fn gpu_text(gpu: &Gpu) -> String {
    let mut parts = vec![gpu.name.clone().unwrap_or_else(|| "NVIDIA GPU".to_owned())];
    parts.extend(gpu.memory_bytes.map(bytes));
    parts.extend(gpu.pcie.clone());
    parts.extend(gpu.numa_node.map(|node| format!("NUMA node {node}")));
    if !gpu.cpus.is_empty() {
        parts.push(format!("near CPUs {}", ranges(&gpu.cpus)));
    }
    parts.extend(gpu.nvlinks.filter(|links| *links > 0).map(|links| format!("{links} NVLinks up")));
    if gpu.mig == Some(true) {
        parts.push("divided (MIG)".to_owned());
    }
    let index = gpu.index.map_or_else(String::new, |index| format!(" {index}"));
    format!("GPU{index} {}: {}", gpu.pci, parts.join(", "))
}

/// 0, 1, 2, 5 as `0-2,5`.
fn ranges(cpus: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &cpu in cpus {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => parts.push((cpu, cpu)),
        }
    }
    let text = |&(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    parts.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{GpuPath, Gpus, NumaNode};

    fn finding(name: &str, verdict: Verdict, needed: bool) -> Finding {
        Finding {
            name: name.into(),
            verdict,
            seen: "seen".into(),
            why: "it matters".into(),
            remedy: "do it".into(),
            needed,
        }
    }

    fn gpu(index: u32, pci: &str) -> Gpu {
        Gpu {
            pci: pci.into(),
            index: Some(index),
            name: Some("NVIDIA H100 80GB HBM3".into()),
            memory_bytes: Some(80 << 30),
            numa_node: Some(index),
            cpus: vec![0, 1],
            pcie: Some("32.0 GT/s PCIe x16".into()),
            mig: Some(index == 1),
            nvlinks: Some(18),
            ..Gpu::default()
        }
    }

    #[test]
    fn what_fails_is_told_with_why_and_remedy_and_the_paths_of_gpus() {
        let topology = Host {
            cpu_model: "Xeon".into(),
            online_cpus: vec![0, 1, 2, 3, 8],
            memory_bytes: 8 << 30,
            numa_nodes: vec![NumaNode { node: 0, cpus: vec![0, 1], memory_bytes: 4 << 30 }],
            gpus: Gpus {
                devices: vec![
                    gpu(0, "0000:18:00.0"),
                    gpu(1, "0000:2a:00.0"),
                    Gpu { pci: "0000:3b:00.0".into(), ..Gpu::default() },
                ],
                paths: vec![GpuPath {
                    from: "0000:18:00.0".into(),
                    to: "0000:2a:00.0".into(),
                    pcie: Some("host_bridge".into()),
                    nvlinks: 6,
                }],
                ..Gpus::default()
            },
            ..Host::default()
        };
        let diagnosis = Diagnosis {
            can_record: false,
            checks: vec![
                finding("kernel", Verdict::Ok, true),
                finding("capabilities", Verdict::Missing, true),
                finding("WSL", Verdict::NotApplicable, true),
            ],
            probes: vec![finding("sched", Verdict::Ok, true)],
            samplers: vec![finding("gpu_sample", Verdict::Limited, false)],
            topology,
        };
        insta::assert_snapshot!(text(&diagnosis), @r"
        machine
          ok       kernel        seen
          missing  capabilities  seen
                                 why: it matters
                                 remedy: do it
          -        WSL           seen
        probes
          ok       sched         seen
        samplers
          limited  gpu_sample    seen
                                 why: it matters
                                 remedy: do it
        topology
          CPUs 0-3,8 (Xeon), 8.00 GiB memory
          NUMA node 0: CPUs 0-1, 4.00 GiB memory
          GPU 0 0000:18:00.0: NVIDIA H100 80GB HBM3, 80.0 GiB, 32.0 GT/s PCIe x16, NUMA node 0, near CPUs 0-1, 18 NVLinks up
          GPU 1 0000:2a:00.0: NVIDIA H100 80GB HBM3, 80.0 GiB, 32.0 GT/s PCIe x16, NUMA node 1, near CPUs 0-1, 18 NVLinks up, divided (MIG)
          GPU 0000:3b:00.0: NVIDIA GPU
          0000:18:00.0 to 0000:2a:00.0: PCIe through host bridge, 6 NVLinks
        hostprof cannot record here: capabilities
        ");
    }
}
