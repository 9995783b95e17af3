//! `bpf-linker`, and the LLVM that it loads when it runs.
//!
//! bpf-linker 0.10 is linked against no LLVM: it takes the first `libLLVM*` that it meets on
//! `LD_LIBRARY_PATH`. It is therefore given a directory with just one in it, of the LLVM major that it was
//! built for, which must not be older than the compiler's: LLVM reads older bitcode, never newer.

use std::{
    fmt::{self, Display},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    process,
    setup::{
        compiler::{self, Compiler},
        note,
    },
    workspace::Workspace,
};

/// 0.11 wants LLVM's development files at build time.
const VERSION: &str = "0.10.3";
/// The LLVM majors that [`VERSION`] has a `rust-llvm-N` feature for.
const OLDEST_LLVM: u32 = 20;
pub const NEWEST_LLVM: u32 = 22;
/// The feature that [`VERSION`] has by default.
const DEFAULT_FEATURE: &str = "rust-llvm-22";
/// A library is larger than this; what is smaller is a linker script that stands for one.
const LIBRARY_BYTES: u64 = 1 << 20;

/// A linker for eBPF programs, ready to run.
pub struct Linker {
    pub program: PathBuf,
    /// A directory that holds one `libLLVM*`: the linker's `LD_LIBRARY_PATH`.
    pub library_dir: PathBuf,
    library: PathBuf,
}

impl Display for Linker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{VERSION} with {}", self.library.display())
    }
}

/// Finds the library, builds the linker for it unless it is there.
pub fn provide(workspace: &Workspace, compiler: &Compiler) -> Result<Linker> {
    let dirs = library_dirs(compiler);
    let Some((llvm_major, library)) = pick(libraries(&dirs), compiler.llvm_major) else {
        let major = compiler.llvm_major;
        bail!(
            "find LLVM shared library for bpf-linker: no libLLVM of LLVM {major} to {NEWEST_LLVM} in {} directories (run: sudo apt-get install libllvm{major})",
            dirs.len()
        );
    };
    let tools = workspace.tools();
    let program = tools.join("bin/bpf-linker");
    let feature = format!("rust-llvm-{llvm_major}");
    if !(program.exists() && is_installed(&tools, &feature)) {
        install(workspace, &tools, &feature)?;
    }
    let library_dir = tools.join("llvm");
    link_library(&library_dir, &library)?;
    Ok(Linker { program, library_dir, library })
}

fn library_dirs(compiler: &Compiler) -> Vec<PathBuf> {
    let mut dirs = vec![compiler.sysroot.join("lib")];
    dirs.extend(compiler::toolchains().iter().map(|toolchain| toolchain.join("lib")));
    // Debian's name for `x86_64-unknown-linux-gnu` is `x86_64-linux-gnu`.
    let multiarch = compiler.host.replace("-unknown-", "-");
    dirs.extend([Path::new("/usr/lib").join(multiarch), "/usr/lib64".into(), "/usr/lib".into()]);
    for major in OLDEST_LLVM..=NEWEST_LLVM {
        dirs.push(format!("/usr/lib/llvm-{major}/lib").into());
    }
    dirs.retain(|dir| dir.is_dir());
    dirs
}

/// LLVM's shared libraries in some directories, in their order.
fn libraries(dirs: &[PathBuf]) -> Vec<(u32, PathBuf)> {
    let mut found = Vec::new();
    for dir in dirs {
        let Ok(entries) = fs::read_dir(dir) else { continue };
        let mut here: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        here.sort();
        for path in here {
            let Some(major) = path.file_name().and_then(|name| llvm_major(&name.to_string_lossy())) else {
                continue;
            };
            if fs::metadata(&path).is_ok_and(|file| file.len() > LIBRARY_BYTES) {
                found.push((major, path));
            }
        }
    }
    found
}

/// The library of the oldest LLVM that still reads the compiler's bitcode; among equals, the first.
fn pick(libraries: Vec<(u32, PathBuf)>, compiler_major: u32) -> Option<(u32, PathBuf)> {
    let fits = compiler_major.max(OLDEST_LLVM)..=NEWEST_LLVM;
    libraries.into_iter().filter(|(major, _)| fits.contains(major)).min_by_key(|(major, _)| *major)
}

