//! Processes: exec by a thread that is not the leader, a tree of forks, a pid used again and again.

use std::{
    ffi::CString,
    io,
    os::unix::{ffi::OsStrExt, process::parent_id},
    ptr,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use calibration::sys::{self, clock::mono_ns, gettid, usage::Usage};
use serde_json::json;

use crate::{report::Report, stop, thread::start};

pub(crate) fn exec_from_thread(report: &Report, seconds: f64) -> Result<()> {
    let program = std::env::current_exe().context("find this program")?;
    let program = CString::new(program.as_os_str().as_bytes()).context("name this program")?;
    let words = [
        program.clone(),
        CString::new("exec-target")?,
        CString::new("--seconds")?,
        CString::new(seconds.to_string())?,
    ];
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let running = start("exec-thread", move || {
        // Told by the sender going away.
        let _ = gone.recv();
        let mut arguments: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
        arguments.push(ptr::null());
        // SAFETY: the strings live on and the list ends with a null pointer; on success nothing returns.
        unsafe { libc::execv(program.as_ptr(), arguments.as_ptr()) };
        io::Error::last_os_error()
    })?;
    report.ready("exec-from-thread", json!({"main_tid": gettid(), "exec_tid": running.tid()}));
    drop(go);
    Err(running.join(report)?).context("execute this program")
}

pub(crate) fn fork_tree(report: &Report, depth: u32, width: u32, sleeps: u64) -> Result<()> {
    let processes: u64 = (0..=depth).map(|level| u64::from(width).pow(level)).sum();
    report.ready("fork-tree", json!({"processes": processes, "sleeps": sleeps}));
    node(report, depth, width, sleeps)?;
    report.done(json!({"processes": processes}));
    Ok(())
}

/// One process of the tree: sleeps, forks, waits, tells.
fn node(report: &Report, depth: u32, width: u32, sleeps: u64) -> Result<()> {
    let start_mono_ns = mono_ns();
    for _ in 0..sleeps {
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut children = Vec::new();
    for _ in 0..if depth == 0 { 0 } else { width } {
        // SAFETY: this process has one thread, so the child may go on as if it were the parent.
        match unsafe { libc::fork() } {
            -1 => return Err(io::Error::last_os_error()).context("fork"),
            0 => {
                let result = node(report, depth - 1, width, sleeps);
                std::process::exit(i32::from(result.is_err()));
            }
            child => children.push(child),
        }
    }
    for child in children {
        if reap(child)? != 0 {
            bail!("wait for child {child}: it failed");
        }
    }
    report.line(&json!({"process": {
        "pid": std::process::id(), "ppid": parent_id(), "depth": depth, "sleeps": sleeps,
        "start_mono_ns": start_mono_ns, "end_mono_ns": mono_ns(), "usage": Usage::of_this_thread(),
    }}));
    Ok(())
}

/// Waits for a child and returns its wait status.
pub(crate) fn reap(child: i32) -> Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: the status is a live integer.
        if unsafe { libc::waitpid(child, &raw mut status, 0) } == child {
            return Ok(status);
        }
        let err = io::Error::last_os_error();
        if err.kind() != io::ErrorKind::Interrupted {
            return Err(err).context("wait for a child");
        }
    }
}

/// `struct clone_args` of clone3, up to `set_tid_size`.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
}

/// Forks with clone3; `pid` is the child's to be, or 0 for any. The child sleeps `us` and exits.
fn child(pid: i32, us: u64) -> io::Result<i32> {
    let arguments = CloneArguments {
        exit_signal: libc::SIGCHLD as u64,
        set_tid: if pid == 0 { 0 } else { &raw const pid as u64 },
        set_tid_size: u64::from(pid != 0),
        ..CloneArguments::default()
    };
    let time = libc::timespec { tv_sec: (us / 1_000_000) as i64, tv_nsec: (us % 1_000_000 * 1000) as i64 };
    let size = size_of::<CloneArguments>();
    // SAFETY: the arguments are alive and of the size given; without CLONE_VM this is a fork, and the
    // child makes only calls that need nothing of the C library's state.
    unsafe {
        let child = sys::syscall(libc::SYS_clone3, &[&raw const arguments as usize, size])?;
        if child == 0 {
            if us > 0 {
                libc::nanosleep(&raw const time, ptr::null_mut());
            }
            libc::_exit(0);
        }
        Ok(child as i32)
    }
}

pub(crate) fn pid_reuse(report: &Report, count: u64, us: u64) -> Result<()> {
    report.ready("pid-reuse", json!({"count": count}));
    let mut pid = 0;
    let mut taken = 0;
    let mut done = 0;
    while done < count && !stop::requested() {
        let fork_mono_ns = mono_ns();
        match child(pid, us) {
            Ok(child) => {
                reap(child)?;
                pid = child;
                let one = json!({"n": done, "pid": child, "fork_mono_ns": fork_mono_ns, "reaped_mono_ns": mono_ns()});
                report.line(&json!({"child": one}));
                done += 1;
            }
            // Somebody else has the pid: start again with another one.
            Err(err) if err.raw_os_error() == Some(libc::EEXIST) && taken < 100 => {
                taken += 1;
                pid = 0;
            }
            Err(err) => return Err(err).context("clone with a chosen pid (needs CAP_CHECKPOINT_RESTORE)"),
        }
    }
    report.done(json!({"children": done, "pid": pid, "taken": taken}));
    Ok(())
}
