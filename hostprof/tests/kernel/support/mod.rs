//! What the tests on the real kernel share: the programs, a workload under way, a recording of it.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod recorded;
pub mod recorder;
pub mod terminal;
pub mod workload;

use std::{
    env,
    io::Read as _,
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

#[allow(unused_imports, reason = "as above")]
pub use self::{
    recorded::{Recorded, record, record_with},
    recorder::Recorder,
    workload::Workload,
};

/// Longer than anything here takes on a loaded machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Receives until what came ends so.
pub fn receive(stream: &mut TcpStream, end: &str) {
    let mut all = Vec::new();
    let mut part = [0; 8192];
    while !all.ends_with(end.as_bytes()) {
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "the connection ended early");
        all.extend_from_slice(&part[..length]);
    }
}

/// The program under test.
pub fn hostprof_path() -> PathBuf {
    env::var_os("HOSTPROF_BIN").map_or_else(|| env!("CARGO_BIN_EXE_hostprof").into(), PathBuf::from)
}

/// A program of the crate `calibration`, which lies beside `calibration` or beside hostprof.
fn calibration_crate(name: &str) -> PathBuf {
    let beside = env::var_os("CALIBRATION_BIN").map_or_else(hostprof_path, PathBuf::from);
    let path = beside.with_file_name(name);
    assert!(path.exists(), "find {}: not built (cargo build --release -p calibration)", path.display());
    path
}

/// The program whose scheduling is known.
pub fn workload_path() -> PathBuf {
    calibration_crate("workload")
}

/// The program of the four patterns.
pub fn calibration_path() -> PathBuf {
    calibration_crate("calibration")
}

/// An example of this crate, which stands in for something of another's.
pub fn example(name: &str) -> PathBuf {
    let beside_tests = env::current_exe().unwrap();
    let release = beside_tests.parent().unwrap().parent().unwrap();
    let path = release.join("examples").join(name);
    assert!(path.exists(), "find {}: not built (cargo test builds it)", path.display());
    path
}

/// `hostprof`, without the variables by which it would take this for a run through sudo.
pub fn hostprof() -> Command {
    assert!(nix::unistd::geteuid().is_root(), "these tests load programs into the kernel: run them as root");
    let mut command = Command::new(hostprof_path());
    for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER"] {
        command.env_remove(name);
    }
    command
}

/// Looks again and again until there is something.
pub fn poll<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "wait for {what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for a child's end; one that does not come is killed, and the test fails.
pub fn wait(what: &str, child: &mut Child) -> ExitStatus {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().expect("wait for a child") {
            return status;
        }
        if Instant::now() >= end {
            let _ = child.kill();
            panic!("wait for the end of {what}: not within {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

pub fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap_or_else(|error| panic!("send {signal}: {error}"));
}

/// A field of `/proc/PID/task/TID/status`.
pub fn status_field(pid: u32, tid: u32, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim().to_owned()))
}

/// The state letter of a thread: `S`, `R`, `T`.
pub fn task_state(pid: u32, tid: u32) -> Option<char> {
    status_field(pid, tid, "State")?.chars().next()
}

pub fn mono_ns() -> u64 {
    hostprof::clock::mono().0
}
