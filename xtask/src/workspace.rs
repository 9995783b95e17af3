//! Where things are: the workspace, its target directory, the cargo that runs this.

use std::{
    env, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;

/// The workspace that this `xtask` was built from.
pub struct Workspace {
    pub root: PathBuf,
    /// Cargo's target directory, wherever the user's configuration puts it.
    pub target: PathBuf,
    /// The cargo that runs this; its toolchain builds the user half and bpf-linker.
    cargo: PathBuf,
}

/// Members of the workspace that are built in one go: what is built together shares its dependencies' features.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Members {
    Default,
    /// hostprof-query, with an engine that takes longer than all else to build.
    Query,
}

impl Members {
    /// How cargo is told which, and in which profile.
    pub fn args(self) -> &'static [&'static str] {
        match self {
            Self::Default => &["--release"],
            Self::Query => &["--package", "hostprof-query", "--profile", "query"],
        }
    }
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// Asks cargo. Refuses to fill a user's target directory with root's files.
    pub fn find() -> Result<Self> {
        let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let here = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
        let metadata = process::output(
            Command::new(&cargo).args(["metadata", "--no-deps", "--format-version=1"]).current_dir(here),
        )?;
        let Metadata { workspace_root: root, target_directory: target } =
            serde_json::from_str(&metadata).context("read cargo metadata")?;
        if process::is_root() && sudo_uid().is_some_and(|uid| owner(&root) == Some(uid)) {
            bail!("run cargo xtask: started by sudo (run it without sudo: it asks for sudo where needed)");
        }
        Ok(Self { root, target, cargo })
    }

    /// Cargo, as it was run, in the workspace.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(&self.root);
        for (name, _) in env::vars_os() {
            if is_of_this_package(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command
    }

    /// A program of the release profile.
    pub fn release(&self, program: &str) -> PathBuf {
        self.target.join("release").join(program)
    }

    /// Where what only the build needs is installed.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}

/// Whether `cargo run` set this variable to describe xtask, which would mislead whatever runs below it.
pub fn is_of_this_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix))
        || variable == "OUT_DIR"
}

fn sudo_uid() -> Option<u32> {
    env::var("SUDO_UID").ok()?.parse().ok().filter(|uid| *uid != 0)
}

fn owner(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.uid())
}
