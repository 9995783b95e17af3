//! What this machine can measure, what not and why, and the remedy. Tries, and does not guess: the
//! programs are loaded and attached for a moment.

use std::{fmt::Write as _, fs};

use caps::{CapSet, Capability};

use crate::{
    bpf::{self, Kernel, LoadError, SpanHook},
    probe::{FUTEX, IOCTL, MEMORY, PROBES, SYSCALL, SYSCALL_COUNT},
    sampler::CgroupLayout,
};

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What.
    pub name: String,
    /// Whether it works; null where that is not a question.
    pub works: Option<bool>,
    /// What was found.
    pub found: String,
    /// What to do about it; empty where nothing.
    pub remedy: String,
    /// Whether nothing can be recorded without.
    pub needed: bool,
}

impl Finding {
    fn new(name: &str, works: Option<bool>, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), works, found: found.into(), remedy: String::new(), needed: false }
    }

    fn needed(mut self) -> Self {
        self.needed = true;
        self
    }

    fn remedy(mut self, remedy: &str) -> Self {
        if self.works == Some(false) {
            remedy.clone_into(&mut self.remedy);
        }
        self
    }

    /// Whether it is not known to fail.
    pub fn is_good(&self) -> bool {
        self.works != Some(false)
    }
}

/// Looks at everything.
pub fn examine() -> Vec<Finding> {
    let mut findings = vec![kernel(), btf(), capabilities(), pid_namespace()];
    findings.extend(probes());
    findings.extend([drain_priority(), cgroups(), pressure(), nvidia()]);
    findings
}

fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (major, minor) = bpf::OLDEST_KERNEL;
    Finding::new("kernel", Some(bpf::kernel_version().is_ok()), release.trim())
        .needed()
        .remedy(&format!("run Linux {major}.{minor} or newer"))
}

fn btf() -> Finding {
    let size = fs::metadata(bpf::VMLINUX_BTF).map(|metadata| metadata.len());
    let found = size.as_ref().map_or_else(|_| "missing".to_owned(), |size| format!("{} KiB", size / 1024));
    Finding::new("kernel types (BTF)", Some(size.is_ok()), found)
        .needed()
        .remedy("run a kernel built with CONFIG_DEBUG_INFO_BTF")
}

fn capabilities() -> Finding {
    let have = caps::read(None, CapSet::Effective).unwrap_or_default();
    let needed = [Capability::CAP_BPF, Capability::CAP_PERFMON];
    let all = needed
        .iter()
        .all(|capability| have.contains(capability) || have.contains(&Capability::CAP_SYS_ADMIN));
    let found = if all { "CAP_BPF and CAP_PERFMON" } else { "CAP_BPF or CAP_PERFMON is missing" };
    let exe =
        std::env::current_exe().map_or_else(|_| "hostprof".to_owned(), |path| path.display().to_string());
    Finding::new("capabilities", Some(all), found)
        .needed()
        .remedy(&format!("run with sudo, or once: sudo setcap cap_bpf,cap_perfmon+ep {exe}"))
}

fn pid_namespace() -> Finding {
    let works = bpf::in_initial_pid_namespace().is_ok();
    let found =
        if works { "the host's" } else { "one of its own: the kernel's programs see other process ids" };
    Finding::new("pid namespace", Some(works), found)
        .needed()
        .remedy("run in the host's pid namespace (docker run --pid=host)")
}

/// What one try of the programs told: the hook of system calls, where there are any to trace, and the probes
/// that the kernel does not offer.
type Tried = Result<(Option<SpanHook>, Vec<(&'static str, String)>), LoadError>;

/// Loads and attaches the programs, for a moment and with nothing recorded.
fn probes() -> Vec<Finding> {
    let sched = try_probes(bpf::SpanSettings::default());
    let named = bpf::SpanSettings { ioctl: true, memory: true, futex: true, ..bpf::SpanSettings::default() };
    let named = try_probes(named);
    let every = try_probes(bpf::SpanSettings { rows: true, counts: true, ..bpf::SpanSettings::default() });
    PROBES
        .iter()
        .map(|probe| {
            let tried = match probe.name {
                IOCTL | MEMORY | FUTEX => &named,
                SYSCALL | SYSCALL_COUNT => &every,
                _ => &sched,
            };
            let (works, found) = match tried {
                Ok((hook, left_out)) => match (left_out.iter().find(|(name, _)| *name == probe.name), hook) {
                    (Some((_, reason)), _) => (false, reason.clone()),
                    (None, Some(hook)) => {
                        let (by, cost) = (hook.text(), hook.bystander_cost());
                        (true, format!("{} Here by {by}. Bystanders pay: {cost}.", probe.question))
                    }
                    (None, None) => {
                        (true, format!("{} Bystanders pay: {}.", probe.question, probe.bystander_cost))
                    }
                },
                Err(error) => (false, error.to_string()),
            };
            let finding = Finding::new(&format!("probe {}", probe.name), Some(works), found);
            if probe.required { finding.needed() } else { finding }
        })
        .collect()
}

fn try_probes(spans: bpf::SpanSettings) -> Tried {
    let settings = bpf::Settings {
        rings: 1,
        ring_bytes: 4096,
        slots: 1,
        wakers: true,
        host_runqueue: true,
        network: true,
        spans,
    };
    let (mut kernel, _rings) = Kernel::load(&settings)?;
    kernel.attach()?;
    Ok((kernel.spans().hook(), kernel.left_out().to_vec()))
}

fn drain_priority() -> Finding {
    let achieved = bpf::drain_priority(bpf::DrainPriority::Auto);
    let works = achieved != bpf::Achieved::Ordinary;
    Finding::new("priority of the drains", Some(works), achieved.text())
        .remedy("records may be lost on a saturated machine: run with sudo, or add cap_sys_nice")
}

fn cgroups() -> Finding {
    let layout = CgroupLayout::read();
    Finding::new("cgroups", None, layout.note().unwrap_or_else(|| layout.describe()))
}

fn pressure() -> Finding {
    let works = fs::read("/proc/pressure/cpu").is_ok();
    let found = if works { "told" } else { "not told: the pressure columns of samples are null" };
    Finding::new("pressure (PSI)", Some(works), found).remedy("boot with psi=1 on the kernel's command line")
}

fn nvidia() -> Finding {
    let version = fs::read_to_string("/proc/driver/nvidia/version");
    let found = version.ok().and_then(|text| text.lines().next().map(str::to_owned));
    Finding::new(
        "NVIDIA driver",
        None,
        found.unwrap_or_else(|| "none: ioctls are told apart by state only".to_owned()),
    )
}

/// The findings for people.
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for finding in findings {
        let mark = match finding.works {
            Some(true) => "ok",
            Some(false) => "NO",
            None => "--",
        };
        let _ = writeln!(text, "{mark}  {:width$}  {}", finding.name, finding.found);
        if !finding.remedy.is_empty() {
            let _ = writeln!(text, "    {:width$}  → {}", "", finding.remedy);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_shown_with_its_remedy() {
        let findings = [
            Finding::new("kernel", Some(true), "6.18"),
            Finding::new("capabilities", Some(false), "missing").needed().remedy("run with sudo"),
        ];
        assert_eq!(
            text(&findings),
            "ok  kernel        6.18\nNO  capabilities  missing\n                  → run with sudo\n"
        );
        assert!(!findings[1].is_good());
    }
}
