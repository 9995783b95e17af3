//! The Debian package: the shipped files where Debian has such files, and a few lines about them.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use crate::dist::{
    archive::{Staged, ar, gzip, md5},
    contents::File,
    elf::Glibc,
};

/// Makes it below `work`, and yields its bytes. `glibc` is the oldest that will do.
pub fn package(files: &[File], work: &Path, glibc: Glibc, mtime: u64) -> Result<Vec<u8>> {
    let root = work.join("deb-data");
    let staged = Staged::new(root.clone())?;
    let mut sums: Vec<(&str, String)> = Vec::new();
    let mut bytes = 0;
    for file in files {
        let Some(place) = &file.package else { continue };
        if Path::new(place).extension().is_some_and(|extension| extension == "gz") {
            staged.add(place, &gzipped(&file.bytes, work)?, file.program)?;
        } else {
            staged.add(place, &file.bytes, file.program)?;
        }
        let path = root.join(place);
        bytes += path.metadata().with_context(|| format!("read {}", path.display()))?.len();
        sums.push((place, md5(&path)?));
    }
    sums.sort();
    let sums: Vec<String> = sums.into_iter().map(|(place, sum)| format!("{sum}  {place}\n")).collect();
    let control = Staged::new(work.join("deb-control"))?;
    control.add("control", control_file(bytes, glibc).as_bytes(), false)?;
    control.add("md5sums", sums.concat().as_bytes(), false)?;
    let members = [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar.gz", control.tar_gz("./", mtime)?),
        ("data.tar.gz", staged.tar_gz("./", mtime)?),
    ];
    let members: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    Ok(ar(&members, mtime))
}

fn gzipped(bytes: &[u8], work: &Path) -> Result<Vec<u8>> {
    let plain = work.join("deb-plain");
    fs::write(&plain, bytes).with_context(|| format!("write {}", plain.display()))?;
    gzip(&plain)
}

fn control_file(bytes: u64, glibc: Glibc) -> String {
    format!(
        "\
Package: hostprof
Version: {}
Architecture: amd64
Maintainer: hostprof <{}/issues>
Installed-Size: {}
Depends: libc6 (>= {glibc})
Section: utils
Priority: optional
Homepage: {1}
Description: where the threads of an LLM server wait, and why
 Attaches to a running process with no restart and no change to it, and reads
 the kernel's scheduler through eBPF: every time a thread was off the CPU, in
 which system call, who woke it, and how long it then waited for a CPU.
 .
 Needs Linux 5.15 or newer with BTF.
",
        env!("CARGO_PKG_VERSION"),
        env!("CARGO_PKG_REPOSITORY"),
        bytes.div_ceil(1024),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_file_has_a_line_for_each_field() {
        let text = control_file(2049, Glibc(2, 28));
        assert!(
            text.contains("\nInstalled-Size: 3\n") && text.contains("\nDepends: libc6 (>= 2.28)\n"),
            "{text}"
        );
        // A line that begins with neither a field nor a space would be refused, and so would an empty one.
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            assert!(line.starts_with(' ') || line.split_once(": ").is_some(), "{line:?}");
        }
    }
}
