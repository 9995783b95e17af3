//! The client's own pulse: a timer that should ring every 2 ms, and how late it was taken up. While the event loop
//! is busy or has no CPU, answers wait just as long; without this they would seem the server's.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
};

use hdrhistogram::Histogram;

use super::{stats::histogram, timer::Timer};
use crate::{clock, units::MonoNs};

/// Short enough to find a delay that matters, long enough to cost nothing: 500 wakeups a second.
const PERIOD_NS: u64 = 2_000_000;

/// How late the pulse was.
#[derive(Debug)]
pub struct Pulse {
    late_ns: RefCell<Histogram<u64>>,
    /// When it was late and how much, CLOCK_MONOTONIC, nanoseconds: only those that none after it exceeds.
    worst: RefCell<VecDeque<(u64, u64)>>,
    due: Cell<u64>,
}

/// So many lateness values, each smaller than that before, are not met; memory has a bound all the same.
const MOST_WORST: usize = 4096;

impl Pulse {
    /// One that has not been felt yet.
    pub fn new() -> Self {
        Self { late_ns: RefCell::new(histogram()), worst: RefCell::default(), due: Cell::new(0) }
    }

    /// Takes it until dropped.
    ///
    /// # Errors
    ///
    /// The timer failed.
    pub async fn take(&self) -> io::Result<()> {
        let mut timer = Timer::new()?;
        let mut due = clock::mono().0;
        loop {
            due += PERIOD_NS;
            self.due.set(due);
            let now = timer.until(MonoNs(due)).await?.0;
            self.note(now, now - due);
            // What was missed is one delay, not many.
            due += (now - due) / PERIOD_NS * PERIOD_NS;
            tokio::task::yield_now().await;
        }
    }

    fn note(&self, now: u64, late_ns: u64) {
        self.late_ns.borrow_mut().saturating_record(late_ns);
        let mut worst = self.worst.borrow_mut();
        while worst.back().is_some_and(|(_, ns)| *ns <= late_ns) {
            worst.pop_back();
        }
        if worst.len() == MOST_WORST {
            worst.pop_front();
        }
        worst.push_back((now, late_ns));
    }

    /// The most it was late since then, nanoseconds: also now, where it is overdue.
    pub fn worst_since(&self, since: u64) -> u64 {
        let worst = self.worst.borrow();
        let first = worst.partition_point(|(at, _)| *at < since);
        let told = worst.get(first).map_or(0, |(_, late_ns)| *late_ns);
        let due = self.due.get();
        let overdue = if due == 0 { 0 } else { clock::mono().0.saturating_sub(due.max(since)) };
        told.max(overdue)
    }

    /// All of it so far.
    pub fn late_ns(&self) -> Histogram<u64> {
        self.late_ns.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_since_an_instant_is_found() {
        let pulse = Pulse::new();
        for (at, late) in [(10, 5), (20, 900), (30, 3), (40, 70), (50, 7), (60, 7)] {
            pulse.note(at, late);
        }
        for (since, expected) in [(0, 900), (20, 900), (21, 70), (40, 70), (41, 7), (60, 7), (61, 0)] {
            assert_eq!(pulse.worst_since(since), expected, "since {since}");
        }
        assert_eq!(pulse.late_ns().len(), 6);
    }

    #[test]
    fn memory_has_a_bound() {
        let pulse = Pulse::new();
        for at in 0..10_000 {
            pulse.note(at, 20_000 - at);
        }
        assert_eq!(pulse.worst.borrow().len(), MOST_WORST);
    }
}
