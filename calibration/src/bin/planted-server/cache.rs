//! The engine's cache: a lock, and threads that hold it for a moment now and then, or for long when told to.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use crate::work::Pace;

/// Who keeps it.
const KEEPERS: [&str; 3] = ["metrics", "evictor", "logger"];
/// How often, and for how long they hold the lock.
const EVERY: Duration = Duration::from_millis(50);
const MOMENT_US: u64 = 20;

/// How a thread passes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Sleep,
    Compute,
}

impl How {
    /// From its word.
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "sleep" => Some(Self::Sleep),
            "compute" => Some(Self::Compute),
            _ => None,
        }
    }

    /// Passes time.
    pub fn pass(self, pace: Pace, us: u64) {
        match self {
            Self::Sleep => thread::sleep(Duration::from_micros(us)),
            Self::Compute => pace.work(us),
        }
    }
}

/// One of them: its name, and where it takes orders to hold the lock for so many microseconds.
type Keeper = (&'static str, Sender<(u64, How)>);

/// The cache.
pub struct Cache {
    lock: Arc<Mutex<u64>>,
    keepers: Mutex<Vec<Keeper>>,
}

fn take(lock: &Mutex<u64>) -> MutexGuard<'_, u64> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// Starts its keepers.
    pub fn start(pace: Pace) -> io::Result<Self> {
        let lock = Arc::new(Mutex::new(0));
        let mut keepers = Vec::new();
        for name in KEEPERS {
            let (order, orders) = channel();
            let lock = Arc::clone(&lock);
            let body = move || {
                loop {
                    match orders.recv_timeout(EVERY) {
                        Ok((us, how)) => {
                            let held = take(&lock);
                            How::pass(how, pace, us);
                            drop(held);
                        }
                        Err(RecvTimeoutError::Timeout) => {
                            let mut held = take(&lock);
                            pace.work(MOMENT_US);
                            *held += 1;
                        }
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
            };
            thread::Builder::new().name(name.to_owned()).spawn(body)?;
            keepers.push((name, order));
        }
        Ok(Self { lock, keepers: Mutex::new(keepers) })
    }

    /// What the engine does with it in each step.
    pub fn step(&self) {
        *take(&self.lock) += 1;
    }

    /// Has a keeper hold the lock. Whether there is one of that name.
    pub fn hold(&self, name: &str, us: u64, how: How) -> bool {
        let keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        keepers.iter().any(|(keeper, order)| *keeper == name && order.send((us, how)).is_ok())
    }
}
