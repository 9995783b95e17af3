//! The program that is shipped: built, and held against what is said of it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    dist::{
        elf::{Glibc, Needs},
        traces::Places,
        zig::Zig,
    },
    process,
    workspace::Workspace,
};

pub const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The oldest C library it must start with: that of RHEL 8 and Debian 10, so of every system whose kernel is
/// new enough.
pub const GLIBC: Glibc = Glibc(2, 28);
/// What the loader may be left to find: the C library, which came in these parts before 2.34 and still has all
/// their names. A static program could not open NVIDIA's libraries.
const LIBRARIES: [&str; 6] =
    ["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2"];

/// Builds it. The kernel half is there already.
pub fn build(workspace: &Workspace, zig: &Zig) -> Result<PathBuf> {
    let places = places(workspace)?;
    let target = format!("{TARGET}.{GLIBC}");
    let mut command = zig.cargo(workspace)?;
    command
        .args(["zigbuild", "--locked", "--profile", "dist", "--package", "hostprof", "--bin", "hostprof"])
        .args(["--target", &target])
        .env("CARGO_ENCODED_RUSTFLAGS", places.rust_flags().collect::<Vec<_>>().join("\x1f"))
        .env(format!("CFLAGS_{}", TARGET.replace('-', "_")), places.c_flags());
    process::run(&mut command)?;
    Ok(workspace.target.join(TARGET).join("dist/hostprof"))
}

/// Checks what it needs, that it names no path of this machine, and that it runs. Yields what it needs.
pub fn check(workspace: &Workspace, program: &Path) -> Result<Needs> {
    let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let failed = || format!("check {}", program.display());
    let needs = Needs::of(&bytes).with_context(failed)?;
    needs.check(&LIBRARIES, GLIBC).with_context(failed)?;
    places(workspace)?.check(&bytes).with_context(failed)?;
    let version = process::output(Command::new(program).arg("--version"))?;
    if version.trim() != format!("hostprof {}", env!("CARGO_PKG_VERSION")) {
        bail!("{}: --version says {version:?}", failed());
    }
    Ok(needs)
}

fn places(workspace: &Workspace) -> Result<Places> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    let sysroot = process::output(command.args(["--print", "sysroot"]).current_dir(&workspace.root))?;
    Places::of(workspace, Path::new(sysroot.trim()))
}
