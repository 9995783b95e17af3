//! The run folder being written: `out/run_001`, its table folders and its files.
//!
//! A recorder may run as root in a folder that belongs to another user. So everything below `out` is
//! reached from the file descriptor of the folder above it, no symbolic link is followed there, folders
//! are 0700 and files 0600 whatever the umask. Files appear whole: written under another name, synced,
//! renamed.
//!
//! Others than the recorder may add to its tables, while it records or later: parts are numbered by whoever
//! closes one, and no part takes the name of another.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Component, Path, PathBuf},
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, RenameFlags, openat, renameat, renameat2},
    sys::stat::{Mode, SFlag, fchmod, fstatat, mkdirat},
    unistd::{Uid, UnlinkatFlags, fsync, linkat, unlinkat},
};

use super::{part_name, temporary_part_name};

const FOLDER_MODE: Mode = Mode::S_IRWXU;
const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// Why a run folder could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The invoking user may not write there.
    #[error("create {}: permission denied (choose a writable folder with -o)", .0.display())]
    Denied(PathBuf),
    /// Root was given a symbolic link to write through.
    #[error("create {}: is a symbolic link, not followed as root (name the folder it points to with -o)", .0.display())]
    Symlink(PathBuf),
    /// Something else has the name.
    #[error("create {}: not a folder (choose another with -o)", .0.display())]
    NotFolder(PathBuf),
    /// No name: an empty path.
    #[error("create runs: empty name (choose a folder with -o)")]
    Empty,
    /// Anything else.
    #[error("{verb} {}: {source}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl FolderError {
    fn new(verb: &'static str, path: &Path, errno: Errno) -> Self {
        match errno {
            Errno::EACCES | Errno::EPERM | Errno::EROFS => Self::Denied(path.to_owned()),
            Errno::ELOOP => Self::Symlink(path.to_owned()),
            Errno::ENOTDIR => Self::NotFolder(path.to_owned()),
            errno => Self::Io { verb, path: path.to_owned(), source: errno.into() },
        }
    }
}

/// The folder of one recording, held open. It is locked while its recorder holds it, so that others tell a
/// recording that goes on from one that was killed.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    folder: OwnedFd,
    /// What its recorder has of it; `None` for whoever adds to it.
    made: Option<MadeRun>,
}

/// A run folder's place and lock.
#[derive(Debug)]
struct MadeRun {
    name: OsString,
    out: OwnedFd,
    _lock: Flock<OwnedFd>,
}

impl RunFolder {
    /// Makes `out` and the folders above it where they are missing, and in it `run_NNN`, numbered after
    /// the highest there. Two recorders never get the same.
    ///
    /// # Errors
    ///
    /// See [`FolderError`]; nothing that was made stays.
    pub fn create(out: &Path) -> Result<Self, FolderError> {
        let mut made = Made::default();
        let run = Self::create_in(out, &mut made);
        if run.is_ok() {
            made.0.clear();
        }
        run
    }

    fn create_in(out: &Path, made: &mut Made) -> Result<Self, FolderError> {
        let out_fd = open_or_make(out, made)?;
        let mut number = highest_run(&out_fd).map_err(|errno| FolderError::new("read", out, errno))? + 1;
        loop {
            let name = OsString::from(format!("run_{number:03}"));
            let path = out.join(&name);
            match mkdirat(&out_fd, name.as_os_str(), FOLDER_MODE) {
                Ok(()) => {}
                Err(Errno::EEXIST) => {
                    number += 1;
                    continue;
                }
                Err(errno) => return Err(FolderError::new("create", &path, errno)),
            }
            made.push(&out_fd, &name)?;
            let folder = open_folder(&out_fd, &name, &path)?;
            fchmod(&folder, FOLDER_MODE).map_err(|errno| FolderError::new("protect", &path, errno))?;
            let lock = folder.try_clone().map_err(|source| FolderError::Io {
                verb: "open",
                path: path.clone(),
                source,
            })?;
            let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
                .map_err(|(_, errno)| FolderError::new("lock", &path, errno))?;
            return Ok(Self { path, folder, made: Some(MadeRun { name, out: out_fd, _lock: lock }) });
        }
    }

    /// Opens the folder of a recording, to add to its tables: one that goes on, or is over.
    ///
    /// # Errors
    ///
    /// See [`FolderError`].
    pub fn join(path: &Path) -> Result<Self, FolderError> {
        let follow = if Uid::effective().is_root() { OFlag::O_NOFOLLOW } else { OFlag::empty() };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | follow;
        let folder = openat(AT_FDCWD, path, flags, Mode::empty())
            .map_err(|errno| FolderError::new("open", path, errno))?;
        Ok(Self { path: path.to_owned(), folder, made: None })
    }

