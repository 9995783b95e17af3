//! tracefs, by which some hooks of system calls are attached, and which not every machine mounts.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process;

const TRACEFS: &str = "/sys/kernel/tracing";

/// Mounts tracefs where it is not, for the tests of those hooks.
pub fn provide() -> Result<()> {
    // Other users may not look into it, so what the mounts are asked for is not whether there is a file.
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("read /proc/self/mounts")?;
    if mounts.lines().any(|mount| mount.split(' ').nth(1) == Some(TRACEFS)) || !Path::new(TRACEFS).is_dir() {
        return Ok(());
    }
    super::note("mount tracefs");
    process::become_root()?;
    process::run(process::as_root("mount").args(["-t", "tracefs", "tracefs", TRACEFS]))
        .context("mount tracefs (tests of hooks on system calls need it)")
}
