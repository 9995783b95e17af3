//! Real-time priority with a bound: a thread that takes more of a second than it may is an ordinary one for the next.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use super::priority::{self, DrainPriority};
use crate::clock;

/// The most of a second that what folds and what encodes may spend at its priority.
const WORK_DUTY: f64 = 0.5;

/// Keeps a thread of real-time priority from taking a CPU for itself.
pub struct DutyGuard {
    priority: DrainPriority,
    most: f64,
    raised: bool,
    since: Instant,
    used_ns: u64,
}

impl DutyGuard {
    /// Raises the calling thread, for at most that share of any second.
    pub fn new(priority: DrainPriority, most: f64) -> Self {
        priority::raise(priority);
        Self { priority, most, raised: true, since: Instant::now(), used_ns: clock::thread_cpu_ns() }
    }

    /// Looks once a second what the thread has used. To be called by it, now and then.
    pub fn check(&mut self) {
        let elapsed = self.since.elapsed();
        if elapsed < Duration::from_secs(1) {
            return;
        }
        let used_ns = clock::thread_cpu_ns();
        let duty = (used_ns - self.used_ns) as f64 / elapsed.as_nanos() as f64;
        if duty > self.most && self.raised {
            priority::lower();
            self.raised = false;
        } else if duty <= self.most && !self.raised {
            priority::raise(self.priority);
            self.raised = true;
        }
        self.since = Instant::now();
        self.used_ns = used_ns;
    }
}

/// Makes sure that the calling thread, which folds or encodes, gets a CPU that others want all the time: they may be of
/// another session or control group, where no nice value of this one counts. To be called at its start and with each part
/// of its work.
pub fn work() {
    thread_local! {
        static GUARD: RefCell<Option<DutyGuard>> = const { RefCell::new(None) };
    }
    let begin = || {
        priority::prefer();
        DutyGuard::new(DrainPriority::Auto, WORK_DUTY)
    };
    GUARD.with_borrow_mut(|guard| guard.get_or_insert_with(begin).check());
}
