//! A compiler that can build `core` for `bpfel-unknown-none`.
//!
//! The target has no prebuilt `core`, so the compiler's own library source must be beside it: a toolchain
//! without `rust-src` is of no use, not even a nightly. Any channel will do (`RUSTC_BOOTSTRAP=1`).
//! Looked for in rustup's toolchains, then on the path; else installed by apt, else by rustup.

use std::{
    env,
    fmt::{self, Display},
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{self, End},
    setup::{apt, linker, note},
};

/// What rustup installs where nothing else will do: known to build the kernel half, with an LLVM that
/// `linker::VERSION` reads.
const PINNED: &str = "nightly-2026-05-20";
/// Without a network a download hangs rather than fails.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(3);

/// A compiler with its library source, and the cargo beside it.
#[derive(Debug)]
pub struct Compiler {
    pub rustc: PathBuf,
    pub cargo: PathBuf,
    pub sysroot: PathBuf,
    /// The LLVM whose bitcode it writes.
    pub llvm_major: u32,
    /// `x86_64-unknown-linux-gnu`
    pub host: String,
    release: String,
    origin: String,
}

impl Display for Compiler {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} ({})", self.rustc.display(), self.release, self.origin)
    }
}

/// Finds a compiler, or installs one.
pub fn provide() -> Result<Compiler> {
    let passed_over = match find() {
        Ok(compiler) => return Ok(compiler),
        Err(reasons) => reasons,
    };
    for reason in &passed_over {
        note(reason);
    }
    let mut tried = vec![format!("none of {} compilers here will do", passed_over.len())];
    let mut remedy = format!("rustup toolchain install {PINNED} --profile minimal --component rust-src");
    if let Err(refusal) = apt::provide_compiler() {
        tried.push(format!("{:#}", refusal.reason));
        if let Some(command) = refusal.remedy {
            note(&format!("{:#} (by hand: {command})", refusal.reason));
            remedy = command;
        }
    } else if let Ok(compiler) = find() {
        return Ok(compiler);
    }
    if let Err(reason) = install_by_rustup() {
        tried.push(format!("{reason:#}"));
    } else if let Ok(compiler) = find() {
        return Ok(compiler);
    }
    bail!("find a compiler with library source for bpfel-unknown-none: {} (run: {remedy})", tried.join(", "));
}

/// The first usable compiler on this machine, or why each was passed over.
fn find() -> Result<Compiler, Vec<String>> {
    let mut passed_over = Vec::new();
    for (bin, origin) in candidates() {
        match probe(&bin, &origin) {
            Ok(compiler) => return Ok(compiler),
            Err(err) => passed_over.push(format!("{origin}: {err:#}")),
        }
    }
    Err(passed_over)
}

/// Directories that hold a `rustc` and a `cargo`, and where they come from.
fn candidates() -> Vec<(PathBuf, String)> {
    let mut found: Vec<_> = toolchains()
        .into_iter()
        .map(|dir| {
            let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (dir.join("bin"), format!("toolchain {name}"))
        })
        .collect();
    let path = env::var_os("PATH").unwrap_or_default();
    // The distribution's may be hidden behind a path made for rustup.
    for dir in env::split_paths(&path).chain([PathBuf::from("/usr/bin")]) {
        // Beside rustup lie its proxies, which are no compilers.
        let usable = dir.join("rustc").exists() && dir.join("cargo").exists() && !dir.join("rustup").exists();
        let Ok(dir) = dir.canonicalize() else { continue };
        if usable && !found.iter().any(|(known, _)| same(known, &dir)) {
            let origin =
                if dir.starts_with("/usr/bin") { "distribution".into() } else { dir.display().to_string() };
            found.push((dir, origin));
        }
    }
    found
}

fn same(known: &Path, dir: &Path) -> bool {
    known.canonicalize().is_ok_and(|known| known == dir)
}

/// Rustup's toolchains: the one in use first, then by name.
pub fn toolchains() -> Vec<PathBuf> {
    let home = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")));
    let Some(entries) = home.and_then(|home| fs::read_dir(home.join("toolchains")).ok()) else {
        return Vec::new();
    };
    let in_use = env::var_os("RUSTUP_TOOLCHAIN");
    let mut toolchains: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|dir| dir.join("bin/rustc").exists())
        .collect();
    toolchains.sort_by_key(|dir| (dir.file_name() != in_use.as_deref(), dir.clone()));
    toolchains
}

fn probe(bin: &Path, origin: &str) -> Result<Compiler> {
    let rustc = bin.join("rustc");
    let cargo = bin.join("cargo");
    let sysroot =
        process::output(Command::new(&rustc).args(["--print", "sysroot"]).env_remove("RUSTUP_TOOLCHAIN"))?;
    let sysroot = PathBuf::from(sysroot.trim());
    if !sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists() {
        bail!("no library source");
    }
    if !cargo.exists() {
        bail!("no cargo");
    }
    let text = process::output(Command::new(&rustc).arg("-vV"))?;
    let Version { release, host, llvm_major } = Version::parse(&text).context("read rustc -vV")?;
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    if major_minor(release) < major_minor(oldest) {
        bail!("rustc {release} is older than {oldest}");
    }
    if llvm_major > linker::NEWEST_LLVM {
        bail!("LLVM {llvm_major} is newer than bpf-linker's {}", linker::NEWEST_LLVM);
    }
    let (release, host, origin) = (release.to_owned(), host.to_owned(), origin.to_owned());
    Ok(Compiler { rustc, cargo, sysroot, llvm_major, host, release, origin })
}

/// What `rustc -vV` tells.
#[derive(Debug, PartialEq, Eq)]
struct Version<'a> {
    release: &'a str,
    host: &'a str,
    llvm_major: u32,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let field = |name| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let llvm_major = field("LLVM version")?.split('.').next()?.parse().ok()?;
        Some(Self { release: field("release")?, host: field("host")?, llvm_major })
    }
}

/// The first two numbers of a version, in Rust's manner or Debian's.
pub fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn install_by_rustup() -> Result<()> {
    let mut command = Command::new("rustup");
    command.args(["toolchain", "install", PINNED, "--profile", "minimal"]);
    command.args(["--component", "rust-src", "--no-self-update"]);
    note(&format!("{} (at most {} s)", process::line_of(&command), DOWNLOAD_LIMIT.as_secs()));
    process::run_bounded(&mut command, DOWNLOAD_LIMIT).and_then(End::into_result).context("install by rustup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_llvm_major_is_read_from_rustc() {
        let text = "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\nbinary: rustc\n\
                    host: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        let version = Version { release: "1.96.0", host: "x86_64-unknown-linux-gnu", llvm_major: 22 };
        assert_eq!(Version::parse(text), Some(version));
        assert_eq!(Version::parse("rustc 1.96.0"), None);
    }

    #[test]
    fn versions_compare_by_number_in_either_manner() {
        assert_eq!(major_minor("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
        assert_eq!(major_minor("1.95"), Some((1, 95)));
        assert!(major_minor("1.97.0-nightly") > major_minor("1.95"));
        assert!(major_minor("1.100.0") > major_minor("1.95"));
        assert_eq!(major_minor("none"), None);
    }
}
