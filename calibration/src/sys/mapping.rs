//! Anonymous memory, mapped and unmapped by the call itself.

use std::{io, os::fd::AsRawFd, ptr};

/// The size of a page, bytes.
pub fn page_bytes() -> usize {
    // SAFETY: no pointers; the value is a constant of the system.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// A private mapping, unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    address: *mut libc::c_void,
    bytes: usize,
}

// SAFETY: the mapping is owned, like a `Vec`, and tied to no thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `bytes` of fresh anonymous memory; `flags` are added to `MAP_PRIVATE | MAP_ANONYMOUS`.
    pub fn anonymous(bytes: usize, flags: i32) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags, -1, 0)
    }

    /// Maps `bytes` of a file from `offset` on, shared.
    pub fn file(file: &impl AsRawFd, bytes: usize, offset: i64) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_SHARED, file.as_raw_fd(), offset)
    }

    fn map(bytes: usize, flags: i32, fd: i32, offset: i64) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address, so no live memory is replaced.
        let address = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, fd, offset) };
        if address == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self { address, bytes })
        }
    }

    /// Where it begins, on a page.
    pub fn start(&self) -> *mut libc::c_void {
        self.address
    }

    /// Its bytes.
    pub fn address(&self) -> *mut u8 {
        self.address.cast()
    }

    /// Writes one byte to each page of `page_bytes`.
    pub fn write_pages(&self, page_bytes: usize) {
        for offset in (0..self.bytes).step_by(page_bytes) {
            // SAFETY: the offset lies inside the mapping, which is writable and unaliased.
            unsafe { self.address().add(offset).write_volatile(1) };
        }
    }

    /// Reads one byte of each page of `page_bytes`.
    pub fn read_pages(&self, page_bytes: usize) {
        for offset in (0..self.bytes).step_by(page_bytes) {
            // SAFETY: the offset lies inside the mapping, which is readable.
            unsafe { self.address().add(offset).read_volatile() };
        }
    }

    /// Tells the kernel how the memory will be used (`madvise`).
    pub fn advise(&self, advice: i32) -> io::Result<()> {
        // SAFETY: the range is this mapping's own, and its contents are not relied on.
        let result = unsafe { libc::madvise(self.address, self.bytes, advice) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping's own and nothing borrows it any more.
        unsafe { libc::munmap(self.address, self.bytes) };
    }
}
