//! The licences of what is linked in, whose texts go with every copy.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{dist::program::TARGET, process, setup::ebpf::cargo_home, workspace::Workspace};

/// What files that hold a licence, or a notice that must go with it, are named like.
const NAMES: [&str; 5] = ["licen", "copying", "copyright", "notice", "unlicense"];
/// C sources within a crate, with a licence of their own; zstd's other choice is not taken.
const WITHIN: [(&str, &str); 1] = [("zstd-sys", "zstd/LICENSE")];

const HEAD: &str = "\
hostprof's program has these packages linked in. Each is listed with its licence; then the texts, each with
the packages that it came with. Beside them it holds parts of Rust's standard library (MIT OR Apache-2.0,
The Rust Project Developers) and of LLVM's libunwind (Apache-2.0 WITH LLVM-exception).
";

/// A package that is linked in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    /// `serde-1.0.0`, as its sources' directory is named.
    name: String,
    licence: String,
}

/// All of them, as one text.
pub fn notices(workspace: &Workspace) -> Result<String> {
    let mut packages = BTreeSet::new();
    for half in ["hostprof", "hostprof-ebpf"] {
        let tree = process::output(workspace.cargo().args([
            "tree",
            "--locked",
            "--package",
            half,
            "--edges",
            "normal",
            "--target",
            TARGET,
            "--prefix",
            "none",
            "--format",
            "{p}|{l}",
        ]))?;
        packages.extend(tree.lines().filter_map(package));
    }
    if packages.is_empty() {
        bail!("collect licences: cargo tree names no package");
    }
    let mut texts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for package in &packages {
        for text in texts_of(&sources(&package.name)?, &package.name)? {
            texts.entry(text).or_default().push(&package.name);
        }
    }
    let mut notices = format!("{HEAD}\n");
    for Package { name, licence } in &packages {
        let _ = writeln!(notices, "{name}: {licence}");
    }
    for (text, names) in texts {
        let _ = write!(notices, "\n{}\n{}\n\n{text}\n", "-".repeat(78), names.join(", "));
    }
    Ok(notices)
}

/// Reads a line of `cargo tree`: `serde v1.0.0 (*)|MIT OR Apache-2.0`. Packages of this workspace, which have a
/// path, and procedural macros, which leave nothing behind, are none.
fn package(line: &str) -> Option<Package> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let local_or_macro = words.any(|word| word != "(*)");
    let licence = licence.trim_end_matches("(*)").trim().to_owned();
    (!local_or_macro).then(|| Package { name: format!("{name}-{version}"), licence })
}

fn sources(package: &str) -> Result<PathBuf> {
    let registries = cargo_home().join("registry/src");
    fs::read_dir(&registries)
        .with_context(|| format!("read {}", registries.display()))?
        .filter_map(|registry| Some(registry.ok()?.path().join(package)))
        .find(|path| path.is_dir())
        .with_context(|| format!("find sources of {package}: not in {}", registries.display()))
}

/// The texts in a package; none where its authors give only the licence's name.
fn texts_of(sources: &Path, package: &str) -> Result<Vec<String>> {
    let mut files: Vec<PathBuf> = fs::read_dir(sources)
        .with_context(|| format!("read {}", sources.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.is_file() && path.file_name().is_some_and(|name| is_notice(&name.to_string_lossy()))
        })
        .collect();
    for (name, file) in WITHIN {
        if package.rsplit_once('-').is_some_and(|(package, _)| package.starts_with(name)) {
            files.push(sources.join(file));
        }
    }
    files.sort();
    let read = |path: &PathBuf| -> Result<String> {
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        Ok(lines.join("\n").trim_matches('\n').to_owned())
    };
    files.iter().map(read).filter(|text| !text.as_ref().is_ok_and(String::is_empty)).collect()
}

fn is_notice(file: &str) -> bool {
    let file = file.to_ascii_lowercase();
    NAMES.iter().any(|name| file.starts_with(name))
        && Path::new(&file).extension().is_none_or(|extension| extension != "rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linked_packages_are_told_from_ours_and_from_macros() {
        let read = |line| package(line).map(|Package { name, licence }| (name, licence));
        let serde = Some(("serde-1.0.0".to_owned(), "MIT OR Apache-2.0".to_owned()));
        assert_eq!(read("serde v1.0.0|MIT OR Apache-2.0"), serde);
        assert_eq!(read("serde v1.0.0|MIT OR Apache-2.0 (*)"), serde);
        assert_eq!(read("serde v1.0.0 (*)|MIT OR Apache-2.0"), serde);
        assert_eq!(read("hostprof v0.1.0 (/srv/hostprof)|MIT"), None);
        assert_eq!(read("serde_derive v1.0.0 (proc-macro)|MIT"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn licences_are_known_by_their_names() {
        for file in ["LICENSE", "LICENSE-MIT.txt", "license.md", "COPYING", "NOTICE", "UNLICENSE", "LICENCE"]
        {
            assert!(is_notice(file), "{file}");
        }
        for file in ["README.md", "Cargo.toml", "licences.rs"] {
            assert!(!is_notice(file), "{file}");
        }
    }
}
