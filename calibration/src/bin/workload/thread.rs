//! Named threads that tell their tid and their counters, and whether one is asleep.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use calibration::sys::{gettid, usage::Usage};

use crate::{report::Report, stop};

/// A thread on its way.
pub(crate) struct Running<T> {
    name: String,
    tid: Arc<AtomicU32>,
    handle: JoinHandle<(T, Usage)>,
}

/// Starts a thread; SIGTERM is left to the main thread.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Running<T>> {
    let tid = Arc::new(AtomicU32::new(0));
    let told = Arc::clone(&tid);
    let handle = Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            stop::leave_to_main();
            told.store(gettid(), Ordering::Release);
            let result = work();
            (result, Usage::of_this_thread())
        })
        .context("start a thread")?;
    Ok(Running { name: name.to_owned(), tid, handle })
}

impl<T> Running<T> {
    /// The thread's id, once it runs.
    pub(crate) fn tid(&self) -> u32 {
        loop {
            match self.tid.load(Ordering::Acquire) {
                0 => std::thread::sleep(Duration::from_micros(50)),
                tid => return tid,
            }
        }
    }

    /// Waits for the thread and prints its counters.
    pub(crate) fn join(self, report: &Report) -> Result<T> {
        let (result, usage) = self.handle.join().map_err(|_| anyhow!("join {}: it panicked", self.name))?;
        report.usage(&self.name, &usage);
        Ok(result)
    }
}

/// Whether a thread of this process is asleep, and has switched out by its own will more than
/// `switches` times. The state alone is set a moment before the thread is off its CPU.
pub(crate) fn is_asleep(tid: u32, switches: u64) -> Result<bool> {
    let path = format!("/proc/self/task/{tid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim);
    let state = field("State:").starts_with(['S', 'D']);
    let count: u64 = field("voluntary_ctxt_switches:").parse().context("read voluntary_ctxt_switches")?;
    Ok(state && count > switches)
}

/// Waits until a thread is asleep (see [`is_asleep`]) or `given_up` says to stop waiting.
pub(crate) fn wait_until_asleep(tid: u32, switches: u64, given_up: impl Fn() -> bool) -> Result<()> {
    while !is_asleep(tid, switches)? && !given_up() {
        std::thread::sleep(Duration::from_micros(50));
    }
    Ok(())
}
