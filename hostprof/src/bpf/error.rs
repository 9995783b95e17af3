//! Why the kernel half could not be loaded, each with its remedy.

use std::io;

use aya::programs::ProgramError;

/// The oldest kernel that has all the programs call (`bpf_task_pt_regs`).
pub const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// What stands between hostprof and a recording.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No `/sys/kernel/btf/vmlinux`.
    #[error(
        "read the kernel's types: /sys/kernel/btf/vmlinux is missing (needs a kernel built with CONFIG_DEBUG_INFO_BTF)"
    )]
    NoBtf,
    /// It cannot be understood.
    #[error("read the kernel's types: {0} (/sys/kernel/btf/vmlinux is damaged or of an unknown format)")]
    Btf(String),
    /// A field that must be there is not.
    #[error(
        "read the kernel's types: struct {structure} has no {path} (this kernel is not supported; please report its version)"
    )]
    KernelField {
        /// The kernel's structure.
        structure: &'static str,
        /// The member.
        path: &'static str,
    },
    /// A tracepoint that must be there is not.
    #[error(
        "attach tp_btf/{0}: the kernel has no such tracepoint (needs CONFIG_TRACEPOINTS and Linux 5.15 or newer)"
    )]
    NoTracepoint(&'static str),
    /// The hooks of single system calls need tracefs.
    #[error(
        "attach the tracepoints of system calls: tracefs is not mounted, or has no syscalls events (mount -t tracefs tracefs /sys/kernel/tracing)"
    )]
    NoTracefs,
    /// The kernel refuses every hook of system calls.
    #[error("trace system calls: {0} (leave the probes of system calls out)")]
    NoSpanHook(String),
    /// The kernel does not count what programs cost.
    #[error(
        "count what the programs cost: {0} (--max-overhead needs CAP_SYS_ADMIN: run with sudo, or leave it out)"
    )]
    NoRunTimes(io::Error),
    /// More ranges of devices than the kernel half takes.
    #[error("select devices: {0} ranges of device numbers, 16 is the most (name fewer with --ioctl-device)")]
    TooManyDevices(usize),
    /// The kernel is older than [`OLDEST_KERNEL`].
    #[error("load the programs: Linux {0} is too old (needs 5.15 or newer)")]
    OldKernel(String),
    /// No permission.
    #[error(
        "{action}: operation not permitted (needs CAP_BPF and CAP_PERFMON: run with sudo, or once `sudo setcap cap_bpf,cap_perfmon+ep {exe}`)"
    )]
    NotPermitted {
        /// What was tried.
        action: String,
        /// This program's path.
        exe: String,
    },
    /// hostprof runs in a pid namespace of its own, while the programs see the host's pids.
    #[error(
        "find the target: hostprof runs inside a pid namespace, but the kernel's programs see the host's process ids (run it in the host's pid namespace: docker run --pid=host, kubectl debug node/…)"
    )]
    PidNamespace,
    /// Anything else the kernel refused.
    #[error("{action}: {cause}")]
    Kernel {
        /// What was tried.
        action: String,
        /// What the kernel said, with the verifier's last lines where it spoke.
        cause: String,
    },
    /// A system call that should not fail did.
    #[error("{action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The embedded object lacks what this half names: a build of two different versions.
pub(super) fn broken(name: &'static str) -> LoadError {
    LoadError::Kernel {
        action: "open the embedded programs".to_owned(),
        cause: format!("no {name} (build again: cargo xtask build)"),
    }
}

/// Turns what aya and the kernel said into one line; a refusal for want of a capability into its remedy.
pub(super) fn refused(action: &str, error: &(dyn std::error::Error + 'static)) -> LoadError {
    let mut cause = error.to_string();
    let mut source = Some(error);
    let mut denied = false;
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            denied |= io.raw_os_error() == Some(libc::EPERM);
        }
        if let Some(ProgramError::LoadError { io_error, verifier_log }) = inner.downcast_ref::<ProgramError>()
        {
            // The verifier refuses with EACCES, which is no want of a capability.
            denied |= io_error.raw_os_error() == Some(libc::EPERM);
            let log = verifier_log.to_string();
            let tail: Vec<&str> = log.lines().rev().take(4).collect();
            cause = format!("{io_error}: {}", tail.into_iter().rev().collect::<Vec<_>>().join(" | "));
        } else if inner.source().is_none() && !cause.contains(&inner.to_string()) {
            cause = format!("{cause}: {inner}");
        }
        source = inner.source();
    }
    if denied {
        let exe =
            std::env::current_exe().map_or_else(|_| "hostprof".to_owned(), |path| path.display().to_string());
        return LoadError::NotPermitted { action: action.to_owned(), exe };
    }
    LoadError::Kernel { action: action.to_owned(), cause }
}
