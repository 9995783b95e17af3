//! What an fd stands for, looked up in `/proc` and remembered for a second.

use std::{fs, os::unix::fs::FileTypeExt as _};

use crate::{
    hash::IntMap,
    probe::syscalls,
    table::{FdKind, OffCpuRow},
    target::Proc,
    units::Tgid,
};

/// How long an answer holds, by the rows' own clock.
const HOLDS_NS: u64 = 1_000_000_000;
/// Answers that are remembered: beyond so many, all are forgotten.
const REMEMBERED: usize = 1 << 16;

/// The fds of all processes.
pub struct Fds {
    proc: Proc,
    known: IntMap<(u32, u32), (u64, Option<FdKind>)>,
}

impl Fds {
    /// None known.
    pub fn new(proc: Proc) -> Self {
        Self { proc, known: IntMap::default() }
    }

    /// What the fd of a row stands for; `None` where it has none, or it cannot be told.
    #[inline]
    pub fn kind(&mut self, row: &OffCpuRow) -> Option<FdKind> {
        let fd = row.arg0.filter(|_| row.syscall_nr.is_some_and(syscalls::is_by_fd))? as u32;
        let at_ns = row.ts_mono_ns + row.blocked_ns + row.runqueue_ns;
        if let Some((read_ns, kind)) = self.known.get(&(row.tgid, fd))
            && at_ns < read_ns + HOLDS_NS
        {
            return *kind;
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        let kind = self.look_up(Tgid(row.tgid), fd);
        self.known.insert((row.tgid, fd), (at_ns, kind));
        kind
    }

    fn look_up(&self, tgid: Tgid, fd: u32) -> Option<FdKind> {
        let path = self.proc.fd(tgid, fd);
        let link = fs::read_link(&path).ok()?;
        let link = link.to_string_lossy();
        Some(kind_of(&link, || {
            let kind = fs::metadata(&path).ok()?.file_type();
            Some(kind.is_char_device() || kind.is_block_device())
        }))
    }
}

/// By what the link of `/proc/PID/fd` says; only below `/dev` the file itself is asked, since that may take
/// a network.
fn kind_of(link: &str, is_device: impl FnOnce() -> Option<bool>) -> FdKind {
    if link.starts_with('/') {
        let device = link.starts_with("/dev/") && is_device() == Some(true);
        return if device { FdKind::Device } else { FdKind::File };
    }
    match link.split_once(':') {
        Some(("socket", _)) => FdKind::Socket,
        Some(("pipe", _)) => FdKind::Pipe,
        Some(("anon_inode", name)) => match name.trim_matches(['[', ']']) {
            "eventfd" => FdKind::Eventfd,
            "eventpoll" => FdKind::Epoll,
            "timerfd" => FdKind::Timerfd,
            "signalfd" => FdKind::Signalfd,
            "inotify" | "fanotify" => FdKind::Inotify,
            "io_uring" => FdKind::IoUring,
            _ => FdKind::Other,
        },
        _ => FdKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_tells_what_an_fd_stands_for() {
        let kind = |link, device| kind_of(link, || Some(device));
        assert_eq!(kind("socket:[123]", false), FdKind::Socket);
        assert_eq!(kind("pipe:[123]", false), FdKind::Pipe);
        assert_eq!(kind("anon_inode:[eventpoll]", false), FdKind::Epoll);
        assert_eq!(kind("anon_inode:inotify", false), FdKind::Inotify);
        assert_eq!(kind("anon_inode:kvm-vcpu:0", false), FdKind::Other);
        assert_eq!(kind("/dev/nvidia0", true), FdKind::Device);
        assert_eq!(kind("/dev/shm/segment", false), FdKind::File);
        assert_eq!(kind("/srv/model.gguf", true), FdKind::File, "not below /dev, so not asked");
    }

    #[test]
    fn an_answer_is_remembered_and_a_call_without_fd_has_none() {
        let mut fds = Fds::new(Proc::new());
        let (reader, _writer) = std::io::pipe().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&reader) as u64;
        let row = |nr, ts_mono_ns| OffCpuRow {
            tgid: std::process::id(),
            syscall_nr: Some(nr),
            arg0: Some(fd),
            ts_mono_ns,
            ..OffCpuRow::default()
        };
        assert_eq!(fds.kind(&row(202, 0)), None);
        assert_eq!(fds.kind(&row(0, 0)), Some(FdKind::Pipe));
        drop(reader);
        assert_eq!(fds.kind(&row(0, HOLDS_NS - 1)), Some(FdKind::Pipe));
        assert_eq!(fds.kind(&row(0, HOLDS_NS)), None);
    }
}
