//! A thread that blocks a known number of times in one system call, and a thread that ends each wait
//! only when the kernel shows the first one asleep in it.
//!
//! What to block in is a [`Wait`]; the kinds are grouped by what they wait for, one file a group.

mod child;
mod device;
mod futexes;
mod lock;
mod poll;
mod socket;
mod stream;
mod timer;
mod uring;

use std::{
    hint::spin_loop,
    io,
    os::fd::{FromRawFd, OwnedFd},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use calibration::sys::{clock::mono_ns, gettid, usage::Usage};
use clap::ValueEnum;
use serde_json::json;

use crate::{
    report::Report,
    stop,
    thread::{start, wait_until_asleep},
};

/// The system calls to block in, by their names in the kernel (`eventfd`: read of one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Kind {
    Futex,
    FutexWaitv,
    FutexWait,
    Poll,
    Ppoll,
    Select,
    #[value(name = "pselect6")]
    Pselect6,
    EpollWait,
    EpollPwait,
    #[value(name = "epoll_pwait2")]
    EpollPwait2,
    Nanosleep,
    ClockNanosleep,
    Read,
    Readv,
    Write,
    Writev,
    Eventfd,
    Recvfrom,
    Recvmsg,
    Sendto,
    Sendmsg,
    Accept,
    #[value(name = "accept4")]
    Accept4,
    Connect,
    #[value(name = "wait4")]
    Wait4,
    Waitid,
    Fsync,
    Fdatasync,
    IoUringEnter,
    Ioctl,
    Msgrcv,
    Flock,
}

impl Kind {
    /// The system call's number on x86-64.
    fn syscall(self) -> i64 {
        match self {
            Self::Futex => libc::SYS_futex,
            Self::FutexWaitv => libc::SYS_futex_waitv,
            Self::FutexWait => futexes::SYS_FUTEX_WAIT,
            Self::Poll => libc::SYS_poll,
            Self::Ppoll => libc::SYS_ppoll,
            Self::Select => libc::SYS_select,
            Self::Pselect6 => libc::SYS_pselect6,
            Self::EpollWait => libc::SYS_epoll_wait,
            Self::EpollPwait => libc::SYS_epoll_pwait,
            Self::EpollPwait2 => libc::SYS_epoll_pwait2,
            Self::Nanosleep => libc::SYS_nanosleep,
            Self::ClockNanosleep => libc::SYS_clock_nanosleep,
            Self::Read | Self::Eventfd => libc::SYS_read,
            Self::Readv => libc::SYS_readv,
            Self::Write => libc::SYS_write,
            Self::Writev => libc::SYS_writev,
            Self::Recvfrom => libc::SYS_recvfrom,
            Self::Recvmsg => libc::SYS_recvmsg,
            Self::Sendto => libc::SYS_sendto,
            Self::Sendmsg => libc::SYS_sendmsg,
            Self::Accept => libc::SYS_accept,
            Self::Accept4 => libc::SYS_accept4,
            Self::Connect => libc::SYS_connect,
            Self::Wait4 => libc::SYS_wait4,
            Self::Waitid => libc::SYS_waitid,
            Self::Fsync => libc::SYS_fsync,
            Self::Fdatasync => libc::SYS_fdatasync,
            Self::IoUringEnter => libc::SYS_io_uring_enter,
            Self::Ioctl => libc::SYS_ioctl,
            Self::Msgrcv => libc::SYS_msgrcv,
            Self::Flock => libc::SYS_flock,
        }
    }

    fn wait(self, us: u64, file: Option<PathBuf>) -> io::Result<Box<dyn Wait>> {
        Ok(match self {
            Self::Futex | Self::FutexWaitv | Self::FutexWait => Box::new(futexes::Word::new(self)),
            Self::Poll | Self::Ppoll | Self::Select | Self::Pselect6 => Box::new(poll::Event::new(self)?),
            Self::EpollWait | Self::EpollPwait | Self::EpollPwait2 | Self::Eventfd => {
                Box::new(poll::Event::new(self)?)
            }
            Self::Nanosleep | Self::ClockNanosleep => Box::new(timer::Sleep::new(self, us)),
            Self::Read | Self::Readv => Box::new(stream::EmptyPipe::new(self)?),
            Self::Write | Self::Writev => Box::new(stream::FullPipe::new(self)?),
            Self::Recvfrom | Self::Recvmsg => Box::new(socket::Empty::new(self)?),
            Self::Sendto | Self::Sendmsg => Box::new(socket::Full::new(self)?),
            Self::Accept | Self::Accept4 => Box::new(socket::Listener::new(self)?),
            Self::Connect => Box::new(socket::Backlog::new()?),
            Self::Wait4 | Self::Waitid => Box::new(child::Child::new(self)),
            Self::Fsync | Self::Fdatasync => Box::new(stream::Synced::new(self, file)?),
            Self::IoUringEnter => Box::new(uring::Uring::new()?),
            Self::Ioctl => Box::new(device::SeccompListener::new()?),
            Self::Msgrcv => Box::new(lock::MessageQueue::new()?),
            Self::Flock => Box::new(lock::FileLock::new()?),
        })
    }
}

