//! Waiting for an instant of CLOCK_MONOTONIC: by a timer of the kernel, since tokio's have whole milliseconds.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{clock, units::MonoNs};

/// A timer; one wait at a time.
#[derive(Debug)]
pub struct Timer(AsyncFd<Handle>);

#[derive(Debug)]
struct Handle(TimerFd);

impl AsRawFd for Handle {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Timer {
    /// A timer of the event loop this is called in.
    ///
    /// # Errors
    ///
    /// The system has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        // SAFETY: the handle owns the descriptor, gives always that one, and closes it when the `AsyncFd` drops it.
        let registered = unsafe { AsyncFd::register_with_interest(Handle(timer), Interest::READABLE) };
        Ok(Self(registered.map_err(|error| error.into_parts().1)?))
    }

    /// Waits until then; not at all where that has been. Returns when it woke.
    ///
    /// # Errors
    ///
    /// None that a sound system has.
    pub async fn until(&mut self, at: MonoNs) -> io::Result<MonoNs> {
        loop {
            let now = clock::mono();
            if now >= at {
                return Ok(now);
            }
            let at = TimeSpec::new((at.0 / 1_000_000_000) as i64, (at.0 % 1_000_000_000) as i64);
            self.0.get_ref().0.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            let mut ready = self.0.readable().await?;
            match ready.get_inner().0.wait() {
                // Woken by an expiry of before; the loop looks at the clock.
                Ok(()) | Err(nix::Error::EAGAIN) => ready.clear_ready(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_does_not_end_early() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut timer = Timer::new().unwrap();
            for wait_ns in [0, 50_000, 700_000, 3_000_000] {
                let at = MonoNs(clock::mono().0 + wait_ns);
                assert!(timer.until(at).await.unwrap() >= at);
            }
            assert!(timer.until(MonoNs(1)).await.unwrap() > MonoNs(1), "what has been is not waited for");
        });
    }
}