    /// Where it is, as `out` was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder of a table, or opens the one that is there.
    pub fn create_table(&self, name: &str) -> Result<TableFolder, FolderError> {
        let path = self.path.join(name);
        match mkdirat(&self.folder, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(FolderError::new("create", &path, errno)),
        }
        let folder = open_folder(&self.folder, name.as_ref(), &path)?;
        fchmod(&folder, FOLDER_MODE).map_err(|errno| FolderError::new("protect", &path, errno))?;
        Ok(TableFolder { path, folder })
    }

    /// Makes a file for another program to write, open for reading and writing.
    pub fn create_output(&self, name: &str) -> Result<File, FolderError> {
        create_file(&self.folder, name, OFlag::O_RDWR)
            .map_err(|errno| FolderError::new("create", &self.path.join(name), errno))
    }

    /// Removes a file, if it is there.
    pub fn remove_file(&self, name: &str) {
        let _ = unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir);
    }

    /// Writes a file of the run whole or not at all, replacing one of that name.
    pub fn write_file(&self, name: &str, content: &[u8]) -> Result<(), FolderError> {
        let temporary = format!(".{name}.tmp");
        let path = self.path.join(name);
        let io = |verb, path: &Path, source| FolderError::Io { verb, path: path.to_owned(), source };
        let _ = unlinkat(&self.folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        let mut file = create_file(&self.folder, &temporary, OFlag::O_WRONLY)
            .map_err(|errno| FolderError::new("create", &path, errno))?;
        let written = file
            .write_all(content)
            .and_then(|()| file.sync_all())
            .map_err(|error| io("write", &path, error))
            .and_then(|()| publish(self.folder.as_fd(), &temporary, name, &path));
        if written.is_err() {
            let _ = unlinkat(&self.folder, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        written
    }

    /// Removes the folder if nothing is in it, for a recording that failed before its first file. Returns
    /// whether it did.
    pub fn remove_if_empty(&self) -> Result<bool, FolderError> {
        let Some(made) = &self.made else { return Ok(false) };
        match unlinkat(&made.out, made.name.as_os_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) => Ok(true),
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
            Err(errno) => Err(FolderError::new("remove", &self.path, errno)),
        }
    }
}

/// The folder of a table, held open.
#[derive(Debug)]
pub struct TableFolder {
    path: PathBuf,
    folder: OwnedFd,
}

impl TableFolder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a part: its file, and its number for now, the first from `number` on that no part under way has.
    pub fn begin_part(&self, mut number: u32) -> Result<(u32, File), FolderError> {
        loop {
            let name = temporary_part_name(number);
            match create_file(&self.folder, &name, OFlag::O_WRONLY) {
                Ok(file) => return Ok((number, file)),
                // Another writer's, or one that was killed.
                Err(Errno::EEXIST) => number += 1,
                Err(errno) => return Err(FolderError::new("create", &self.path.join(name), errno)),
            }
        }
    }

    /// Gives a synced part its name, the first from its number on that no part has, and syncs the folder.
    pub fn publish_part(&self, number: u32) -> Result<(), FolderError> {
        let temporary = temporary_part_name(number);
        let mut name = part_name(number);
        for next in number + 1.. {
            match rename_new(self.folder.as_fd(), &temporary, &name) {
                // Another writer's.
                Err(Errno::EEXIST) => name = part_name(next),
                renamed => {
                    return renamed
                        .and_then(|()| fsync(&self.folder))
                        .map_err(|errno| FolderError::new("write", &self.path.join(&name), errno));
                }
            }
        }
        Err(FolderError::new("write", &self.path.join(&name), Errno::EEXIST))
    }

    /// Removes a file, if it is there.
    pub fn remove_file(&self, name: &str) {
        let _ = unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir);
    }
}

/// Folders made so far, removed again unless all went well.
#[derive(Default)]
struct Made(Vec<(OwnedFd, OsString)>);

impl Made {
    fn push(&mut self, parent: &OwnedFd, name: &OsString) -> Result<(), FolderError> {
        let parent = parent.try_clone().map_err(|source| FolderError::Io {
            verb: "open",
            path: name.into(),
            source,
        })?;
        self.0.push((parent, name.clone()));
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for (parent, name) in self.0.iter().rev() {
            let _ = unlinkat(parent, name.as_os_str(), UnlinkatFlags::RemoveDir);
        }
    }
}

