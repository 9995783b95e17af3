//! The libraries of CUDA's driver (libcuda) that processes have mapped, or would find; and what functions are where in
//! their files.
//!
//! A process finds its library by its own root, which may be a container's: the way of the loader is followed there
//! (`LD_LIBRARY_PATH`, the loader's cache, usual folders). What it finds another way is known once it is mapped.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};
use object::{
    Object as _, ObjectSegment as _, ObjectSymbol as _, ReadCache, SymbolKind, elf::FileHeader64,
    read::elf::ElfFile,
};

use super::Proc;
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

/// A file, whatever it is called: device and inode.
pub type FileId = (u64, u64);

/// A library.
#[derive(Debug)]
pub struct CudaLibrary {
    /// As the process calls it.
    pub path: PathBuf,
    /// The file itself.
    pub file: File,
    pub id: FileId,
}

impl CudaLibrary {
    fn open(path: PathBuf, file: File) -> Option<Self> {
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Self { path, file, id: (metadata.dev(), metadata.ino()) })
    }

    /// Its functions: names, and where in the file their first instructions are.
    ///
    /// # Errors
    ///
    /// It is no library of this machine, or damaged.
    pub fn functions(&self) -> io::Result<Vec<(String, u64)>> {
        let damaged = |error: object::Error| io::Error::new(io::ErrorKind::InvalidData, error.to_string());
        let cache = ReadCache::new(&self.file);
        let elf = ElfFile::<FileHeader64<object::Endianness>, _>::parse(&cache).map_err(damaged)?;
        // Where the file's bytes are once it is loaded.
        let segments: Vec<(u64, u64, u64)> = elf
            .segments()
            .map(|segment| {
                let (offset, bytes) = segment.file_range();
                (segment.address(), offset, bytes)
            })
            .collect();
        // A stripped library has these: the loader needs them.
        let functions = elf.dynamic_symbols().filter(|symbol| {
            symbol.is_definition() && matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown)
        });
        Ok(functions
            .filter_map(|symbol| {
                let address = symbol.address();
                let (begin, offset, _) =
                    segments.iter().find(|(begin, _, bytes)| (*begin..begin + bytes).contains(&address))?;
                Some((symbol.name().ok()?.to_owned(), address - begin + offset))
            })
            .collect())
    }
}

/// The library that a mapping's path names, if it is one.
fn is_library(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name == b"libcuda.so" || name.starts_with(b"libcuda.so.")
}

impl Proc {
    /// The libraries a process has mapped.
    ///
    /// # Errors
    ///
    /// Its mappings cannot be read: it is gone, or may not be looked at.
    pub fn mapped_libcuda(&self, tgid: Tgid) -> io::Result<Vec<CudaLibrary>> {
        let maps = fs::read(self.path(tgid, "maps"))?;
        let mut paths = HashSet::new();
        let mut found = Vec::new();
        for line in maps.split(|&byte| byte == b'\n') {
            let Some((range, path)) = mapping(line).filter(|(_, path)| is_library(path)) else { continue };
            if !paths.insert(path) {
                continue;
            }
            // By the mapping where that may be had: the path may lead elsewhere by now.
            let by_mapping = || File::open(self.path(tgid, "map_files").join(range));
            let by_path = || self.open_in_root(tgid, path);
            if let Ok(file) = by_mapping().or_else(|_| by_path()) {
                found.extend(CudaLibrary::open(path.to_owned(), file));
            }
        }
        Ok(found)
    }

    /// The libraries a process would find.
    pub fn findable_libcuda(&self, tgid: Tgid) -> Vec<CudaLibrary> {
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
            CudaLibrary::open(path, file)
        };
        paths.into_iter().filter_map(open).filter(|library| known.insert(library.id)).collect()
    }

    /// A root, by which processes that share one are told.
    pub fn root_id(&self, tgid: Tgid) -> Option<FileId> {
        let root = fs::metadata(self.path(tgid, "root/")).ok()?;
        Some((root.dev(), root.ino()))
    }

    /// Whether the kernel holds a process's system calls against a filter.
    pub fn has_seccomp(&self, tgid: Tgid) -> bool {
        let status = fs::read_to_string(self.path(tgid, "status")).unwrap_or_default();
        super::proc::status_field(&status, "Seccomp").is_some_and(|mode| mode != "0")
    }

    /// Opens a file as the process would: links lead through its root, not through this one's.
    fn open_in_root(&self, tgid: Tgid, path: &Path) -> io::Result<File> {
        let root = File::open(self.path(tgid, "root/"))?;
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_IN_ROOT);
        Ok(File::from(openat2(&root, path, how)?))
    }
}

/// The range and the path of a line of `/proc/PID/maps`.
fn mapping(line: &[u8]) -> Option<(&str, &Path)> {
    let path = line.iter().position(|&byte| byte == b'/')?;
    let (fields, path) = line.split_at(path);
    let range = std::str::from_utf8(fields).ok()?.split(' ').next()?;
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    Some((range, Path::new(std::ffi::OsStr::from_bytes(path))))
}

/// The paths of it in a loader's cache, whose strings end with zeros.
fn cached(cache: &[u8]) -> impl Iterator<Item = &Path> {
    let strings = cache.split(|&byte| byte == 0).filter(|string| string.starts_with(b"/"));
    strings.map(|string| Path::new(std::ffi::OsStr::from_bytes(string))).filter(|path| is_library(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_of_the_library_is_told_from_others() {
        let (range, path) =
            mapping(b"7f00-7f10 r-xp 00001000 fe:00 1234  /usr/lib/a b/libcuda.so.580.1 (deleted)").unwrap();
        assert_eq!((range, path), ("7f00-7f10", Path::new("/usr/lib/a b/libcuda.so.580.1")));
        assert!(is_library(path) && is_library(Path::new("/x/libcuda.so")));
        assert!(!is_library(Path::new("/x/libcudart.so.12")) && !is_library(Path::new("/libcuda.so.1/x")));
        assert!(mapping(b"7f00-7f10 rw-p 00000000 00:00 0 [heap]").is_none());
    }

    #[test]
    fn a_loaders_cache_is_searched_for_its_paths() {
        let cache =
            b"glibc-ld.so.cache1.1\x02\0\0libcuda.so.1\0/opt/nv/libcuda.so.1\0/usr/lib/libcublas.so\0";
        assert_eq!(cached(cache).collect::<Vec<_>>(), [Path::new("/opt/nv/libcuda.so.1")]);
    }

    #[test]
    fn functions_are_found_where_they_are_in_the_file() {
        // SAFETY: asks for the address of a function that is there.
        let at = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"getpid".as_ptr()) } as u64;
        let maps = fs::read("/proc/self/maps").unwrap();
        let (line, begin) = maps
            .split(|&byte| byte == b'\n')
            .find_map(|line| {
                let (range, _) = mapping(line)?;
                let (begin, end) = range.split_once('-')?;
                let number = |text| u64::from_str_radix(text, 16).ok();
                let begin = number(begin)?;
                (begin..number(end)?).contains(&at).then_some((line, begin))
            })
            .unwrap();
        let offset = std::str::from_utf8(line).unwrap().split(' ').nth(2).unwrap();
        let expected = at - begin + u64::from_str_radix(offset, 16).unwrap();
        let path = mapping(line).unwrap().1.to_owned();
        let library = CudaLibrary::open(path.clone(), File::open(path).unwrap()).unwrap();
        let functions = library.functions().unwrap();
        assert!(functions.iter().any(|(name, at)| name == "getpid" && *at == expected));
    }
}
