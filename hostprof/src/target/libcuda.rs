//! CUDA's driver library: which mapped file is one, and those that a process would find before it has mapped any.
//!
//! The way of the loader is followed in the process's own root: `LD_LIBRARY_PATH`, the loader's cache, usual folders. What it
//! finds another way is known once it is mapped.

use std::{
    collections::HashSet,
    fs,
    io::Read as _,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{Library, Proc};
use crate::units::Tgid;

/// The names that programs load it by.
const NAMES: [&str; 2] = ["libcuda.so.1", "libcuda.so"];

/// Where it is as a rule.
const FOLDERS: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/local/cuda/compat",
    "/usr/lib/wsl/lib",
    "/run/opengl-driver/lib",
];

/// The most of a loader's cache that is read.
const CACHE_BYTES: u64 = 16 << 20;

/// Whether a file is one, by its name.
pub fn is_libcuda(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name == b"libcuda.so" || name.starts_with(b"libcuda.so.")
}

impl Proc {
    /// The libraries a process would find.
    pub fn findable_libcuda(&self, tgid: Tgid) -> Vec<Library> {
        let mut paths: Vec<PathBuf> = Vec::new();
        let environ = fs::read(self.path(tgid, "environ")).unwrap_or_default();
        let own = environ.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"LD_LIBRARY_PATH="));
        let folders = own.unwrap_or_default().split(|&byte| byte == b':');
        let folders = folders.map(|folder| Path::new(std::ffi::OsStr::from_bytes(folder)));
        for folder in folders.filter(|folder| folder.is_absolute()) {
            paths.extend(NAMES.map(|name| folder.join(name)));
        }
        if let Ok(cache) = self.open_in_root(tgid, Path::new("/etc/ld.so.cache")) {
            let mut bytes = Vec::new();
            let _ = cache.take(CACHE_BYTES).read_to_end(&mut bytes);
            paths.extend(cached(&bytes).map(Path::to_owned));
        }
        paths.extend(FOLDERS.iter().flat_map(|folder| NAMES.map(|name| Path::new(folder).join(name))));
        let mut known = HashSet::new();
        let open = |path: PathBuf| {
            let file = self.open_in_root(tgid, &path).ok()?;
            Library::open(path, file)
        };
        paths.into_iter().filter_map(open).filter(|library| known.insert(library.id)).collect()
    }
}

/// The paths of it in a loader's cache, whose strings end with zeros.
fn cached(cache: &[u8]) -> impl Iterator<Item = &Path> {
    let strings = cache.split(|&byte| byte == 0).filter(|string| string.starts_with(b"/"));
    strings.map(|string| Path::new(std::ffi::OsStr::from_bytes(string))).filter(|path| is_libcuda(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_one_by_its_name() {
        assert!(
            is_libcuda(Path::new("/usr/lib/a b/libcuda.so.580.1")) && is_libcuda(Path::new("/x/libcuda.so"))
        );
        assert!(!is_libcuda(Path::new("/x/libcudart.so.12")) && !is_libcuda(Path::new("/libcuda.so.1/x")));
    }

    #[test]
    fn a_loaders_cache_is_searched_for_its_paths() {
        let cache =
            b"glibc-ld.so.cache1.1\x02\0\0libcuda.so.1\0/opt/nv/libcuda.so.1\0/usr/lib/libcublas.so\0";
        assert_eq!(cached(cache).collect::<Vec<_>>(), [Path::new("/opt/nv/libcuda.so.1")]);
    }
}
