//! Files that processes have mapped and that are to be probed: libraries, and programs themselves; which of them have a
//! symbol, and what functions are where in them.
//!
//! A process finds a file by its own root, which may be a container's: it is opened by the mapping, else there.

use std::{
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::Mode,
};
use object::{
    Object as _, ObjectSection as _, ObjectSegment as _, ObjectSymbol as _, ReadCache, SymbolKind,
    elf::FileHeader64, read::elf::ElfFile,
};

use super::Proc;
use crate::units::Tgid;

/// A file, whatever it is called: device and inode.
pub type FileId = (u64, u64);

/// A file with functions.
#[derive(Debug)]
pub struct Library {
    /// As the process calls it.
    pub path: PathBuf,
    /// The file itself.
    pub file: File,
    pub id: FileId,
}

/// Where a file has symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbols {
    /// Those that the loader needs, which a stripped file has as well.
    Dynamic,
    /// All, unless it is stripped.
    Static,
}

type Elf<'a> = ElfFile<'a, FileHeader64<object::Endianness>, &'a ReadCache<&'a File>>;

impl Library {
    pub(super) fn open(path: PathBuf, file: File) -> Option<Self> {
        let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Self { path, file, id: (metadata.dev(), metadata.ino()) })
    }

    /// Whether it has one of some symbols, its own or one that it needs, by the strings of its symbols.
    ///
    /// # Errors
    ///
    /// As for [`Library::functions`].
    pub fn mentions(&self, symbols: &[&str]) -> io::Result<bool> {
        let cache = ReadCache::new(&self.file);
        let elf = parse(&cache)?;
        Ok([".dynstr", ".strtab"].into_iter().any(|section| {
            let strings = elf.section_by_name(section).and_then(|section| section.data().ok());
            // A string may be the end of another.
            strings
                .unwrap_or_default()
                .split(|&byte| byte == 0)
                .any(|string| symbols.iter().any(|symbol| string.ends_with(symbol.as_bytes())))
        }))
    }

    /// Its functions: names, and where in the file their first instructions are.
    ///
    /// # Errors
    ///
    /// It is no library of this machine, or damaged.
    pub fn functions(&self, symbols: Symbols) -> io::Result<Vec<(String, u64)>> {
        let cache = ReadCache::new(&self.file);
        let elf = parse(&cache)?;
        // Where the file's bytes are once it is loaded.
        let segments: Vec<(u64, u64, u64)> = elf
            .segments()
            .map(|segment| {
                let (offset, bytes) = segment.file_range();
                (segment.address(), offset, bytes)
            })
            .collect();
        let all = match symbols {
            Symbols::Dynamic => elf.dynamic_symbols(),
            Symbols::Static => elf.symbols(),
        };
        let functions = all.filter(|symbol| {
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

fn parse<'a>(cache: &'a ReadCache<&'a File>) -> io::Result<Elf<'a>> {
    ElfFile::parse(cache).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// A line of `/proc/PID/maps` that has a file.
#[derive(Clone, Copy, Debug)]
pub struct Mapping<'a> {
    range: &'a str,
    /// Whether it has code.
    pub executable: bool,
    /// Device and inode, as the kernel writes them.
    pub file: &'a str,
    pub path: &'a Path,
}

impl<'a> Mapping<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let path = line.iter().position(|&byte| byte == b'/')?;
        let (fields, path) = line.split_at(path);
        let fields = std::str::from_utf8(fields).ok()?;
        let mut words = fields.splitn(4, ' ');
        let (range, permissions) = (words.next()?, words.next()?);
        let _offset = words.next()?;
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        Some(Self {
            range,
            executable: permissions.contains('x'),
            file: words.next()?.trim_end(),
            path: Path::new(std::ffi::OsStr::from_bytes(path)),
        })
    }
}

impl Proc {
    /// The files a process has mapped that are wanted; each path once.
    ///
    /// # Errors
    ///
    /// Its mappings cannot be read: it is gone, or may not be looked at.
    pub fn mapped_files(
        &self,
        tgid: Tgid,
        mut is_wanted: impl FnMut(&Mapping<'_>) -> bool,
    ) -> io::Result<Vec<Library>> {
        let maps = fs::read(self.path(tgid, "maps"))?;
        let mut found: Vec<Library> = Vec::new();
        for mapping in maps.split(|&byte| byte == b'\n').filter_map(Mapping::of) {
            if found.iter().any(|library| library.path == mapping.path) || !is_wanted(&mapping) {
                continue;
            }
            // By the mapping where that may be had: the path may lead elsewhere by now.
            let by_mapping = || File::open(self.path(tgid, "map_files").join(mapping.range));
            let by_path = || self.open_in_root(tgid, mapping.path);
            if let Ok(file) = by_mapping().or_else(|_| by_path()) {
                found.extend(Library::open(mapping.path.to_owned(), file));
            }
        }
        Ok(found)
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
    pub(super) fn open_in_root(&self, tgid: Tgid, path: &Path) -> io::Result<File> {
        let root = File::open(self.path(tgid, "root/"))?;
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
            .mode(Mode::empty())
            .resolve(ResolveFlag::RESOLVE_IN_ROOT);
        Ok(File::from(openat2(&root, path, how)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_of_a_file_is_told_from_others() {
        let line = b"7f00-7f10 r-xp 00001000 fe:00 1234  /usr/lib/a b/libcuda.so.580.1 (deleted)";
        let mapping = Mapping::of(line).unwrap();
        assert_eq!((mapping.range, mapping.path), ("7f00-7f10", Path::new("/usr/lib/a b/libcuda.so.580.1")));
        assert_eq!((mapping.executable, mapping.file), (true, "fe:00 1234"));
        assert!(!Mapping::of(b"7f00-7f10 rw-p 00000000 fe:00 1 /a").unwrap().executable);
        assert!(Mapping::of(b"7f00-7f10 rw-p 00000000 00:00 0 [heap]").is_none());
    }

    #[test]
    fn functions_are_found_where_they_are_in_the_file() {
        // SAFETY: asks for the address of a function that is there.
        let at = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"getpid".as_ptr()) } as u64;
        let maps = fs::read("/proc/self/maps").unwrap();
        let (line, begin) = maps
            .split(|&byte| byte == b'\n')
            .find_map(|line| {
                let (begin, end) = Mapping::of(line)?.range.split_once('-')?;
                let number = |text| u64::from_str_radix(text, 16).ok();
                let begin = number(begin)?;
                (begin..number(end)?).contains(&at).then_some((line, begin))
            })
            .unwrap();
        let offset = std::str::from_utf8(line).unwrap().split(' ').nth(2).unwrap();
        let expected = at - begin + u64::from_str_radix(offset, 16).unwrap();
        let path = Mapping::of(line).unwrap().path.to_owned();
        let library = Library::open(path.clone(), File::open(path).unwrap()).unwrap();
        let functions = library.functions(Symbols::Dynamic).unwrap();
        assert!(functions.iter().any(|(name, at)| name == "getpid" && *at == expected));
        assert!(library.mentions(&["no", "getpid"]).unwrap() && !library.mentions(&["get_no_such"]).unwrap());
    }

    #[test]
    fn a_program_that_is_not_stripped_has_functions_that_no_loader_needs() {
        let path = std::env::current_exe().unwrap();
        let program = Library::open(path.clone(), File::open(path).unwrap()).unwrap();
        let functions = program.functions(Symbols::Static).unwrap();
        assert!(functions.iter().any(|(name, _)| name.contains("has_functions_that_no_loader_needs")));
    }
}
