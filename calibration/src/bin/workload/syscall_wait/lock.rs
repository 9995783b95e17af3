//! Waits for a file lock and for a System V message.

use std::{
    fs::{self, File},
    io,
    os::fd::AsRawFd,
};

use calibration::sys;

use super::Wait;

/// A file lock that another open file holds.
pub(super) struct FileLock {
    ours: File,
    theirs: File,
}

impl FileLock {
    pub(super) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("workload-flock-{}", std::process::id()));
        let (ours, theirs) = (File::create(&path)?, File::create(&path)?);
        fs::remove_file(&path)?;
        Ok(Self { ours, theirs })
    }
}

fn flock(file: &File, operation: i32) -> io::Result<()> {
    // SAFETY: integers only; the descriptor is open.
    unsafe { sys::syscall(libc::SYS_flock, &[file.as_raw_fd() as usize, operation as usize]) }.map(|_| ())
}

impl Wait for FileLock {
    fn prepare(&self) -> io::Result<()> {
        flock(&self.theirs, libc::LOCK_EX)
    }

    fn block(&self) -> io::Result<()> {
        flock(&self.ours, libc::LOCK_EX)
    }

    fn wake(&self) -> io::Result<()> {
        flock(&self.theirs, libc::LOCK_UN)
    }

    fn settle(&self) -> io::Result<()> {
        flock(&self.ours, libc::LOCK_UN)
    }
}

/// A message queue with nothing in it, removed when dropped.
pub(super) struct MessageQueue {
    queue: usize,
}

/// `struct msgbuf` with one byte of text.
#[repr(C)]
struct Message {
    kind: i64,
    text: [u8; 1],
}

impl MessageQueue {
    pub(super) fn new() -> io::Result<Self> {
        let private = libc::IPC_PRIVATE as usize;
        // SAFETY: integers only.
        let queue = unsafe { sys::syscall(libc::SYS_msgget, &[private, 0o600]) }?;
        Ok(Self { queue })
    }
}

impl Wait for MessageQueue {
    fn block(&self) -> io::Result<()> {
        let mut message = Message { kind: 0, text: [0] };
        // SAFETY: the message is alive and has room for one byte of text.
        unsafe { sys::syscall(libc::SYS_msgrcv, &[self.queue, &raw mut message as usize, 1, 0, 0]) }?;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        let message = Message { kind: 1, text: [1] };
        // SAFETY: the message is alive and has one byte of text.
        unsafe { sys::syscall(libc::SYS_msgsnd, &[self.queue, &raw const message as usize, 1, 0]) }?;
        Ok(())
    }
}

impl Drop for MessageQueue {
    fn drop(&mut self) {
        // SAFETY: integers only. A queue that is left over is small, and `ipcrm` removes it.
        let _ = unsafe { sys::syscall(libc::SYS_msgctl, &[self.queue, libc::IPC_RMID as usize, 0]) };
    }
}
