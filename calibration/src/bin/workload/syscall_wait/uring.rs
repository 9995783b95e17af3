//! Waits for an `io_uring` completion: one poll of an eventfd at a time, with rings of one entry.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::atomic::{AtomicU32, Ordering},
};

use calibration::sys::{self, mapping::Mapping};

use super::{Wait, owned};

/// `struct io_uring_params`, with the offsets of both rings.
#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    sq: RingOffsets,
    cq: RingOffsets,
}

/// `struct io_sqring_offsets` and `struct io_cqring_offsets` as far as both agree.
#[repr(C)]
#[derive(Default)]
struct RingOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    /// Submission: flags, dropped, array. Completion: overflow, cqes, flags.
    others: [u32; 3],
    reserved: u32,
    user_address: u64,
}

/// `struct io_uring_sqe`, as far as a poll needs it.
#[repr(C)]
struct Submission {
    opcode: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    length: u32,
    poll_events: u32,
    user_value: u64,
    rest: [u64; 3],
}

const POLL_ADD: u8 = 6;
const ENTER_GETEVENTS: usize = 1;
const OFFSET_SUBMISSIONS: i64 = 0x1000_0000;

const _: () = assert!(size_of::<Params>() == 120 && size_of::<Submission>() == 64);

pub(super) struct Uring {
    fd: OwnedFd,
    event: OwnedFd,
    params: Params,
    rings: Mapping,
    submissions: Mapping,
}

// SAFETY: only the waiter touches the mappings; the waker writes to the eventfd.
unsafe impl Sync for Uring {}

impl Uring {
    pub(super) fn new() -> io::Result<Self> {
        let mut params = Params::default();
        // SAFETY: the parameters are alive and of the kernel's size; both calls open a descriptor.
        let (fd, event) = unsafe {
            let fd = owned(sys::syscall(libc::SYS_io_uring_setup, &[1, &raw mut params as usize]))?;
            let event = owned(sys::syscall(libc::SYS_eventfd2, &[0, libc::EFD_CLOEXEC as usize]))?;
            (fd, event)
        };
        // One page holds both rings of one entry (5.4 and later map them together).
        let rings = Mapping::file(&fd, 4096, 0)?;
        let submissions = Mapping::file(&fd, 4096, OFFSET_SUBMISSIONS)?;
        Ok(Self { fd, event, params, rings, submissions })
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel's offsets are aligned and inside the page; the kernel too uses it atomically.
        unsafe { AtomicU32::from_ptr(self.rings.address().add(offset as usize).cast()) }
    }
}

impl Wait for Uring {
    fn prepare(&self) -> io::Result<()> {
        let poll = Submission {
            opcode: POLL_ADD,
            flags: 0,
            priority: 0,
            fd: self.event.as_raw_fd(),
            offset: 0,
            address: 0,
            length: 0,
            poll_events: libc::POLLIN as u32,
            user_value: 1,
            rest: [0; 3],
        };
        // SAFETY: the first entry lies at the start of its page; nothing is submitted at present.
        unsafe { self.submissions.start().cast::<Submission>().write(poll) };
        let [_, _, array] = self.params.sq.others;
        self.word(array).store(0, Ordering::Relaxed);
        self.word(self.params.sq.tail).fetch_add(1, Ordering::Release);
        Ok(())
    }

    fn block(&self) -> io::Result<()> {
        let fd = self.fd.as_raw_fd() as usize;
        // SAFETY: one entry is submitted, which names an open descriptor and no memory; no signal mask.
        unsafe { sys::syscall(libc::SYS_io_uring_enter, &[fd, 1, 1, ENTER_GETEVENTS, 0, 0]) }?;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        let one = 1_u64;
        // SAFETY: eight bytes are read from a live word.
        unsafe {
            sys::syscall(libc::SYS_write, &[self.event.as_raw_fd() as usize, &raw const one as usize, 8])
        }?;
        Ok(())
    }

    fn settle(&self) -> io::Result<()> {
        let mut count = 0_u64;
        // SAFETY: eight bytes are written to a live word.
        unsafe {
            sys::syscall(libc::SYS_read, &[self.event.as_raw_fd() as usize, &raw mut count as usize, 8])
        }?;
        let tail = self.word(self.params.cq.tail).load(Ordering::Acquire);
        self.word(self.params.cq.head).store(tail, Ordering::Release);
        Ok(())
    }
}
