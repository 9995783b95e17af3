//! The cgroups that processes of the target are in and those above them, of both versions.

mod layout;
mod v1;
mod v2;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

pub use self::layout::Layout;
use super::file::Reader;
use crate::{clock, table::CgroupSampleRow};

/// The folders of a cgroup by controller; that of version 2 under [`layout::UNIFIED`].
type Folders = BTreeMap<&'static str, PathBuf>;

/// A cgroup: its version, and its path as `/proc/PID/cgroup` has it.
type Name = (u16, String);

/// A cgroup's files.
#[derive(Debug)]
enum Files {
    V1(v1::Files),
    V2(v2::Files),
}

#[derive(Debug)]
struct Cgroup {
    folders: Folders,
    files: Files,
}

/// The cgroups of the target.
#[derive(Debug)]
pub struct Cgroups {
    layout: Layout,
    known: BTreeMap<Name, Cgroup>,
    /// What `/proc/PID/cgroup` of the target's processes said when `known` was made.
    memberships: BTreeSet<String>,
}

impl Cgroups {
    /// None yet.
    pub fn new(layout: Layout) -> Self {
        Self { layout, known: BTreeMap::new(), memberships: BTreeSet::new() }
    }

    /// Reads those that these texts of `/proc/PID/cgroup` name, and those above them.
    pub fn sample<'a>(
        &mut self,
        reader: &mut Reader,
        memberships: impl Iterator<Item = &'a str>,
    ) -> Vec<CgroupSampleRow> {
        self.follow(memberships);
        let mut rows = Vec::with_capacity(self.known.len());
        for ((version, path), cgroup) in &mut self.known {
            let empty = CgroupSampleRow {
                ts_mono_ns: clock::mono().0,
                path: path.clone(),
                version: *version,
                ..CgroupSampleRow::default()
            };
            let mut row = empty.clone();
            match &mut cgroup.files {
                Files::V1(files) => files.read(reader, &mut row),
                Files::V2(files) => files.read(reader, &mut row),
            }
            // One that is gone, or has no controller, tells nothing.
            if row != empty {
                rows.push(row);
            }
        }
        rows
    }

    fn follow<'a>(&mut self, memberships: impl Iterator<Item = &'a str>) {
        let texts: BTreeSet<&str> = memberships.collect();
        if texts.iter().copied().eq(self.memberships.iter().map(String::as_str)) {
            return;
        }
        let mut wanted: BTreeMap<Name, Folders> = BTreeMap::new();
        for text in &texts {
            for (name, controller, folder) in self.layout.cgroups(text) {
                wanted.entry(name).or_default().insert(controller, folder);
            }
        }
        self.known.retain(|name, cgroup| wanted.get(name) == Some(&cgroup.folders));
        for (name, folders) in wanted {
            self.known.entry(name).or_insert_with_key(|(version, _)| {
                let files = match version {
                    2 => Files::V2(v2::Files::new(&folders)),
                    _ => Files::V1(v1::Files::new(&folders)),
                };
                Cgroup { folders, files }
            });
        }
        self.memberships = texts.into_iter().map(str::to_owned).collect();
    }

    /// What this machine's cgroups do not tell.
    pub fn note(&self) -> Option<String> {
        self.layout.note()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn cgroups_follow_the_processes_and_hold_those_above() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("a/b")).unwrap();
        for (folder, usage) in [("a", 3000), ("a/b", 1000)] {
            fs::write(root.join(folder).join("cpu.stat"), format!("usage_usec {usage}\n")).unwrap();
        }
        let mounts = format!("30 23 0:27 / {} rw - cgroup2 none rw\n", root.display());
        let (mut cgroups, mut reader) = (Cgroups::new(Layout::parse(&mounts, "cpu")), Reader::default());
        let told = |rows: Vec<CgroupSampleRow>| -> Vec<_> {
            rows.into_iter().map(|row| (row.path, row.cpu_ns)).collect()
        };
        let both = [("/a".to_owned(), Some(3_000_000)), ("/a/b".to_owned(), Some(1_000_000))];
        assert_eq!(told(cgroups.sample(&mut reader, ["0::/a/b\n", "0::/a\n"].into_iter())), both);
        assert_eq!(told(cgroups.sample(&mut reader, ["0::/a\n"].into_iter())), both[..1]);
        // One that is gone has no row.
        assert_eq!(told(cgroups.sample(&mut reader, ["0::/a/gone\n"].into_iter())), both[..1]);
        assert!(cgroups.sample(&mut reader, [].into_iter()).is_empty());
    }
}
