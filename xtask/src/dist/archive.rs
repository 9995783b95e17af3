//! Files into archives whose bytes depend on their content alone: in order, of one time, of one owner.
//!
//! `tar` and `gzip` do the work. A .deb is made here and not by `dpkg-deb`, which only Debian's family has,
//! nor by cargo-deb, a tool to install first: around two tar files it is a header of 60 bytes each.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::process;

/// A folder to be archived.
pub struct Staged {
    dir: PathBuf,
}

impl Staged {
    /// Makes it, empty.
    pub fn new(dir: PathBuf) -> Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
        }
        let staged = Self { dir };
        staged.make_dirs(&staged.dir)?;
        Ok(staged)
    }

    /// Adds a file.
    pub fn add(&self, path: &str, bytes: &[u8], program: bool) -> Result<()> {
        let path = self.dir.join(path);
        self.make_dirs(path.parent().unwrap_or(&self.dir))?;
        fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        set_mode(&path, if program { 0o755 } else { 0o644 })
    }

    /// Makes folders as everyone may read them, whatever the umask.
    fn make_dirs(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        for dir in dir.ancestors().take_while(|dir| dir.starts_with(&self.dir)) {
            set_mode(dir, 0o755)?;
        }
        Ok(())
    }

    /// All of it as tar, compressed; names begin with `root`, as `./` or `hostprof-0.1.0/`.
    pub fn tar_gz(&self, root: &str, mtime: u64) -> Result<Vec<u8>> {
        let mut tar = Command::new("tar")
            .args(["--create", "--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{mtime}"))
            .arg(format!("--transform=s,^\\.,{},", root.trim_end_matches('/')))
            .arg("--directory")
            .arg(&self.dir)
            .arg(".")
            .env("LC_ALL", "C")
            .stdout(Stdio::piped())
            .spawn()
            .context("run tar")?;
        let stdout = tar.stdout.take().context("read output of tar")?;
        let output = Command::new("gzip").args(["--no-name", "--best"]).stdin(stdout).output();
        let status = tar.wait().context("run tar")?;
        let output = output.context("run gzip")?;
        if !status.success() || !output.status.success() {
            bail!("archive {}: tar: {status}, gzip: {}", self.dir.display(), output.status);
        }
        Ok(output.stdout)
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("protect {}", path.display()))
}

/// One text, compressed the same each time.
pub fn gzip(path: &Path) -> Result<Vec<u8>> {
    let output = Command::new("gzip").args(["--no-name", "--best", "--stdout"]).arg(path).output();
    let output = output.context("run gzip")?;
    if !output.status.success() {
        bail!("compress {}: gzip: {}", path.display(), output.status);
    }
    Ok(output.stdout)
}

/// What `ar` would make: the outer form of a .deb.
pub fn ar(members: &[(&str, &[u8])], mtime: u64) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        let header = format!("{name:<16}{mtime:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, "100644", bytes.len());
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(bytes);
        // Members begin at even offsets.
        if bytes.len() % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

/// A file's digest, as `sha256sum` prints it.
pub fn sha256(path: &Path) -> Result<String> {
    digest("sha256sum", path)
}

/// As a package lists its files.
pub fn md5(path: &Path) -> Result<String> {
    digest("md5sum", path)
}

fn digest(program: &str, path: &Path) -> Result<String> {
    let output = process::output(Command::new(program).arg("--").arg(path))?;
    let digest = output.split_whitespace().next().with_context(|| format!("read output of {program}"))?;
    Ok(digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archives_members_are_where_ar_puts_them() {
        let archive = ar(&[("debian-binary", b"2.0\n"), ("odd", b"abc"), ("last", b"d")], 7);
        assert_eq!(
            String::from_utf8(archive).unwrap(),
            "!<arch>\n\
             debian-binary   7           0     0     100644  4         `\n2.0\n\
             odd             7           0     0     100644  3         `\nabc\n\
             last            7           0     0     100644  1         `\nd\n"
        );
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        let dir = std::env::temp_dir().join(format!("hostprof-archive-{}", std::process::id()));
        let archived = |order: [&str; 2]| {
            let staged = Staged::new(dir.clone()).unwrap();
            for name in order {
                staged.add(name, name.as_bytes(), false).unwrap();
            }
            let bytes = staged.tar_gz("top/", 1_000_000).unwrap();
            fs::remove_dir_all(&dir).unwrap();
            bytes
        };
        let first = archived(["b/one", "a/two"]);
        assert_eq!(first, archived(["a/two", "b/one"]));
        assert!(first.starts_with(&[0x1f, 0x8b]));
    }
}
