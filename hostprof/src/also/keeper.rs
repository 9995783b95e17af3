//! The keeper: a process that runs the tools, forked while hostprof still has its privileges.
//!
//! Tools need to trace the target, hostprof does not stay root for them: it gives its privileges up, and what it
//! then asks of the keeper is only which of its own files the tools are to write, when to begin and when to end.
//! Which tools and on what was settled before. The keeper sees hostprof's end by the closing of their socket, so
//! that no tool outlives a hostprof that was killed.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, IoSlice, IoSliceMut, Read as _, Write as _},
    os::{
        fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use nix::{
    cmsg_space,
    sys::{
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
        socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
        wait::waitpid,
    },
    unistd::{ForkResult, Pid, Uid, fork, setpgid},
};
use serde::{Deserialize, Serialize};

use super::{Tool, running::Running};
use crate::units::Tgid;

/// How often the keeper looks after its tools.
const LOOK: Duration = Duration::from_millis(100);
/// How long a tool may take to end, perf to write out what it holds.
const END_LIMIT: Duration = Duration::from_secs(30);
/// How long the keeper may take to answer: each tool's beginning or end, and some.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// As many as there are tools.
const MOST_FILES: usize = 3;

/// A tool to run.
pub struct Plan {
    pub tool: Tool,
    pub targets: Vec<Tgid>,
}

/// What the keeper tells of a tool, once at its beginning and once at the end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Its command line, with the file's name.
    pub arguments: Vec<String>,
    /// When it had begun; null if it did not.
    pub start_mono_ns: Option<u64>,
    pub end_mono_ns: Option<u64>,
    /// As a shell tells it.
    pub exit_status: Option<i32>,
    /// It ended by itself.
    pub early: bool,
    /// What it said, or why it did not begin.
    pub message: String,
}

/// hostprof's end of it.
pub struct Keeper {
    socket: UnixStream,
    pid: Pid,
}

impl Keeper {
    /// Forks it. Must be called while there is one thread.
    pub fn fork(plans: &[Plan], owner: Uid) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        // SAFETY: hostprof has one thread here, so the child may do what a program may.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                ours.set_read_timeout(Some(ANSWER_LIMIT))?;
                Ok(Self { socket: ours, pid: child })
            }
            ForkResult::Child => {
                // The kernel half's too: its programs must not stay attached for the keeper's sake.
                close_all_but(theirs.as_raw_fd());
                let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
                outlive_signals();
                let served = catch_unwind(AssertUnwindSafe(|| serve(&theirs, plans, owner)));
                std::process::exit(i32::from(!matches!(served, Ok(Ok(())))));
            }
        }
    }

    /// Has the tools begin, each writing its file.
    pub fn begin(&mut self, outputs: &[File]) -> io::Result<Vec<Report>> {
        let fds: Vec<RawFd> = outputs.iter().map(AsRawFd::as_raw_fd).collect();
        let socket = self.socket.as_raw_fd();
        let files = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(socket, &[IoSlice::new(b"b")], &files, MsgFlags::MSG_NOSIGNAL, None)?;
        read_reports(&self.socket)
    }

    /// Has them end; does not wait.
    pub fn stop(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// Waits for their end. Nothing is told if the keeper is gone.
    pub fn finish(self) -> Vec<Report> {
        self.stop();
        read_reports(&self.socket).unwrap_or_default()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The keeper ends the tools and itself then, also where nothing was begun.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let _ = waitpid(self.pid, None);
    }
}

fn read_reports(socket: &UnixStream) -> io::Result<Vec<Report>> {
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(io::Error::from)
}

fn write_reports(mut socket: &UnixStream, running: &[Running]) -> io::Result<()> {
    let reports: Vec<&Report> = running.iter().map(|running| &running.report).collect();
    let mut line = serde_json::to_vec(&reports)?;
    line.push(b'\n');
    socket.write_all(&line)
}