/// `libLLVM.so.22.1-rust-1.95.0-stable`, `libLLVM.so.22.1`, `libLLVM-22.so` → 22
fn llvm_major(file_name: &str) -> Option<u32> {
    let rest = file_name.strip_prefix("libLLVM")?;
    let version = rest.strip_prefix(".so.").or_else(|| rest.strip_prefix('-'))?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What `cargo install --root` notes of itself.
#[derive(Deserialize)]
struct Installed {
    installs: std::collections::BTreeMap<String, Install>,
}

#[derive(Deserialize)]
struct Install {
    features: Vec<String>,
    no_default_features: bool,
}

fn is_installed(tools: &Path, feature: &str) -> bool {
    let Ok(text) = fs::read_to_string(tools.join(".crates2.json")) else { return false };
    has_feature(&text, feature)
}

fn has_feature(crates2: &str, feature: &str) -> bool {
    let Ok(Installed { installs }) = serde_json::from_str(crates2) else { return false };
    let version = format!("bpf-linker {VERSION} ");
    installs.iter().any(|(name, install)| {
        let by_default = !install.no_default_features && feature == DEFAULT_FEATURE;
        name.starts_with(&version) && (by_default || install.features.iter().any(|known| known == feature))
    })
}

fn install(workspace: &Workspace, tools: &Path, feature: &str) -> Result<()> {
    let build = tools.join("build");
    let mut command = workspace.cargo();
    command.args(["install", "--locked", "--force", "--version", VERSION, "--no-default-features"]);
    command
        .args(["--features", feature, "--root"])
        .arg(tools)
        .arg("--target-dir")
        .arg(&build)
        .arg("bpf-linker");
    // Nobody steps through it.
    command.env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    note(&format!("cargo install bpf-linker {VERSION} with {feature} (about 90 s on 2 cores)"));
    process::run(&mut command).with_context(|| {
        format!("build bpf-linker {VERSION} (needs crates.io, or a mirror of it in cargo's configuration)")
    })?;
    // Some hundred MiB that nothing reads again.
    fs::remove_dir_all(&build).with_context(|| format!("remove {}", build.display()))
}

/// Leaves one link in `dir`, to `library`.
fn link_library(dir: &Path, library: &Path) -> Result<()> {
    let link = dir.join("libLLVM.so");
    if fs::read_link(&link).is_ok_and(|known| known == library) {
        return Ok(());
    }
    let context = || format!("link {}", link.display());
    fs::create_dir_all(dir).with_context(context)?;
    if fs::symlink_metadata(&link).is_ok() {
        fs::remove_file(&link).with_context(context)?;
    }
    symlink(library, &link).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_major_is_read_from_a_librarys_name() {
        assert_eq!(llvm_major("libLLVM.so.22.1-rust-1.95.0-stable"), Some(22));
        assert_eq!(llvm_major("libLLVM.so.22.1"), Some(22));
        assert_eq!(llvm_major("libLLVM-14.so.1"), Some(14));
        assert_eq!(llvm_major("libLLVM-22-rust-1.95.0-stable.so"), Some(22));
        assert_eq!(llvm_major("libLLVM.so"), None);
        assert_eq!(llvm_major("libLLVMSupport.a"), None);
        assert_eq!(llvm_major("libLTO.so.22.1"), None);
    }

    #[test]
    fn a_library_older_than_the_bitcode_or_unknown_to_the_linker_is_passed_over() {
        let all = || [14, 22, 21, 23].map(|major| (major, PathBuf::from(format!("/{major}")))).to_vec();
        assert_eq!(pick(all(), 22), Some((22, "/22".into())));
        assert_eq!(pick(all(), 20), Some((21, "/21".into())));
        assert_eq!(pick(all(), 23), None);
        assert_eq!(pick(vec![(21, "/21".into())], 22), None);
    }

    #[test]
    fn an_installed_linker_is_known_by_version_and_feature() {
        let by_default =
            r#"{"installs":{"bpf-linker 0.10.3 (registry+x)":{"features":[],"no_default_features":false}}}"#;
        assert!(has_feature(by_default, "rust-llvm-22"));
        assert!(!has_feature(by_default, "rust-llvm-21"));
        let chosen = r#"{"installs":{"bpf-linker 0.10.3 (registry+x)":{"features":["rust-llvm-21"],"no_default_features":true}}}"#;
        assert!(has_feature(chosen, "rust-llvm-21"));
        assert!(!has_feature(chosen, "rust-llvm-22"));
        assert!(!has_feature(&by_default.replace("0.10.3", "0.11.0"), "rust-llvm-22"));
        assert!(!has_feature("", "rust-llvm-22"));
    }
}
