//! SIGTERM: the main thread takes it, the word changes, and whoever waits on the word wakes.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use calibration::sys::futex;

/// 0 while the workload is to run, then 1. Only waited on with `FUTEX_WAIT`.
pub(crate) static STOP: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_sigterm(_signal: i32) {
    // An atomic store and a system call: both may be made in a signal handler.
    STOP.store(1, Ordering::Release);
    futex::wake(&STOP, u32::MAX);
}

/// Installs the handler in the calling thread's process and lets the calling thread take the signal,
/// also where a blocked mask came through an exec.
pub(crate) fn install() {
    handle(libc::SIGTERM, on_sigterm);
    mask(libc::SIG_UNBLOCK);
}

/// Leaves SIGTERM to the main thread.
pub(crate) fn leave_to_main() {
    mask(libc::SIG_BLOCK);
}

/// Installs a handler that interrupts system calls.
pub(crate) fn handle(signal: i32, handler: extern "C" fn(i32)) {
    // SAFETY: a zeroed sigaction is valid (no flags, empty mask); the handler is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

fn mask(how: i32) {
    // SAFETY: the set is a live sigset_t, emptied before use.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

pub(crate) fn requested() -> bool {
    STOP.load(Ordering::Relaxed) != 0
}

/// Waits for SIGTERM.
pub(crate) fn wait() {
    while !requested() {
        futex::wait(&STOP, 0, None);
    }
}

/// Waits for SIGTERM for at most `time`.
pub(crate) fn wait_at_most(time: Duration) {
    let end = Instant::now() + time;
    while !requested() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        futex::wait(&STOP, 0, Some(left));
    }
}
