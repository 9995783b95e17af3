//! Where the library may be: it comes with CUDA's toolkit and with Python's packages, never with the driver.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{units::Tgid, variable};

/// Names the library's file.
pub const VARIABLE: &str = "HOSTPROF_CUPTI";

/// The library's file name, newest first.
const NAMES: [&str; 2] = ["libcupti.so.13", "libcupti.so.12"];
/// Where Python's packages have it, below `site-packages`.
const IN_PACKAGES: [&str; 3] =
    ["nvidia/cu13/lib", "nvidia/cuda_cupti/lib", "triton/backends/nvidia/lib/cupti"];
/// Where a toolkit has it.
const IN_TOOLKIT: [&str; 4] =
    ["targets/x86_64-linux/lib", "targets/sbsa-linux/lib", "extras/CUPTI/lib64", "lib64"];

/// Files to try, in order: the one that the variable names, alone; the toolkits'; what the loader finds; the target's
/// own, and its Python's.
pub fn candidates(root: &Path, target: &[Tgid]) -> Vec<PathBuf> {
    if let Some(path) = variable::library(VARIABLE) {
        return vec![path.into()];
    }
    let mut found: Vec<PathBuf> = toolkits(root)
        .iter()
        .flat_map(|toolkit| IN_TOOLKIT.map(|folder| toolkit.join(folder)))
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .filter(|path| path.exists())
        .collect();
    found.extend(NAMES.map(PathBuf::from));
    for tgid in target {
        let maps = fs::read_to_string(root.join(format!("proc/{tgid}/maps"))).unwrap_or_default();
        let seen_from = root.join(format!("proc/{tgid}/root"));
        for path in of_target(&maps) {
            let path = path.strip_prefix("/").map(|path| seen_from.join(path)).unwrap_or(path);
            if path.exists() {
                found.push(path);
            }
        }
    }
    let mut known = BTreeSet::new();
    found.retain(|path| known.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
    found
}

/// `/usr/local/cuda` first, then by version, newest first.
fn toolkits(root: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(root.join("usr/local"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cuda")))
        .collect();
    all.sort_by_key(|path| std::cmp::Reverse(path.clone()));
    all.sort_by_key(|path| path.file_name().is_none_or(|name| name != "cuda"));
    all
}

/// What a process's maps tell: a library that it has loaded, and where its Python's packages are.
fn of_target(maps: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let paths: BTreeSet<&str> =
        maps.lines().filter_map(|line| line.find('/').map(|at| &line[at..])).collect();
    for path in &paths {
        if path.rsplit('/').next().is_some_and(|name| name.starts_with("libcupti.so.")) {
            found.push(PathBuf::from(path));
        }
    }
    let packages: BTreeSet<&str> = paths
        .iter()
        .filter_map(|path| path.split_once("/site-packages/").map(|(before, _)| before))
        .collect();
    for before in packages {
        for folder in IN_PACKAGES {
            found.extend(NAMES.map(|name| PathBuf::from(format!("{before}/site-packages/{folder}/{name}"))));
        }
    }
    found
}

/// Why code of a file may not be run: it could be put there by somebody who has fewer rights than hostprof.
pub fn untrusted(path: &Path) -> Option<String> {
    // A bare name is the loader's to find, which looks where only root writes.
    let file = fs::metadata(path).ok()?;
    let user = nix::unistd::geteuid().as_raw();
    if file.uid() != 0 && file.uid() != user {
        return Some(format!("it belongs to user {}", file.uid()));
    }
    (file.mode() & 0o022 != 0).then(|| "others may write to it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_targets_packages_are_where_its_maps_say() {
        let maps = "7f00-7f01 r-xp 0 08:01 9 /opt/v/lib/python3.12/site-packages/torch/lib/libtorch.so\n\
                    7f02-7f03 r-xp 0 08:01 9 /opt/v/lib/python3.12/site-packages/nvidia/cu13/lib/libcudart.so.13\n\
                    7f04-7f05 r-xp 0 08:01 9 /srv/libcupti.so.12\n\
                    7f06-7f07 rw-p 0 00:00 0 [heap]\n";
        let found = of_target(maps);
        assert_eq!(found[0], Path::new("/srv/libcupti.so.12"));
        let packages = "/opt/v/lib/python3.12/site-packages/nvidia/cu13/lib/libcupti.so.13";
        assert!(found.contains(&PathBuf::from(packages)) && found.len() == 1 + 3 * 2, "{found:?}");
    }

    #[test]
    fn the_toolkit_that_is_in_use_comes_first_and_no_file_twice() {
        let root = tempfile::tempdir().unwrap();
        for version in ["cuda-12.6", "cuda-13.0"] {
            let folder = root.path().join("usr/local").join(version).join("extras/CUPTI/lib64");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("libcupti.so.12"), "").unwrap();
        }
        std::os::unix::fs::symlink("cuda-12.6", root.path().join("usr/local/cuda")).unwrap();
        let found = candidates(root.path(), &[]);
        let of = |version: &str| {
            root.path().join("usr/local").join(version).join("extras/CUPTI/lib64/libcupti.so.12")
        };
        assert_eq!(found, [of("cuda"), of("cuda-13.0"), NAMES[0].into(), NAMES[1].into()]);
    }

    #[test]
    fn a_file_that_others_may_write_to_is_not_loaded() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(untrusted(file.path()), None);
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(untrusted(file.path()).as_deref(), Some("others may write to it"));
    }
}
