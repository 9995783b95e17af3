//! The signals that end a recording, and the event loop that takes them.

use anyhow::{Context as _, Result};
use tokio::{
    runtime::{self, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

/// The signals that hostprof takes from now on: none that comes later is lost, or ends the program.
pub struct Signals {
    /// Ctrl-C.
    pub interrupt: Signal,
    /// SIGTERM.
    pub terminate: Signal,
    /// The terminal is gone.
    pub hangup: Signal,
    /// A child ended.
    pub child: Signal,
}

impl Signals {
    /// Takes the signals, and the event loop in which they are awaited.
    ///
    /// # Errors
    ///
    /// The system has no file descriptor left.
    pub fn take() -> Result<(Runtime, Self)> {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().context("start an event loop")?;
        let entered = runtime.enter();
        let of = |kind| signal(kind).context("watch for signals");
        let signals = Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
            hangup: of(SignalKind::hangup())?,
            child: of(SignalKind::child())?,
        };
        drop(entered);
        Ok((runtime, signals))
    }
}
