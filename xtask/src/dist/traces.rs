//! Whether a file holds a path of the machine it was built on.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{setup::ebpf::cargo_home, workspace::Workspace};

/// Places that are only this machine's, and what stands for each in a shipped file. The last that fits a
/// path wins.
pub struct Places(Vec<(PathBuf, &'static str)>);

impl Places {
    /// Of a build in this workspace.
    pub fn of(workspace: &Workspace, sysroot: &Path) -> Result<Self> {
        let cargo_home = cargo_home();
        let mut places = vec![
            (cargo_home.clone(), "cargo"),
            (workspace.root.clone(), "."),
            (workspace.target.clone(), "target"),
            (sysroot.to_owned(), "rust"),
        ];
        // Each is named after the registry's host.
        let sources = cargo_home.join("registry/src");
        if sources.is_dir() {
            let entries = fs::read_dir(&sources).with_context(|| format!("read {}", sources.display()))?;
            for entry in entries {
                places.push((entry?.path(), "crates"));
            }
        }
        for (path, _) in &places {
            if !path.is_absolute() {
                bail!("keep paths out of the build: {} is not absolute", path.display());
            }
        }
        Ok(Self(places))
    }

    /// For rustc.
    pub fn rust_flags(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()))
    }

    /// For a C compiler.
    pub fn c_flags(&self) -> String {
        let flags: Vec<String> = self
            .0
            .iter()
            .map(|(path, name)| format!("-ffile-prefix-map={}={name}", path.display()))
            .collect();
        flags.join(" ")
    }

    /// Fails when bytes name one of the places, or the home of whoever builds.
    pub fn check(&self, bytes: &[u8]) -> Result<()> {
        let mut names: Vec<String> = self.0.iter().map(|(path, _)| path.display().to_string()).collect();
        names.extend(env::var("HOME").ok().filter(|home| home.len() > 1));
        match names.iter().find_map(|name| around(bytes, name)) {
            Some(found) => bail!("holds a path of this machine: {found}"),
            None => Ok(()),
        }
    }
}

/// Where a path stands in bytes, with the printable text that follows.
fn around(bytes: &[u8], path: &str) -> Option<String> {
    let ends =
        |next: Option<&u8>| next.is_none_or(|next| !(next.is_ascii_alphanumeric() || b"-_.".contains(next)));
    let mut places = bytes.windows(path.len()).enumerate();
    let (at, _) = places.find(|(at, here)| *here == path.as_bytes() && ends(bytes.get(at + path.len())))?;
    let rest = bytes[at..].iter().take(120).take_while(|byte| byte.is_ascii_graphic());
    Some(rest.map(|byte| char::from(*byte)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_this_machine_is_found_in_any_bytes() {
        let places = Places(vec![("/srv/build/src".into(), ".")]);
        places.check(b"\x7fELF\0/usr/lib\0/srv/build/sources\0").unwrap();
        for bytes in [&b"\xff\0/srv/build/src/main.rs\0more"[..], b"/srv/build/src"] {
            let error = places.check(bytes).unwrap_err().to_string();
            assert!(error.contains("/srv/build/src"), "{error}");
            assert!(!error.contains("more"), "{error}");
        }
    }

    #[test]
    fn both_compilers_are_told_all_places() {
        let places = Places(vec![("/a b".into(), "x"), ("/c".into(), "y")]);
        let rust: Vec<_> = places.rust_flags().collect();
        assert_eq!(rust, ["--remap-path-prefix=/a b=x", "--remap-path-prefix=/c=y"]);
        assert_eq!(places.c_flags(), "-ffile-prefix-map=/a b=x -ffile-prefix-map=/c=y");
    }
}
