//! Waits for a pipe to have something or room, and for a file to be on its disk.

use std::{
    fs::{self, File},
    io::{self, PipeReader, PipeWriter, Read, Write, pipe},
    os::fd::AsRawFd,
    path::PathBuf,
};

use calibration::sys::{self, mapping::page_bytes};

use super::{Kind, Wait};

/// A pipe with nothing in it, to read from.
pub(super) struct EmptyPipe {
    kind: Kind,
    reader: PipeReader,
    writer: PipeWriter,
}

impl EmptyPipe {
    pub(super) fn new(kind: Kind) -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        Ok(Self { kind, reader, writer })
    }
}

impl Wait for EmptyPipe {
    fn block(&self) -> io::Result<()> {
        let mut byte = 0_u8;
        let fd = self.reader.as_raw_fd() as usize;
        let part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
        // SAFETY: one live byte is written to, or one live iovec that names it.
        unsafe {
            match self.kind {
                Kind::Readv => sys::syscall(libc::SYS_readv, &[fd, &raw const part as usize, 1]),
                _ => sys::syscall(libc::SYS_read, &[fd, &raw mut byte as usize, 1]),
            }
        }?;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        (&self.writer).write_all(&[1])
    }
}

/// A pipe of one page that is full, to write to: each page read lets one more in.
pub(super) struct FullPipe {
    kind: Kind,
    reader: PipeReader,
    writer: PipeWriter,
    page: Vec<u8>,
}

impl FullPipe {
    pub(super) fn new(kind: Kind) -> io::Result<Self> {
        let (reader, writer) = pipe()?;
        let page = vec![0; page_bytes()];
        // SAFETY: integers only; the descriptor is open.
        if unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, page.len() as i32) } < 0 {
            return Err(io::Error::last_os_error());
        }
        (&writer).write_all(&page)?;
        Ok(Self { kind, reader, writer, page })
    }
}

impl Wait for FullPipe {
    fn block(&self) -> io::Result<()> {
        let fd = self.writer.as_raw_fd() as usize;
        let part = libc::iovec { iov_base: self.page.as_ptr().cast_mut().cast(), iov_len: self.page.len() };
        // SAFETY: the page is alive and only read, by its address or by one live iovec.
        unsafe {
            match self.kind {
                Kind::Writev => sys::syscall(libc::SYS_writev, &[fd, &raw const part as usize, 1]),
                _ => sys::syscall(libc::SYS_write, &[fd, self.page.as_ptr() as usize, self.page.len()]),
            }
        }?;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        (&self.reader).read_exact(&mut vec![0; self.page.len()])
    }
}

/// A file with something new to write back.
pub(super) struct Synced {
    kind: Kind,
    file: File,
}

impl Synced {
    pub(super) fn new(kind: Kind, path: Option<PathBuf>) -> io::Result<Self> {
        let path = path
            .unwrap_or_else(|| std::env::temp_dir().join(format!("workload-fsync-{}", std::process::id())));
        let file = File::create(&path)?;
        fs::remove_file(&path)?;
        Ok(Self { kind, file })
    }
}

impl Wait for Synced {
    fn prepare(&self) -> io::Result<()> {
        (&self.file).write_all(&vec![7; 64 << 10])
    }

    fn block(&self) -> io::Result<()> {
        let number = if self.kind == Kind::Fsync { libc::SYS_fsync } else { libc::SYS_fdatasync };
        // SAFETY: integers only; the descriptor is open.
        unsafe { sys::syscall(number, &[self.file.as_raw_fd() as usize]) }?;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        Ok(())
    }

    fn ends_by_itself(&self) -> bool {
        true
    }
}
