//! Workloads that block: for ever, for a time, for each other, and until a signal comes.

use std::{
    hint::spin_loop,
    io::{Read, Write, pipe},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use calibration::sys::{clock::mono_ns, futex};
use serde_json::{Value, json};

use crate::{
    report::Report,
    stop,
    thread::{Running, start, wait_until_asleep},
};

pub(crate) fn deadlock(report: &Report, threads: usize) -> Result<()> {
    let block = || {
        while !stop::requested() {
            futex::wait(&stop::STOP, 0, None);
        }
    };
    let running: Vec<_> =
        (0..threads).map(|i| start(&format!("blocked-{i}"), block)).collect::<Result<_>>()?;
    let tids: Vec<u32> = running.iter().map(Running::tid).collect();
    for tid in &tids {
        wait_until_asleep(*tid, 0, stop::requested)?;
    }
    report.ready(
        "deadlock",
        json!({"futex_address": format!("{:#x}", stop::STOP.as_ptr() as usize), "tids": tids}),
    );
    running.into_iter().try_for_each(|r| r.join(report))?;
    report.done(json!({"tids": tids}));
    Ok(())
}

pub(crate) fn sleeps(report: &Report, workload: &str, count: u64, us: u64, more: usize) -> Result<()> {
    let sleep = move || std::thread::sleep(Duration::from_micros(us));
    let over = Arc::new(AtomicBool::new(false));
    let others = (0..more)
        .map(|_| {
            let over = Arc::clone(&over);
            start("sleeper", move || {
                while !over.load(Ordering::Relaxed) && !stop::requested() {
                    sleep();
                }
            })
        })
        .collect::<Result<Vec<_>>>()?;
    report.ready(workload, json!({"count": count, "us": us}));
    let slept = slept(report, count, move || {
        sleep();
        true
    });
    over.store(true, Ordering::Relaxed);
    others.into_iter().try_for_each(|other| other.join(report))?;
    report.done(slept?);
    Ok(())
}

/// A thread that sleeps so often, until it is stopped or `sleep` fails; what it did and how long it took.
pub(crate) fn slept(
    report: &Report,
    count: u64,
    mut sleep: impl FnMut() -> bool + Send + 'static,
) -> Result<Value> {
    let running = start("sleeper", move || {
        let mut done = 0;
        let mut slept_ns = 0;
        while done < count && !stop::requested() {
            let start_ns = mono_ns();
            if !sleep() {
                break;
            }
            slept_ns += mono_ns() - start_ns;
            done += 1;
        }
        (done, slept_ns)
    })?;
    let tid = running.tid();
    let (done, slept_ns) = running.join(report)?;
    Ok(json!({"tid": tid, "sleeps": done, "slept_ns": slept_ns}))
}

pub(crate) fn pipe_ping(report: &Report, count: u64) -> Result<()> {
    let (mut asked, mut ask) = pipe().context("make a pipe")?;
    let (mut answered, mut answer) = pipe().context("make a pipe")?;
    report.ready("pipe-ping", json!({"count": count}));
    // When ping ends it closes its pipe, which ends pong.
    let answers = start("pong", move || {
        let mut byte = [0];
        while asked.read_exact(&mut byte).and_then(|()| answer.write_all(&byte)).is_ok() {}
    })?;
    let asks = start("ping", move || {
        let mut byte = [0];
        let mut done = 0;
        while done < count && !stop::requested() {
            ask.write_all(&byte)?;
            answered.read_exact(&mut byte)?;
            done += 1;
        }
        std::io::Result::Ok(done)
    })?;
    let tids = [asks.tid(), answers.tid()];
    let done = asks.join(report)?.context("send a byte")?;
    answers.join(report)?;
    report.done(json!({"tids": tids, "round_trips": done}));
    Ok(())
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_sigusr1(_signal: i32) {
    HANDLED.fetch_add(1, Ordering::AcqRel);
}

pub(crate) fn signals(report: &Report, count: u64, asleep: bool) -> Result<()> {
    stop::handle(libc::SIGUSR1, on_sigusr1);
    report.ready("signals", json!({"count": count}));
    let over = Arc::new(AtomicBool::new(false));
    let sleeper_over = Arc::clone(&over);
    let sleeper = start("sleeper", move || {
        let mut interrupted = 0_u64;
        let time = libc::timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        while !sleeper_over.load(Ordering::Acquire) {
            // SAFETY: the timespec is alive; the remaining time is not asked for.
            let result = unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
            interrupted += u64::from(result < 0);
        }
        interrupted
    })?;
    let tid = sleeper.tid();
    let mut sent = 0;
    while sent < count && !stop::requested() {
        if asleep {
            wait_until_asleep(tid, sent, stop::requested)?;
        }
        // The gap sweeps over the thread's way from the handler back into the kernel.
        for _ in 0..if asleep { 0 } else { sent * 61 % 997 } {
            spin_loop();
        }
        // SAFETY: the thread is alive: it is not joined before the loop ends.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGUSR1) };
        sent += 1;
        while HANDLED.load(Ordering::Acquire) < sent {
            spin_loop();
        }
    }
    over.store(true, Ordering::Release);
    let interrupted = sleeper.join(report)?;
    let handled = HANDLED.load(Ordering::Acquire);
    report.done(json!({"tid": tid, "sent": sent, "handled": handled, "interrupted": interrupted}));
    Ok(())
}
