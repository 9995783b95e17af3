//! The kernel half: one object file for `bpfel-unknown-none`, which hostprof's build script embeds.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    messages::{self, Line},
    process,
    setup::Tools,
    workspace::{self, Workspace},
};

const TARGET: &str = "bpfel-unknown-none";

/// Builds the object, and yields where it is put. An object that did not change is left alone, so that the
/// user half is not built again.
pub fn build(workspace: &Workspace, tools: &Tools) -> Result<PathBuf> {
    process::run(&mut cargo(workspace, tools)).context("build kernel half")?;
    let built = target_dir(workspace).join(TARGET).join("release/hostprof");
    let object = target_dir(workspace).join("hostprof.o");
    let bytes = fs::read(&built).with_context(|| format!("read {}", built.display()))?;
    if fs::read(&object).ok().as_ref() != Some(&bytes) {
        fs::write(&object, bytes).with_context(|| format!("write {}", object.display()))?;
    }
    Ok(object)
}

/// Fails when the compiler warns of anything in the kernel half. Builds nothing that [`build`] did not:
/// cargo repeats warnings.
pub fn deny_warnings(workspace: &Workspace, tools: &Tools) -> Result<()> {
    let output = process::output(cargo(workspace, tools).args(["--quiet", "--message-format=json"]))?;
    let mut warnings = 0;
    for message in messages::parse(&output) {
        if let Line::CompilerMessage { message } = message
            && message.level == "warning"
        {
            warnings += 1;
            eprint!("{}", message.rendered.unwrap_or_default());
        }
    }
    if warnings > 0 {
        bail!("build kernel half: {warnings} warnings");
    }
    Ok(())
}

fn target_dir(workspace: &Workspace) -> PathBuf {
    workspace.target.join("ebpf")
}

fn cargo(workspace: &Workspace, tools: &Tools) -> Command {
    let mut command = Command::new(&tools.compiler.cargo);
    command.current_dir(&workspace.root);
    for (name, _) in env::vars_os() {
        if misleads(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
        .env("RUSTC", &tools.compiler.rustc)
        // Lets a stable compiler take `-Z` and `#![feature]`, which this target needs.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("LD_LIBRARY_PATH", &tools.linker.library_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags(workspace, tools).join("\x1f"))
        .args(["build", "--release", "-Z", "build-std=core", "--target", TARGET])
        .args(["--package", "hostprof-ebpf", "--target-dir"])
        .arg(target_dir(workspace));
    command
}

/// Whether a variable speaks of another compiler, or of how to build for another target.
fn misleads(variable: &str) -> bool {
    const NAMES: &[&str] = &[
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "LD_LIBRARY_PATH",
    ];
    NAMES.contains(&variable)
        || variable.starts_with("CARGO_BUILD_")
        || variable.starts_with("CARGO_PROFILE_")
        || workspace::is_of_this_package(variable)
}

fn flags(workspace: &Workspace, tools: &Tools) -> Vec<String> {
    let mut flags = vec![
        "-C".to_owned(),
        format!("linker={}", tools.linker.program.display()),
        // The program's types and lines, for the verifier's messages: DWARF first, BTF made from it.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // Atomics that return a value.
        "-Ctarget-cpu=v3".to_owned(),
        "--cfg".to_owned(),
        format!("bpf_target_arch=\"{}\"", env::consts::ARCH),
    ];
    // The last that fits wins: the target directory may lie in the workspace.
    let cargo_home = cargo_home();
    let mut places = vec![
        (cargo_home.clone(), "cargo"),
        (workspace.root.clone(), "."),
        (workspace.target.clone(), "target"),
    ];
    // Named after the registry's host.
    places.extend(entries(&cargo_home.join("registry/src")).into_iter().map(|registry| (registry, "crates")));
    let library = tools.compiler.sysroot.join("lib/rustlib/src/rust/library");
    // Distributions keep it elsewhere, behind a link.
    places.extend(library.canonicalize().ok().map(|library| (library, "rust/library")));
    places.push((library, "rust/library"));
    places.retain(|(path, _)| path.is_absolute());
    flags.extend(places.iter().map(|(path, name)| remap(path, name)));
    flags
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut entries: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    entries
}

/// Keeps the build machine's directories out of the object.
fn remap(path: &Path, name: &str) -> String {
    format!("--remap-path-prefix={}={name}", path.display())
}

/// Cargo's own directory.
pub fn cargo_home() -> PathBuf {
    let from_home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(from_home).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_run_sets_for_another_compiler_is_dropped() {
        for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_PKG_NAME", "CARGO_BUILD_TARGET"] {
            assert!(misleads(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "HOME", "PATH", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL"]
        {
            assert!(!misleads(name), "{name}");
        }
    }
}
