//! Waits on a word: `futex`, `futex_waitv` and `futex_wait`.

use std::{
    io,
    sync::atomic::{AtomicU32, Ordering},
};

use calibration::sys::{self, futex};

use super::{Kind, Wait};

/// `futex_wait`, from 6.7 on.
pub(super) const SYS_FUTEX_WAIT: i64 = 455;

/// `FUTEX2_SIZE_U32 | FUTEX2_PRIVATE`.
const U32_PRIVATE: u32 = 2 | 128;

/// `struct futex_waitv`.
#[repr(C)]
struct Waitv {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

pub(super) struct Word {
    kind: Kind,
    word: AtomicU32,
}

impl Word {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, word: AtomicU32::new(0) }
    }
}

impl Wait for Word {
    fn block(&self) -> io::Result<()> {
        let value = self.word.load(Ordering::Acquire);
        let address = self.word.as_ptr() as usize;
        match self.kind {
            Kind::FutexWaitv => {
                let one =
                    Waitv { value: value.into(), address: address as u64, flags: U32_PRIVATE, reserved: 0 };
                let arguments = [&raw const one as usize, 1, 0, 0, 0];
                // SAFETY: one live waiter, which names a live word; no timeout.
                unsafe { sys::syscall(libc::SYS_futex_waitv, &arguments) }?;
            }
            Kind::FutexWait => {
                let arguments = [address, value as usize, u32::MAX as usize, U32_PRIVATE as usize, 0, 0];
                // SAFETY: the word is alive; no timeout.
                unsafe { sys::syscall(SYS_FUTEX_WAIT, &arguments) }?;
            }
            _ => {
                futex::wait(&self.word, value, None);
            }
        }
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        self.word.fetch_add(1, Ordering::AcqRel);
        futex::wake(&self.word, 1);
        Ok(())
    }
}
