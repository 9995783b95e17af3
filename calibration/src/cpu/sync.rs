//! sync-heavy: two threads hand a token to each other. For each operation either side makes one
//! `FUTEX_WAKE` and one `FUTEX_WAIT`, and never looks at the word instead of waiting.
//!
//! The holder works for some microseconds before it hands the token on. Without that, two threads that
//! are awake on two CPUs can answer each other before either gets to sleep, and go on so.

use std::{
    hint::black_box,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use anyhow::Result;

use super::{Done, Plan, churn, counted, finish, start};
use crate::sys::futex::{self, Waits};

/// Arithmetic steps done with the token by default: about 7 µs at 3 GHz.
pub(super) const STEPS_PER_TURN: u64 = 4096;

const PING: u32 = 0;
const PONG: u32 = 1;
const OVER: u32 = 2;

pub(super) fn run(plan: &Plan) -> Result<Done> {
    let stop = AtomicBool::new(false);
    let turn = AtomicU32::new(PING);
    let threads = std::thread::scope(|scope| {
        let answers = start(scope, "pong", || Ok(pong(plan, &turn)))?;
        let asks = start(scope, "ping", || Ok(ping(plan, &turn, &stop)))?;
        finish(plan, &stop, vec![asks, answers])
    })?;
    Ok(Done { operations: threads[0].operations, barriers: 0, threads })
}

fn hand_over(turn: &AtomicU32, to: u32) {
    turn.store(to, Ordering::Release);
    futex::wake(turn, 1);
}

fn ping(plan: &Plan, turn: &AtomicU32, stop: &AtomicBool) -> crate::truth::ThreadTruth {
    let mut waits = Waits::default();
    let mut operations = 0;
    while operations < plan.most_operations() && !stop.load(Ordering::Relaxed) {
        black_box(churn(operations, plan.size));
        hand_over(turn, PONG);
        waits.until_changed(turn, PONG);
        operations += 1;
    }
    hand_over(turn, OVER);
    counted(operations, waits)
}

fn pong(plan: &Plan, turn: &AtomicU32) -> crate::truth::ThreadTruth {
    let mut waits = Waits::default();
    let mut operations = 0;
    while waits.until_changed(turn, PING) != OVER {
        black_box(churn(operations, plan.size));
        operations += 1;
        hand_over(turn, PING);
    }
    counted(operations, waits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::Limit;

    #[test]
    fn either_side_waits_once_for_each_operation() {
        let plan = Plan { threads: 2, size: 1, limit: Limit::Operations(2000) };
        let done = run(&plan).unwrap();
        for thread in &done.threads {
            assert_eq!(thread.operations, 2000, "{}", thread.name);
            let calls = thread.futex_waits + thread.futex_misses;
            assert!((2000..=2002).contains(&calls), "{}: {calls} waits", thread.name);
        }
    }
}
