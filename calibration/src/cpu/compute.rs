//! compute-heavy: threads of long arithmetic that meet at a futex barrier after each round.
//!
//! In each round one thread does the full size and the others five eighths of it, in turn, so that all
//! but the last one to arrive really wait.

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use anyhow::Result;

use super::{Done, Plan, churn, counted, finish, start};
use crate::sys::futex::{self, Waits};

/// Arithmetic steps of one operation: about 1.7 ms at 3 GHz.
const STEPS_PER_BLOCK: u64 = 1 << 20;

/// Blocks in a full round by default: about 27 ms at 3 GHz.
pub(super) const BLOCKS_PER_ROUND: u64 = 16;

pub(super) fn run(plan: &Plan) -> Result<Done> {
    let stop = AtomicBool::new(false);
    let barrier = Barrier::new(plan.threads as u32);
    let threads = std::thread::scope(|scope| {
        let workers = (0..plan.threads)
            .map(|i| {
                let (barrier, stop) = (&barrier, &stop);
                start(scope, &format!("compute-{i}"), move || Ok(rounds(plan, i as u64, barrier, stop)))
            })
            .collect::<Result<Vec<_>>>()?;
        finish(plan, &stop, workers)
    })?;
    Ok(Done {
        operations: threads.iter().map(|t| t.operations).sum(),
        barriers: u64::from(barrier.generation.load(Ordering::Relaxed)),
        threads,
    })
}

/// One thread's rounds. `--ops` counts the blocks of each thread, to the end of its round.
fn rounds(plan: &Plan, me: u64, barrier: &Barrier, stop: &AtomicBool) -> crate::truth::ThreadTruth {
    let mut waits = Waits::default();
    let mut blocks = 0;
    let mut most_blocks = 0;
    let mut round = 0;
    loop {
        let share = if round % plan.threads as u64 == me { plan.size } else { (plan.size * 5 / 8).max(1) };
        for block in 0..share {
            black_box(churn(black_box(round + block), STEPS_PER_BLOCK));
        }
        blocks += share;
        most_blocks += plan.size;
        round += 1;
        // The last one to arrive decides for all: they leave after the same barrier.
        let end = || stop.load(Ordering::Relaxed) || most_blocks >= plan.most_operations();
        if barrier.pass(&mut waits, end) {
            return counted(blocks, waits);
        }
    }
}

/// A barrier on one futex word, so that its waits can be counted.
struct Barrier {
    threads: u32,
    arrived: AtomicU32,
    /// Counts the barriers passed; waited on.
    generation: AtomicU32,
    last: AtomicBool,
}

impl Barrier {
    fn new(threads: u32) -> Self {
        Self {
            threads,
            arrived: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            last: AtomicBool::new(false),
        }
    }

    /// Waits for all threads; the last one asks `end`, and all return its answer.
    fn pass(&self, waits: &mut Waits, end: impl FnOnce() -> bool) -> bool {
        let generation = self.generation.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.last.store(end(), Ordering::Relaxed);
            self.arrived.store(0, Ordering::Relaxed);
            self.generation.store(generation.wrapping_add(1), Ordering::Release);
            futex::wake(&self.generation, u32::MAX);
        } else {
            waits.until_changed(&self.generation, generation);
        }
        self.last.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Limit;

    #[test]
    fn all_threads_leave_after_the_same_barrier_and_all_but_one_wait_at_each() {
        let plan = Plan { threads: 3, size: 4, limit: Limit::Operations(40) };
        let done = run(&plan).unwrap();
        assert_eq!(done.barriers, 10);
        let calls: u64 = done.threads.iter().map(|t| t.futex_waits + t.futex_misses).sum();
        assert!((20..=30).contains(&calls), "{calls} waits at 10 barriers of 3 threads");
    }
}
