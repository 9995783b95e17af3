//! The compiler that Debian ships for its browsers: current, with matching library source.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, anyhow};

use crate::{
    process::{self, End},
    setup::{compiler::major_minor, note},
};

const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const UPDATE_LIMIT: Duration = Duration::from_mins(2);
const INSTALL_LIMIT: Duration = Duration::from_mins(10);

/// Why apt did not provide the compiler.
pub struct Refusal {
    pub reason: anyhow::Error,
    /// The command that a person with more rights can run.
    pub remedy: Option<String>,
}

/// Installs the compiler, where apt is, knows a recent enough one, and may be used.
pub fn provide_compiler() -> Result<(), Refusal> {
    let without_remedy = |reason| Refusal { reason, remedy: None };
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(without_remedy(anyhow!("no apt here")));
    }
    let known = knows_compiler();
    if !known && !process::is_root() {
        // Its lists may merely be missing; fetching them to find out is not worth a password.
        return Err(without_remedy(anyhow!("apt knows no recent {}", PACKAGES[0])));
    }
    let sudo = if process::is_root() { "" } else { "sudo " };
    let packages = PACKAGES.join(" ");
    let remedy = Some(format!("{sudo}apt-get install -y --no-install-recommends {packages}"));
    if !known {
        note("apt-get update");
        if let Err(reason) = apt_get(&["update"], UPDATE_LIMIT) {
            return Err(without_remedy(reason));
        }
        if !knows_compiler() {
            return Err(without_remedy(anyhow!("apt knows no recent {}", PACKAGES[0])));
        }
    }
    if let Err(reason) = process::become_root() {
        return Err(Refusal { reason: reason.context("apt may not be used"), remedy });
    }
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(PACKAGES);
    note(&format!("apt-get {} (at most {} s)", args.join(" "), INSTALL_LIMIT.as_secs()));
    apt_get(&args, INSTALL_LIMIT).map_err(|reason| Refusal { reason, remedy })
}

fn knows_compiler() -> bool {
    let policy = process::output(Command::new("apt-cache").args(["policy", PACKAGES[0]]).env("LC_ALL", "C"));
    let Ok(policy) = policy else { return false };
    candidate(&policy)
        .is_some_and(|version| version >= major_minor(env!("CARGO_PKG_RUST_VERSION")).unwrap_or((0, 0)))
}

/// The version that `apt-get install` would take.
fn candidate(policy: &str) -> Option<(u32, u32)> {
    major_minor(policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?)
}

fn apt_get(args: &[&str], limit: Duration) -> Result<()> {
    let mut command = if process::is_root() {
        Command::new("apt-get")
    } else {
        // Only root can end root's processes.
        let mut command = process::as_root("timeout");
        command.args(["--foreground", &limit.as_secs().to_string(), "apt-get"]);
        command
    };
    command.args(["-q", "-o", "DPkg::Lock::Timeout=60", "-o", "Acquire::http::Timeout=20"]).args(args);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let end = if process::is_root() {
        process::run_bounded(&mut command, limit)
    } else {
        command.status().map(End::Exited).context("run sudo")
    };
    end.and_then(End::into_result).with_context(|| format!("apt-get {}", args[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_from_apts_policy() {
        let policy =
            "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        assert_eq!(candidate(policy), Some((1, 96)));
        assert_eq!(candidate("rustc-web:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(candidate(""), None);
    }
}
