//! Waits for a child process to exit.

use std::{
    io::{self, PipeWriter, pipe},
    os::fd::AsRawFd,
    sync::{
        Mutex,
        atomic::{AtomicI32, Ordering},
    },
};

use calibration::sys;

use super::{Kind, Wait};

pub(super) struct Child {
    kind: Kind,
    pid: AtomicI32,
    /// Closing it lets the child exit. Held by one thread at a time: before the wait and during it.
    leash: Mutex<Option<PipeWriter>>,
}

impl Child {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, pid: AtomicI32::new(0), leash: Mutex::new(None) }
    }

    fn leash(&self, held: Option<PipeWriter>) -> io::Result<()> {
        *self.leash.lock().map_err(|_| io::Error::other("poisoned"))? = held;
        Ok(())
    }
}

impl Wait for Child {
    fn prepare(&self) -> io::Result<()> {
        let (reader, writer) = pipe()?;
        let mut byte = 0_u8;
        // SAFETY: the child makes only calls that may follow a fork in a process with threads: it closes
        // its copy of the leash, waits for the parent's to be closed, and exits.
        let child = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::close(writer.as_raw_fd());
                libc::read(reader.as_raw_fd(), (&raw mut byte).cast(), 1);
                libc::_exit(0);
            }
            child
        };
        if child < 0 {
            return Err(io::Error::last_os_error());
        }
        self.pid.store(child, Ordering::Release);
        self.leash(Some(writer))
    }

    fn block(&self) -> io::Result<()> {
        let pid = self.pid.load(Ordering::Acquire) as usize;
        let mut status = 0_i32;
        // SAFETY: an all-zero siginfo is valid, and the kernel fills it; so it does the status.
        unsafe {
            match self.kind {
                Kind::Waitid => {
                    let mut found: libc::siginfo_t = std::mem::zeroed();
                    let found = &raw mut found as usize;
                    let arguments = [libc::P_PID as usize, pid, found, libc::WEXITED as usize, 0];
                    sys::syscall(libc::SYS_waitid, &arguments)
                }
                _ => sys::syscall(libc::SYS_wait4, &[pid, &raw mut status as usize, 0, 0]),
            }
        }?;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        self.leash(None)
    }
}
