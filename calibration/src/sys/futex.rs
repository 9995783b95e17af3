//! The futex call itself, private to the process, so that each wait can be counted.

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::syscall;

/// How a `FUTEX_WAIT` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Another thread woke it.
    ByWake,
    /// The word had already another value: the call did not wait.
    Changed,
    /// A signal or the timeout ended it.
    Early,
}

/// Waits while `word` is `value`, for at most `timeout`: exactly one `FUTEX_WAIT`.
pub fn wait(word: &AtomicU32, value: u32, timeout: Option<Duration>) -> Woken {
    let time =
        timeout.map(|t| libc::timespec { tv_sec: t.as_secs() as i64, tv_nsec: i64::from(t.subsec_nanos()) });
    let time: *const libc::timespec = time.as_ref().map_or(std::ptr::null(), |t| t);
    let operation = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    // SAFETY: the word and the timespec outlive the call; the kernel only reads them.
    let result = unsafe {
        syscall(libc::SYS_futex, &[word.as_ptr() as usize, operation, value as usize, time as usize])
    };
    match result {
        Ok(_) => Woken::ByWake,
        Err(err) if err.raw_os_error() == Some(libc::EAGAIN) => Woken::Changed,
        Err(_) => Woken::Early,
    }
}

/// Wakes up to `threads` waiters of `word` and returns how many were woken.
pub fn wake(word: &AtomicU32, threads: u32) -> usize {
    let operation = (libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG) as usize;
    let threads = threads.min(i32::MAX as u32) as usize;
    // SAFETY: FUTEX_WAKE uses the address as a key only; the word is alive.
    let result: io::Result<usize> =
        unsafe { syscall(libc::SYS_futex, &[word.as_ptr() as usize, operation, threads]) };
    result.unwrap_or(0)
}

/// Counts of one thread's waits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits {
    /// Waits that another thread ended.
    pub woken: u64,
    /// Waits that found the word changed.
    pub missed: u64,
}

impl Waits {
    /// Waits until `word` is no longer `value`, calling `FUTEX_WAIT` at least once, and never spins.
    pub fn until_changed(&mut self, word: &AtomicU32, value: u32) -> u32 {
        loop {
            match wait(word, value, None) {
                Woken::ByWake => self.woken += 1,
                Woken::Changed => self.missed += 1,
                Woken::Early => {}
            }
            let now = word.load(Ordering::Acquire);
            if now != value {
                return now;
            }
        }
    }
}
