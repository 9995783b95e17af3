//! The probes: tried, not guessed at.

use super::{Finding, Machine, Verdict};
use crate::{
    bpf::{Kernel, LoadError, NvidiaSettings, Settings, SpanHook, SpanSettings},
    probe::{
        CUDA, CUDA_LAUNCH, ENGINE, FUTEX, HTTP, IOCTL, MEMORY, NETWORK, PROBES, Probe, SYSCALL,
        SYSCALL_COUNT, WAKER, XID,
    },
};

/// The smallest set of maps, which no record ever reaches.
const SMALLEST: Settings = Settings {
    ring_bytes: 4096,
    slots: 1,
    wakers: true,
    host_runqueue: true,
    network: true,
    http: true,
    ceiling: false,
    spans: SpanSettings {
        ioctl: false,
        memory: false,
        futex: false,
        rows: false,
        counts: false,
        functions: false,
        devices: Vec::new(),
        futex_threshold_ns: 0,
        nvidia: NvidiaSettings { kinds: Vec::new(), shapes: Vec::new(), keep_bytes: false },
    },
};

/// What one try told.
struct Trial {
    /// The hook of system calls, where there were any to trace.
    hook: Option<SpanHook>,
    /// Probes that the kernel does not offer, and why.
    left_out: Vec<(&'static str, String)>,
}

/// Loads and attaches the programs, a few times for a moment: those of system calls apart, and where all the
/// others together fail, without those that can be left out.
pub fn examine(machine: &Machine) -> Vec<Finding> {
    let sched = attempt(&SMALLEST);
    let least = attempt(&Settings { wakers: false, network: false, http: false, ..SMALLEST });
    let with = |spans| attempt(&Settings { spans, ..SMALLEST });
    let named = with(SpanSettings { ioctl: true, memory: true, futex: true, ..SMALLEST.spans });
    let every = with(SpanSettings { rows: true, counts: true, ..SMALLEST.spans });
    let functions = with(SpanSettings { functions: true, ..SMALLEST.spans });
    PROBES
        .iter()
        .map(|probe| {
            let trial = match probe.name {
                IOCTL | MEMORY | FUTEX => &named,
                SYSCALL | SYSCALL_COUNT => &every,
                CUDA | CUDA_LAUNCH | ENGINE => &functions,
                WAKER | NETWORK | HTTP => &sched,
                _ => &least,
            };
            let finding = finding(probe, trial.as_ref(), machine);
            if probe.name == XID { with_kernel_log(finding) } else { finding }
        })
        .collect()
}

fn attempt(settings: &Settings) -> Result<Trial, LoadError> {
    let (mut kernel, _rings) = Kernel::load(settings)?;
    kernel.attach()?;
    Ok(Trial { hook: kernel.spans().hook(), left_out: kernel.left_out().to_vec() })
}

fn finding(probe: &Probe, trial: Result<&Trial, &LoadError>, machine: &Machine) -> Finding {
    let mut finding = Finding {
        name: probe.name.to_owned(),
        verdict: Verdict::Ok,
        seen: String::new(),
        why: probe.question.to_owned(),
        remedy: String::new(),
        needed: probe.required,
    };
    match trial {
        Ok(trial) => {
            let left_out = trial.left_out.iter().find(|(name, _)| *name == probe.name);
            match (left_out, trial.hook) {
                (Some((_, reason)), _) => {
                    finding.verdict = Verdict::Missing;
                    finding.seen.clone_from(reason);
                    "run a newer kernel, or do without: the other probes run".clone_into(&mut finding.remedy);
                }
                (None, Some(hook)) => {
                    finding.seen = format!("by {}; others pay: {}", hook.text(), hook.bystander_cost());
                }
                (None, None) => finding.seen = format!("others pay: {}", probe.bystander_cost),
            }
        }
        Err(error) => {
            finding.verdict = Verdict::Missing;
            finding.seen = error.to_string();
            finding.remedy = remedy(error, machine);
        }
    }
    finding
}

/// Probe `xid` follows the kernel's log.
fn with_kernel_log(mut finding: Finding) -> Finding {
    if let Err(error) = std::fs::File::open("/dev/kmsg") {
        finding.verdict = Verdict::Missing;
        finding.seen = format!("open /dev/kmsg: {error}");
        "run as root where the log is, or do without: the other probes run".clone_into(&mut finding.remedy);
    }
    finding
}

/// What to do about a refusal, beyond what the refusal itself says.
fn remedy(error: &LoadError, machine: &Machine) -> String {
    let may = machine.may(caps::Capability::CAP_BPF) && machine.may(caps::Capability::CAP_PERFMON);
    match error {
        LoadError::NotPermitted { .. } if may => {
            "the capabilities are there, so something else refuses: lockdown, seccomp, a user namespace or a \
             security module (see above)"
                .to_owned()
        }
        LoadError::NoSpanHook(_) | LoadError::NoTracefs => {
            "mount tracefs (see above), or leave the probe out: the others run".to_owned()
        }
        _ => "see the checks above".to_owned(),
    }
}
