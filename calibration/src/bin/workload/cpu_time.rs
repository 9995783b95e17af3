//! Workloads that want a CPU: spinning, yielding, and futex traffic at full speed.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use calibration::sys::futex::{self, Waits};
use serde_json::json;

use crate::{
    report::Report,
    stop,
    thread::{Running, start},
};

/// Lets the threads run for the time given, then stops them as SIGTERM would.
fn stop_after(seconds: f64) -> Result<()> {
    stop::wait_at_most(Duration::try_from_secs_f64(seconds).context("read --seconds")?);
    stop::STOP.store(1, Ordering::Release);
    Ok(())
}

pub(crate) fn spin(report: &Report, seconds: f64, threads: usize) -> Result<()> {
    report.ready("spin", json!({"threads": threads}));
    let spin = || {
        let mut turns = 0_u64;
        while !stop::requested() {
            turns = black_box(turns + 1);
        }
    };
    let running: Vec<_> = (0..threads).map(|i| start(&format!("spin-{i}"), spin)).collect::<Result<_>>()?;
    let tids: Vec<u32> = running.iter().map(Running::tid).collect();
    stop_after(seconds)?;
    running.into_iter().try_for_each(|r| r.join(report))?;
    report.done(json!({"tids": tids}));
    Ok(())
}

pub(crate) fn yield_spin(report: &Report, seconds: f64) -> Result<()> {
    report.ready("yield-spin", json!({}));
    let running = start("yielder", || {
        let mut calls = 0_u64;
        while !stop::requested() {
            // SAFETY: no arguments, cannot fail.
            unsafe { libc::sched_yield() };
            calls += 1;
        }
        calls
    })?;
    let tid = running.tid();
    stop_after(seconds)?;
    let calls = running.join(report)?;
    report.done(json!({"tid": tid, "calls": calls}));
    Ok(())
}

pub(crate) fn storm(report: &Report, threads: usize, seconds: f64) -> Result<()> {
    if threads == 0 || !threads.is_multiple_of(2) {
        bail!("run storm: {threads} threads (give an even number)");
    }
    report.ready("storm", json!({"threads": threads}));
    let mut running = Vec::new();
    for pair in 0..threads / 2 {
        let turn = Arc::new(AtomicU32::new(0));
        for side in 0..2 {
            let turn = Arc::clone(&turn);
            running.push(start(&format!("storm-{}", pair * 2 + side), move || toss(&turn, side as u32))?);
        }
    }
    let tids: Vec<u32> = running.iter().map(Running::tid).collect();
    stop_after(seconds)?;
    let mut operations = 0;
    let mut futex_waits = 0;
    for thread in running {
        let (tosses, waits) = thread.join(report)?;
        operations += tosses;
        futex_waits += waits.woken;
    }
    report.done(json!({"tids": tids, "operations": operations, "futex_waits": futex_waits}));
    Ok(())
}

/// Catches the token (`turn` is `side`) and tosses it to the other side. The value 2 means over.
fn toss(turn: &AtomicU32, side: u32) -> (u64, Waits) {
    let mut waits = Waits::default();
    let mut tosses = 0;
    let other = 1 - side;
    let mut now = turn.load(Ordering::Acquire);
    loop {
        if now == other {
            now = waits.until_changed(turn, other);
        }
        let over = now == 2 || stop::requested();
        now = if over { 2 } else { other };
        turn.store(now, Ordering::Release);
        futex::wake(turn, 1);
        if over {
            return (tosses, waits);
        }
        tosses += 1;
    }
}