/// The keeper's life.
fn serve(socket: &UnixStream, plans: &[Plan], owner: Uid) -> io::Result<()> {
    let outputs = receive(socket)?;
    if outputs.len() != plans.len() {
        // hostprof is gone, or failed before it recorded.
        return Ok(());
    }
    let mut running: Vec<Running> = Vec::new();
    for (plan, output) in plans.iter().zip(&outputs) {
        running.push(Running::start(plan, output, owner));
    }
    // A hostprof that is gone reads nothing: its tools are ended below all the same.
    let _ = write_reports(socket, &running);
    until_told(socket, &mut running);
    for running in &running {
        running.interrupt();
    }
    let end = Instant::now() + END_LIMIT;
    while running.iter_mut().map(|running| running.has_ended(false)).filter(|ended| !ended).count() > 0 {
        if Instant::now() >= end {
            for running in running.iter_mut().filter(|running| running.report.end_mono_ns.is_none()) {
                running.kill();
                running.report.message =
                    format!("did not end within {} s and was killed", END_LIMIT.as_secs());
            }
            break;
        }
        thread::sleep(LOOK / 20);
    }
    write_reports(socket, &running)
}

/// Waits for the other end to close, looking after the tools meanwhile.
fn until_told(socket: &UnixStream, running: &mut [Running]) {
    let _ = socket.set_read_timeout(Some(LOOK));
    loop {
        match (&mut &*socket).read(&mut [0]) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            _ => return,
        }
        for running in running.iter_mut() {
            running.has_ended(true);
        }
    }
}

/// The files hostprof hands over; none where it closes instead.
fn receive(socket: &UnixStream) -> io::Result<Vec<File>> {
    let mut space = cmsg_space!([RawFd; MOST_FILES]);
    let mut byte = [0];
    let mut into = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut into, Some(&mut space), flags)?;
    let mut files = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            // SAFETY: the kernel made these for this process just now; nothing else owns them.
            files.extend(fds.into_iter().map(|fd| File::from(unsafe { OwnedFd::from_raw_fd(fd) })));
        }
    }
    Ok(files)
}

/// Closes every descriptor but one and the standard ones.
fn close_all_but(kept: RawFd) {
    let close = |first: RawFd, last: libc::c_uint| {
        // SAFETY: the child never returns to the owners of what is closed here.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    };
    if kept > 3 {
        close(3, (kept - 1).cast_unsigned());
    }
    close(kept.max(2) + 1, libc::c_uint::MAX);
}

/// The keeper ends when hostprof does, not when a service manager tells all of a group to. Tools get the default back.
fn outlive_signals() {
    extern "C" fn nothing(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler does nothing.
        let _ = unsafe { sigaction(signal, &action) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reported_reads_back() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut line = serde_json::to_vec(&[Report { exit_status: Some(130), ..Report::default() }]).unwrap();
        line.push(b'\n');
        (&there).write_all(&line).unwrap();
        let reports = read_reports(&here).unwrap();
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].exit_status, Some(130));
        drop(there);
        assert!(read_reports(&here).is_err(), "a keeper that is gone tells nothing");
    }

    #[test]
    fn files_handed_over_arrive_in_their_order() {
        let (here, there) = UnixStream::pair().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| File::create(folder.path().join(name)).unwrap());
        let fds = files.each_ref().map(AsRawFd::as_raw_fd);
        let rights = [ControlMessage::ScmRights(&fds)];
        sendmsg::<()>(here.as_raw_fd(), &[IoSlice::new(b"b")], &rights, MsgFlags::empty(), None).unwrap();
        let received = receive(&there).unwrap();
        let same = |a: &File, b: &File| {
            use std::os::unix::fs::MetadataExt as _;
            a.metadata().unwrap().ino() == b.metadata().unwrap().ino()
        };
        assert_eq!(received.len(), 2);
        assert!(same(&received[0], &files[0]) && same(&received[1], &files[1]));
        drop(here);
        assert!(receive(&there).unwrap().is_empty());
    }
}
