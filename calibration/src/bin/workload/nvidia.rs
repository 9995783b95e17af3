//! A thread that calls a pseudo-terminal as if it were the NVIDIA driver's devices: hostprof is told to take it for them.
//!
//! The terminal refuses most of the calls (ENOTTY) and touches no structure, so what hostprof tells of one was read from
//! this program's memory. One number is a call that every device has: the kernel writes to its structure and returns 0.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsRawFd as _, FromRawFd as _},
};

use anyhow::{Context as _, Result};
use calibration::sys;
use serde_json::json;

use crate::{calls::terminal, report::Report, thread};

/// What the calls ask for, and what stands in their structures as answer.
const COMMAND: u32 = 0x2080_1303;
const UNKNOWN_COMMAND: u32 = 0x2080_a026;
const MEMORY_CLASS: u32 = 0x40;
const MEMORY_BYTES: u64 = 64 << 20;
const RANGE_BYTES: u64 = 2 << 20;
const NO_MEMORY: u32 = 0x51;
const NOT_SUPPORTED: u32 = 0x56;
const PAGE: usize = 4096;

const CONTROL: usize = 0xc020_462a;
const CONTROL_OF_ANOTHER_SIZE: usize = 0xc028_462a;
const ALLOC: usize = 0xc030_462b;
const XFER: usize = 0xc010_46d3;
const UVM_CREATE_EXTERNAL_RANGE: usize = 73;
const UVM_SET_PREFERRED_LOCATION: usize = 42;
/// `UVM_RELEASE_VA`, with its length at 8 and its status at 16; of any file `FIGETBSZ`, which writes a word at 0.
const UVM_RELEASE_VA: usize = 2;

/// A structure of the driver.
#[repr(align(8))]
struct Structure<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Structure<BYTES> {
    const fn new() -> Self {
        Self([0; BYTES])
    }
    fn word(mut self, offset: usize, value: u32) -> Self {
        self.0[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        self
    }
    fn long(mut self, offset: usize, value: u64) -> Self {
        self.0[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        self
    }
    fn address(&mut self) -> usize {
        self.0.as_mut_ptr() as usize
    }
}

/// Makes a call that the terminal refuses.
fn refused(fd: i32, request: usize, structure: usize) -> io::Result<()> {
    // SAFETY: a terminal does not know the request, and touches nothing.
    let result = unsafe { sys::syscall(libc::SYS_ioctl, &[fd as usize, request, structure]) };
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ENOTTY) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("a terminal took a request of another driver")),
    }
}

/// Makes the call that every device has; a word at the structure's begin is written.
fn answered(fd: i32, structure: usize) -> io::Result<()> {
    // SAFETY: the caller's structure has room for a word.
    unsafe { sys::syscall(libc::SYS_ioctl, &[fd as usize, UVM_RELEASE_VA, structure]) }.map(drop)
}

/// `count` rounds of every kind of call.
pub(crate) fn run(report: &Report, count: u64) -> Result<()> {
    let (master, slave) = terminal().context("open a pseudo-terminal")?;
    report.ready("nvidia", json!({"frontend_fd": slave.as_raw_fd(), "uvm_fd": master.as_raw_fd()}));
    let caller = thread::start("caller", move || rounds((slave.as_raw_fd(), master.as_raw_fd()), count))?;
    let caller_tid = caller.tid();
    caller.join(report)?.context("make the calls")?;
    report.done(json!({"caller_tid": caller_tid, "rounds": count}));
    Ok(())
}

fn rounds((frontend, uvm): (i32, i32), count: u64) -> io::Result<()> {
    let mut params = Structure::<128>::new().long(64, MEMORY_BYTES);
    let mut real = Structure::<32>::new().word(8, UNKNOWN_COMMAND).word(28, NOT_SUPPORTED);
    let mut xfer = Structure::<16>::new().word(0, 42).word(4, 32).long(8, real.address() as u64);
    let mut control = Structure::<32>::new().word(8, COMMAND).word(28, NO_MEMORY);
    let mut longer = Structure::<40>::new().word(8, COMMAND);
    let mut alloc = Structure::<48>::new().word(12, MEMORY_CLASS).long(16, params.address() as u64);
    let mut range = Structure::<24>::new().long(8, RANGE_BYTES);
    let mut location = Structure::<40>::new().long(8, RANGE_BYTES);
    let mut release = Structure::<24>::new().long(8, RANGE_BYTES).word(16, NOT_SUPPORTED);
    let page = Structure::<PAGE>::new().long(8, RANGE_BYTES).word(16, NO_MEMORY);
    // SAFETY: a name that ends; the call opens a descriptor that nobody else owns.
    let mut file = unsafe {
        File::from_raw_fd(sys::syscall(libc::SYS_memfd_create, &[c"page".as_ptr() as usize, 0])? as i32)
    };
    file.write_all(&page.0)?;
    for _ in 0..count {
        refused(frontend, CONTROL, control.address())?;
        refused(frontend, ALLOC, alloc.address())?;
        refused(frontend, XFER, xfer.address())?;
        refused(frontend, CONTROL_OF_ANOTHER_SIZE, longer.address())?;
        refused(uvm, UVM_CREATE_EXTERNAL_RANGE, range.address())?;
        refused(uvm, UVM_SET_PREFERRED_LOCATION, location.address())?;
        release = release.word(0, 0);
        answered(uvm, release.address())?;
        // Pages that nothing has touched: the kernel half may not wait for them. The second call's answer is in the file,
        // and comes into memory when the kernel writes to the page.
        on_fresh_page(None, |page| refused(frontend, CONTROL, page))?;
        on_fresh_page(Some(&file), |page| answered(uvm, page))?;
    }
    Ok(())
}

/// Calls with the address of a private mapping that nothing has touched: of a file, or of nothing.
fn on_fresh_page(file: Option<&File>, call: impl FnOnce(usize) -> io::Result<()>) -> io::Result<()> {
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let (flags, fd) = match file {
        Some(file) => (libc::MAP_PRIVATE, file.as_raw_fd() as usize),
        None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, usize::MAX),
    };
    // SAFETY: a new mapping that nothing points into once it ends.
    unsafe {
        let page = sys::syscall(libc::SYS_mmap, &[0, PAGE, protection, flags as usize, fd, 0])?;
        let called = call(page);
        sys::syscall(libc::SYS_munmap, &[page, PAGE])?;
        called
    }
}
