//! The machine as the checks see it: its files, and what this process may do.

#[cfg(test)]
use std::path::Path;
use std::{fs, path::PathBuf};

use caps::{CapSet, Capability, CapsHashSet};

use crate::recording::Host;

/// The machine that is looked at.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    /// What this process may do.
    pub capabilities: CapsHashSet,
    /// Its CPUs, memory and GPUs.
    pub host: Host,
}

impl Machine {
    /// The one hostprof runs on.
    pub fn this() -> Self {
        Self {
            root: PathBuf::from("/"),
            capabilities: caps::read(None, CapSet::Effective).unwrap_or_default(),
            host: Host::read(),
        }
    }

    /// One whose files lie under a folder, for tests.
    #[cfg(test)]
    pub fn under(root: &Path) -> Self {
        Self { root: root.to_owned(), capabilities: CapsHashSet::new(), host: Host::default() }
    }

    /// A path of it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a file without the last line's end; `None` where it cannot be read.
    pub fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok().map(|text| text.trim_end().to_owned())
    }

    /// Whether there is such a file.
    pub fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Whether a file system of this kind is mounted at a path.
    pub fn is_mounted(&self, kind: &str, at: &str) -> bool {
        let mounts = self.text("/proc/self/mounts").unwrap_or_default();
        mounts.lines().any(|line| {
            let mut words = line.split(' ').skip(1);
            words.next() == Some(at) && words.next() == Some(kind)
        })
    }

    /// Whether this process may do something; who has CAP_SYS_ADMIN may do what the kernel has since given
    /// capabilities of their own.
    pub fn may(&self, capability: Capability) -> bool {
        let replaced = matches!(capability, Capability::CAP_BPF | Capability::CAP_PERFMON);
        self.capabilities.contains(&capability)
            || (replaced && self.capabilities.contains(&Capability::CAP_SYS_ADMIN))
    }
}

/// This program's path, for a command that the user is to run.
pub fn own_path() -> String {
    std::env::current_exe().map_or_else(|_| "hostprof".to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_told_by_kind_and_place() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/self")).unwrap();
        fs::write(root.path().join("proc/self/mounts"), "none /sys/kernel/tracing tracefs rw 0 0\n").unwrap();
        let machine = Machine::under(root.path());
        assert!(machine.is_mounted("tracefs", "/sys/kernel/tracing"));
        assert!(!machine.is_mounted("cgroup2", "/sys/kernel/tracing"));
        assert!(!machine.is_mounted("tracefs", "/sys/kernel"));
    }
}
