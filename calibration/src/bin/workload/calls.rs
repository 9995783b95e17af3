//! A thread that makes known system calls and counts them: ioctls, mappings, futex waits.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};
use calibration::sys::{
    self,
    futex::{self, Waits, Woken},
};
use serde_json::{Value, json};

use crate::{report::Report, stop, thread};

/// Bytes of each mapping: a size that no allocator asks for, so that these tell themselves apart.
const MAP_BYTES: usize = 13 * 4096;
/// `TUNGETFEATURES` and `KVM_GET_API_VERSION`: they change nothing.
const TUN_FEATURES: usize = 0x8004_54cf;
const KVM_VERSION: usize = 0xae00;
/// Waits for a word that has another value already.
const REFUSED_WAITS: u64 = 1000;

/// How many of each.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) ioctls: u64,
    pub(crate) maps: u64,
    pub(crate) futexes: u64,
    pub(crate) others: u64,
}

/// The words two threads hand a turn to and fro through.
#[derive(Default)]
struct Turns {
    there: AtomicU32,
    back: AtomicU32,
    /// Never changed, never waited for with its value.
    idle: AtomicU32,
}

pub(crate) fn run(report: &Report, numbers: Numbers) -> Result<()> {
    let (_master, terminal) = terminal().context("open a pseudo-terminal")?;
    let devices = [("/dev/net/tun", TUN_FEATURES), ("/dev/kvm", KVM_VERSION)]
        .map(|(path, request)| (OpenOptions::new().read(true).write(true).open(path).ok(), request));
    let turns = Arc::new(Turns::default());
    report.ready(
        "calls",
        json!({
            "there_address": address(&turns.there),
            "back_address": address(&turns.back),
            "idle_address": address(&turns.idle),
            "map_bytes": MAP_BYTES,
            "terminal_fd": terminal.as_raw_fd(),
        }),
    );
    let for_partner = Arc::clone(&turns);
    let partner = thread::start("partner", move || answer(&for_partner, numbers.futexes))?;
    let caller = thread::start("caller", move || call(&terminal, &devices, &turns, numbers))?;
    let (caller_tid, partner_tid) = (caller.tid(), partner.tid());
    let made = caller.join(report)?.context("make the calls")?;
    let waits = partner.join(report)?;
    report.done(json!({
        "caller_tid": caller_tid,
        "partner_tid": partner_tid,
        "caller": made,
        "partner": counted(&waits),
    }));
    Ok(())
}

fn address(word: &AtomicU32) -> u64 {
    word.as_ptr() as u64
}

/// Both ends of a new pseudo-terminal.
pub(crate) fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let (mut master, mut slave) = (0, 0);
    // SAFETY: both numbers are alive; null means the defaults.
    let result = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            std::ptr::null_mut(),
            std::ptr::null(),
            std::ptr::null(),
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has opened both, and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) })
}

fn call(
    terminal: &OwnedFd,
    devices: &[(Option<File>, usize); 2],
    turns: &Turns,
    numbers: Numbers,
) -> io::Result<Value> {
    // SAFETY: plain data, for the kernel to write.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    let fd = terminal.as_raw_fd() as usize;
    for _ in 0..numbers.ioctls {
        let arguments = [fd, libc::TCGETS as usize, &raw mut settings as usize];
        // SAFETY: the kernel's `struct termios` is smaller than the C library's.
        unsafe { sys::syscall(libc::SYS_ioctl, &arguments) }?;
    }
    let mut other_ioctls = Vec::new();
    for (device, request) in devices {
        let Some(device) = device else {
            other_ioctls.push(Value::Null);
            continue;
        };
        let mut word = 0_u32;
        // KVM takes 0 and nothing else.
        let argument = if *request == KVM_VERSION { 0 } else { &raw mut word as usize };
        for _ in 0..numbers.others {
            // SAFETY: the request writes at most one word, which is alive.
            unsafe { sys::syscall(libc::SYS_ioctl, &[device.as_raw_fd() as usize, *request, argument]) }?;
        }
        other_ioctls.push(numbers.others.into());
    }
    for _ in 0..numbers.maps {
        let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let arguments = [0, MAP_BYTES, protection as usize, flags as usize, usize::MAX, 0];
        // SAFETY: a new mapping that nothing points into, and its end.
        unsafe {
            let at = sys::syscall(libc::SYS_mmap, &arguments)?;
            sys::syscall(libc::SYS_munmap, &[at, MAP_BYTES])?;
        }
    }
    let mut refused = 0;
    for _ in 0..REFUSED_WAITS {
        refused += u64::from(futex::wait(&turns.idle, 1, None) == Woken::Changed);
    }
    let (mut waits, mut turn) = (Waits::default(), 0);
    while waits.woken < numbers.futexes && !stop::requested() {
        turn += 1;
        turns.there.store(turn, Ordering::Release);
        futex::wake(&turns.there, 1);
        waits.until_changed(&turns.back, turn - 1);
    }
    turns.there.store(u32::MAX, Ordering::Release);
    futex::wake(&turns.there, 1);
    Ok(json!({
        "ioctls": numbers.ioctls,
        "tun_ioctls": other_ioctls[0],
        "kvm_ioctls": other_ioctls[1],
        "maps": numbers.maps,
        "refused_waits": refused,
        "waits": counted(&waits),
        "wakes": u64::from(turn) + 1,
    }))
}

/// Hands each turn back, until the last.
fn answer(turns: &Turns, futexes: u64) -> Waits {
    let (mut waits, mut turn) = (Waits::default(), 0);
    if futexes == 0 {
        return waits;
    }
    loop {
        turn = waits.until_changed(&turns.there, turn);
        if turn == u32::MAX {
            break;
        }
        turns.back.store(turn, Ordering::Release);
        futex::wake(&turns.back, 1);
    }
    waits
}

fn counted(waits: &Waits) -> Value {
    json!({"woken": waits.woken, "missed": waits.missed})
}