/// One way to block. `block` and `wake` run in different threads.
trait Wait: Send + Sync {
    /// Makes sure that the next call will block; does not block itself.
    fn prepare(&self) -> io::Result<()> {
        Ok(())
    }

    /// Makes the system call, once.
    fn block(&self) -> io::Result<()>;

    /// Ends the wait, from the other thread.
    fn wake(&self) -> io::Result<()>;

    /// Takes what the call waited for; does not block.
    fn settle(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether the wait ends with nobody's help.
    fn ends_by_itself(&self) -> bool {
        false
    }
}

/// What waiter and waker tell each other, with no system call: the waiter's switches are counted.
#[derive(Default)]
struct Rounds {
    /// The wait that is about to begin, counted from 1.
    round: AtomicU64,
    /// The waiter's voluntary switches before it.
    switches: AtomicU64,
    /// The wait whose call has returned.
    returned: AtomicU64,
    /// The wait that the waker is done with.
    woken: AtomicU64,
    over: AtomicBool,
}

/// What the waiter found.
#[derive(Default)]
struct Waited {
    tid: u32,
    waits: u64,
    blocked: u64,
    switches: u64,
    call_ns: u64,
}

pub(crate) fn run(report: &Report, kind: Kind, count: u64, us: u64, file: Option<PathBuf>) -> Result<()> {
    let name = kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let wait: Arc<dyn Wait> = Arc::from(kind.wait(us, file).with_context(|| format!("prepare {name}"))?);
    let rounds = Arc::new(Rounds::default());
    report.ready("syscall-wait", json!({"kind": name, "syscall": kind.syscall(), "count": count}));

    let waiter = start("waiter", {
        let (wait, rounds) = (Arc::clone(&wait), Arc::clone(&rounds));
        move || {
            let result = waits(&*wait, &rounds, count);
            rounds.over.store(true, Ordering::Release);
            result
        }
    })?;
    let tid = waiter.tid();
    let waker = start("waker", {
        let wait = Arc::clone(&wait);
        move || {
            let result = if wait.ends_by_itself() { Ok(()) } else { wakes(&*wait, &rounds, tid) };
            if let Err(err) = result {
                // The waiter would block for ever.
                eprintln!("workload: wake from {}: {err:#}", kind.syscall());
                std::process::exit(1);
            }
        }
    })?;
    let waker_tid = waker.tid();
    let done = waiter.join(report)?.with_context(|| format!("wait in {name}"))?;
    waker.join(report)?;
    report.done(json!({
        "kind": name, "syscall": kind.syscall(), "waits": done.waits, "blocked": done.blocked,
        "switches": done.switches, "call_ns": done.call_ns, "waiter_tid": done.tid, "waker_tid": waker_tid,
    }));
    Ok(())
}

fn waits(wait: &dyn Wait, rounds: &Rounds, count: u64) -> io::Result<Waited> {
    let mut waited = Waited { tid: gettid(), ..Waited::default() };
    while waited.waits < count && !stop::requested() {
        wait.prepare()?;
        let before = Usage::of_this_thread().nvcsw;
        rounds.switches.store(before, Ordering::Relaxed);
        rounds.round.store(waited.waits + 1, Ordering::Release);
        let start_ns = mono_ns();
        wait.block()?;
        waited.call_ns += mono_ns() - start_ns;
        let switches = Usage::of_this_thread().nvcsw - before;
        waited.waits += 1;
        rounds.returned.store(waited.waits, Ordering::Release);
        // The waker may still be at it, as one that makes room is: the next wait is to find no trace.
        while !wait.ends_by_itself() && rounds.woken.load(Ordering::Acquire) < waited.waits {
            spin_loop();
        }
        waited.blocked += u64::from(switches > 0);
        waited.switches += switches;
        wait.settle()?;
    }
    Ok(waited)
}

fn wakes(wait: &dyn Wait, rounds: &Rounds, tid: u32) -> Result<()> {
    let over = || rounds.over.load(Ordering::Acquire);
    let mut woken = 0;
    while !over() {
        let round = rounds.round.load(Ordering::Acquire);
        if round == woken {
            std::thread::sleep(Duration::from_micros(50));
            continue;
        }
        let returned = || over() || rounds.returned.load(Ordering::Acquire) >= round;
        match wait_until_asleep(tid, rounds.switches.load(Ordering::Relaxed), returned) {
            // A waiter that failed is gone, and says why itself.
            Err(_) if over() => return Ok(()),
            result => result?,
        }
        if !returned() {
            wait.wake()?;
        }
        rounds.woken.store(round, Ordering::Release);
        woken = round;
    }
    Ok(())
}

/// Takes over a descriptor that a system call returned.
///
/// # Safety
///
/// The number must come from a call that opens a descriptor and must not be owned by anything else.
unsafe fn owned(fd: io::Result<usize>) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for it.
    fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
