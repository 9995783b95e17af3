//! launch-heavy: a launcher hands tiny items to a spinning worker. Neither makes a system call: when
//! there is nothing to take, or no room to put, they spin.

use std::{
    hint::{black_box, spin_loop},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use anyhow::Result;

use super::{Done, Plan, churn, counted, finish, ring::Ring, start};
use crate::sys::futex::Waits;

/// Arithmetic steps of one item by default: about 30 ns.
pub(super) const STEPS_PER_ITEM: u64 = 16;

/// Room for a whole time slice of items: where launcher and worker share one CPU, each finds enough
/// to do before the other one runs.
const RING_ITEMS: usize = 1 << 16;

/// The item that says there are no more.
const LAST: u64 = u64::MAX;

pub(super) fn run(plan: &Plan) -> Result<Done> {
    let stop = AtomicBool::new(false);
    let done = AtomicU64::new(0);
    let ring = Ring::new(RING_ITEMS);
    let threads = std::thread::scope(|scope| {
        let launcher =
            start(scope, "launcher", || Ok(counted(launch(plan, &ring, &done, &stop), Waits::default())))?;
        let worker = start(scope, "worker", || Ok(counted(work(plan, &ring, &done), Waits::default())))?;
        finish(plan, &stop, vec![launcher, worker])
    })?;
    Ok(Done { operations: threads[0].operations, barriers: 0, threads })
}

/// Launches until the end, then spins until the worker has done everything.
fn launch(plan: &Plan, ring: &Ring, done: &AtomicU64, stop: &AtomicBool) -> u64 {
    let mut producer = ring.producer();
    let mut launched = 0;
    while launched < plan.most_operations() && !stop.load(Ordering::Relaxed) {
        producer.put(launched);
        launched += 1;
    }
    producer.put(LAST);
    while done.load(Ordering::Acquire) < launched {
        spin_loop();
    }
    launched
}

fn work(plan: &Plan, ring: &Ring, done: &AtomicU64) -> u64 {
    let mut consumer = ring.consumer();
    let mut count = 0;
    loop {
        let item = consumer.take();
        if item == LAST {
            done.store(count, Ordering::Release);
            return count;
        }
        black_box(churn(item, plan.size));
        count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Limit;

    #[test]
    fn the_worker_does_each_item_launched() {
        let plan = Plan { threads: 2, size: 1, limit: Limit::Operations(300_000) };
        let done = run(&plan).unwrap();
        assert_eq!(done.operations, 300_000);
        assert!(done.threads.iter().all(|t| t.operations == 300_000 && t.futex_waits == 0));
    }
}
