//! `cargo xtask dist`: what is shipped, built and checked.
//!
//! One program with all linked in but the C library, as a .tar.gz and as a .deb. Nothing of the build
//! machine is in them, so the same sources and tools make the same bytes.

mod archive;
mod contents;
mod deb;
mod elf;
mod licences;
mod program;
mod traces;
mod zig;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    dist::{archive::Staged, contents::File, elf::Needs, zig::Zig},
    process,
    setup::{self, KERNEL_HALF_STEPS, Steps},
    workspace::Workspace,
};

/// Builds, checks and packs.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::new(KERNEL_HALF_STEPS + 5);
    setup::kernel_half(workspace, &mut steps)?;
    let mtime = mtime(workspace)?;
    let zig = steps.step("linker for an old C library", || {
        let zig = Zig::provide(workspace)?;
        Ok((zig, Zig::versions()))
    })?;
    let program = steps.step("program", || {
        let program = program::build(workspace, &zig)?;
        let size = mebibytes(fs::metadata(&program).context("read program")?.len());
        Ok((program, size))
    })?;
    let needs = steps.step("check", || {
        let needs = program::check(workspace, &program)?;
        let found = needs.to_string();
        Ok((needs, found))
    })?;
    let files = contents::collect(workspace, &program)?;
    let out = workspace.target.join("artifacts");
    fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    let made = [
        steps.step("archive", || pack(&out, &archive_name(), &archive(workspace, &files, mtime)?))?,
        steps.step("package", || pack(&out, &package_name(), &package(workspace, &files, &needs, mtime)?))?,
    ];
    for path in made {
        println!("{}", path.display());
    }
    Ok(())
}

fn folder_name() -> String {
    format!("hostprof-{}-x86_64-linux", env!("CARGO_PKG_VERSION"))
}

fn archive_name() -> String {
    format!("{}.tar.gz", folder_name())
}

fn package_name() -> String {
    format!("hostprof_{}_amd64.deb", env!("CARGO_PKG_VERSION"))
}

fn archive(workspace: &Workspace, files: &[File], mtime: u64) -> Result<Vec<u8>> {
    let staged = Staged::new(work(workspace)?.join(folder_name()))?;
    for file in files {
        staged.add(&file.archive, &file.bytes, file.program)?;
    }
    staged.tar_gz(&folder_name(), mtime)
}

fn package(workspace: &Workspace, files: &[File], needs: &Needs, mtime: u64) -> Result<Vec<u8>> {
    let glibc = needs.glibc().context("make package: the program needs no C library")?;
    deb::package(files, &work(workspace)?, glibc, mtime)
}

fn work(workspace: &Workspace) -> Result<PathBuf> {
    let work = workspace.target.join("dist-work");
    fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
    Ok(work)
}

/// Writes a file and, beside it, its digest in `sha256sum`'s form.
fn pack(out: &Path, name: &str, bytes: &[u8]) -> Result<(PathBuf, String)> {
    let path = out.join(name);
    fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    let digest = archive::sha256(&path)?;
    let beside = out.join(format!("{name}.sha256"));
    fs::write(&beside, format!("{digest}  {name}\n"))
        .with_context(|| format!("write {}", beside.display()))?;
    let found = format!("{name} {} sha256 {digest}", mebibytes(bytes.len() as u64));
    Ok((path, found))
}

/// When all files were made, as they say: the time of the commit, or `SOURCE_DATE_EPOCH`.
fn mtime(workspace: &Workspace) -> Result<u64> {
    let epoch = match env::var("SOURCE_DATE_EPOCH") {
        Ok(epoch) => epoch,
        Err(_) => process::output(Command::new("git").arg("-C").arg(&workspace.root).args([
            "log",
            "-1",
            "--format=%ct",
        ]))
        .context("find the time of the commit (or set SOURCE_DATE_EPOCH)")?,
    };
    epoch.trim().parse().with_context(|| format!("read SOURCE_DATE_EPOCH {epoch:?}"))
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