/// Opens the folder `out`, made where it is missing. Links above it are the invoking user's own affair;
/// `out` itself may be one unless root would follow it.
fn open_or_make(out: &Path, made: &mut Made) -> Result<OwnedFd, FolderError> {
    let mut parts: Vec<Component> = out.components().collect();
    let last = parts.pop().ok_or(FolderError::Empty)?;
    let mut path = PathBuf::new();
    let start = |path: &str| {
        openat(AT_FDCWD, path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| FolderError::new("open", Path::new(path), errno))
    };
    let mut folder = start(if out.has_root() { "/" } else { "." })?;
    for part in parts.into_iter().filter(|part| *part != Component::RootDir) {
        path.push(part);
        folder = enter(&folder, part, &path, OFlag::O_PATH, made)?;
    }
    let follow = if Uid::effective().is_root() { OFlag::O_NOFOLLOW } else { OFlag::empty() };
    let last = if last == Component::RootDir { Component::CurDir } else { last };
    enter(&folder, last, out, OFlag::O_RDONLY | follow, made)
}

/// Opens a folder of a folder, made where it is missing.
fn enter(
    parent: &OwnedFd,
    part: Component,
    path: &Path,
    flags: OFlag,
    made: &mut Made,
) -> Result<OwnedFd, FolderError> {
    let name = part.as_os_str();
    let open = |flags| openat(parent, name, flags | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    match open(flags) {
        Ok(folder) => return Ok(folder),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(folder_error("open", parent, name.as_bytes(), path, errno)),
    }
    match mkdirat(parent, name, FOLDER_MODE) {
        Ok(()) => made.push(parent, &name.to_owned())?,
        // Another recorder made it meanwhile.
        Err(Errno::EEXIST) => {}
        Err(errno) => return Err(FolderError::new("create", path, errno)),
    }
    open(flags | OFlag::O_NOFOLLOW)
        .map_err(|errno| folder_error("open", parent, name.as_bytes(), path, errno))
}

fn open_folder(parent: &OwnedFd, name: &std::ffi::OsStr, path: &Path) -> Result<OwnedFd, FolderError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty())
        .map_err(|errno| folder_error("open", parent, name.as_bytes(), path, errno))
}

/// The kernel says "not a folder" of a link it may not follow: looks again to tell which.
fn folder_error(verb: &'static str, parent: &OwnedFd, name: &[u8], path: &Path, errno: Errno) -> FolderError {
    let is_link = errno == Errno::ENOTDIR
        && fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK);
    if is_link { FolderError::Symlink(path.to_owned()) } else { FolderError::new(verb, path, errno) }
}

/// The highest number of a run in a folder; 0 where there is none.
fn highest_run(out: &OwnedFd) -> Result<u64, Errno> {
    let folder = openat(out, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut highest = 0;
    for entry in Dir::from_fd(folder)?.iter() {
        let entry = entry?;
        highest = highest.max(entry.file_name().to_str().ok().and_then(run_number).unwrap_or(0));
    }
    Ok(highest)
}

/// The number of a run by its folder's name: at least three digits, as [`RunFolder::create`] names them.
pub fn run_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("run_")?;
    if digits.len() < 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Short of the greatest, so that a next one can always be counted.
    digits.parse().ok().filter(|&number| number < u64::MAX / 2)
}

fn create_file(folder: &OwnedFd, name: &str, access: OFlag) -> Result<File, Errno> {
    let flags = access | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(folder, name, flags, FILE_MODE)?;
    fchmod(&file, FILE_MODE)?;
    Ok(file.into())
}

/// Renames to a name that nothing has yet.
fn rename_new(folder: BorrowedFd, from: &str, to: &str) -> Result<(), Errno> {
    match renameat2(folder, from, folder, to, RenameFlags::RENAME_NOREPLACE) {
        // A file system that has no such renaming, as some over a network.
        Err(Errno::EINVAL | Errno::ENOSYS) => linkat(folder, from, folder, to, AtFlags::empty())
            .and_then(|()| unlinkat(folder, from, UnlinkatFlags::NoRemoveDir)),
        renamed => renamed,
    }
}

fn publish(folder: BorrowedFd, temporary: &str, name: &str, path: &Path) -> Result<(), FolderError> {
    renameat(folder, temporary, folder, name)
        .and_then(|()| fsync(folder))
        .map_err(|errno| FolderError::new("write", path, errno))
}
