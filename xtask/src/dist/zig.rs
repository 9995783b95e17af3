//! zig as C compiler and linker: the C library it links against is of the version one asks for, whatever
//! this machine has, and its stack unwinder is linked in.
//!
//! With gcc neither holds: the binary asks for the build machine's symbols, and gcc's unwinder for
//! `_dl_find_object` of glibc 2.35 when it is linked in. Both tools come from PyPI, into the target
//! directory.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{self, End},
    setup::note,
    workspace::Workspace,
};

/// What is installed: the same versions give the same bytes.
const PACKAGES: [&str; 2] = ["ziglang==0.17.1", "cargo-zigbuild==0.24.0"];
/// 90 MB are downloaded; without a network that hangs rather than fails.
const LIMIT: Duration = Duration::from_mins(5);

/// The installed tools.
pub struct Zig {
    bin: PathBuf,
}

impl Zig {
    /// Finds them, or installs them.
    pub fn provide(workspace: &Workspace) -> Result<Self> {
        let dir = workspace.tools().join("zig");
        let bin = dir.join("bin");
        let mark = dir.join("installed");
        let wanted = PACKAGES.join("\n");
        if fs::read_to_string(&mark).ok().as_ref() != Some(&wanted) {
            install(&dir).with_context(|| {
                format!(
                    "install {} (Debian and Ubuntu: sudo apt-get install python3-venv)",
                    PACKAGES.join(" and ")
                )
            })?;
            fs::write(&mark, wanted).with_context(|| format!("write {}", mark.display()))?;
        }
        Ok(Self { bin })
    }

    /// Cargo with these tools in front of the path: it has `zigbuild`.
    pub fn cargo(&self, workspace: &Workspace) -> Result<Command> {
        let mut command = workspace.cargo();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([self.bin.clone()].into_iter().chain(env::split_paths(&path)))
            .context("put zig on the path")?;
        command.env("PATH", path);
        Ok(command)
    }

    /// The versions.
    pub fn versions() -> String {
        PACKAGES.join(", ").replace("==", " ")
    }
}

fn install(dir: &Path) -> Result<()> {
    note(&format!("pip install {} (at most {} s)", PACKAGES.join(" "), LIMIT.as_secs()));
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(dir);
    process::run_bounded(&mut venv, LIMIT).and_then(End::into_result).context("python3 -m venv")?;
    let mut pip = Command::new(dir.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    process::run_bounded(&mut pip, LIMIT).and_then(End::into_result).context("pip install")?;
    if !dir.join("bin/cargo-zigbuild").exists() {
        bail!("pip put no cargo-zigbuild in {}", dir.display());
    }
    Ok(())
}
