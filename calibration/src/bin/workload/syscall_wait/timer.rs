//! Waits for time to pass.

use std::{io, ptr};

use calibration::sys;

use super::{Kind, Wait};

pub(super) struct Sleep {
    kind: Kind,
    us: u64,
}

impl Sleep {
    pub(super) fn new(kind: Kind, us: u64) -> Self {
        Self { kind, us }
    }
}

impl Wait for Sleep {
    fn block(&self) -> io::Result<()> {
        let time = libc::timespec {
            tv_sec: (self.us / 1_000_000) as i64,
            tv_nsec: (self.us % 1_000_000 * 1000) as i64,
        };
        let (time, none) = (&raw const time as usize, ptr::null::<u8>() as usize);
        let clock = libc::CLOCK_MONOTONIC as usize;
        // SAFETY: the timespec is alive; the remaining time is not asked for.
        unsafe {
            match self.kind {
                Kind::Nanosleep => sys::syscall(libc::SYS_nanosleep, &[time, none]),
                _ => sys::syscall(libc::SYS_clock_nanosleep, &[clock, 0, time, none]),
            }
        }?;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        Ok(())
    }

    fn ends_by_itself(&self) -> bool {
        true
    }
}
