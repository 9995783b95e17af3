//! What is done beside a recording, on a thread of its own: it may take its time, and what it holds up must not be
//! the rest.

use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

/// A thread that goes on until it is told to end, and then tells what it came to.
pub struct Aside<T> {
    end: Sender<()>,
    told: Receiver<T>,
}

impl<T: Send + 'static> Aside<T> {
    /// Starts it; `body` is to end once it receives something, or nobody can send any more.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start(name: &str, body: impl FnOnce(&Receiver<()>) -> T + Send + 'static) -> io::Result<Self> {
        let (end, ended) = channel();
        let (tell, told) = channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nobody listens once patience is at an end.
            let _ = tell.send(body(&ended));
        })?;
        Ok(Self { end, told })
    }

    /// Tells it to end, and waits for what it tells, at most so long.
    ///
    /// # Errors
    ///
    /// It takes longer; or it is gone, and has told why or panicked and said so.
    pub fn finish(self, patience: Duration) -> Result<T, RecvTimeoutError> {
        let _ = self.end.send(());
        self.told.recv_timeout(patience)
    }
}
