//! Waits for an eventfd: by reading it, by poll and select, by epoll.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use calibration::sys;

use super::{Kind, Wait, owned};

/// The size of the kernel's signal set, bytes.
const SIGSET_BYTES: usize = 8;

pub(super) struct Event {
    kind: Kind,
    signal: OwnedFd,
    epoll: OwnedFd,
}

impl Event {
    pub(super) fn new(kind: Kind) -> io::Result<Self> {
        // SAFETY: both calls open a descriptor.
        let (event, epoll) = unsafe {
            let event = owned(sys::syscall(libc::SYS_eventfd2, &[0, libc::EFD_CLOEXEC as usize]))?;
            let epoll = owned(sys::syscall(libc::SYS_epoll_create1, &[libc::EPOLL_CLOEXEC as usize]))?;
            (event, epoll)
        };
        let mut interest = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        let add = libc::EPOLL_CTL_ADD;
        // SAFETY: both descriptors are open and the event is alive.
        if unsafe { libc::epoll_ctl(epoll.as_raw_fd(), add, event.as_raw_fd(), &raw mut interest) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { kind, signal: event, epoll })
    }

    /// Takes the event; blocks when there is none.
    fn read(&self) -> io::Result<()> {
        let mut count = 0_u64;
        // SAFETY: eight bytes are written to a live word.
        unsafe {
            sys::syscall(libc::SYS_read, &[self.signal.as_raw_fd() as usize, &raw mut count as usize, 8])
        }?;
        Ok(())
    }
}

impl Wait for Event {
    fn block(&self) -> io::Result<()> {
        let fd = self.signal.as_raw_fd();
        let epoll = self.epoll.as_raw_fd() as usize;
        let mut asked = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut set = [0_u64; 16];
        set[fd as usize / 64] |= 1 << (fd % 64);
        let mut got = libc::epoll_event { events: 0, u64: 0 };
        let (asked, set, got) = (&raw mut asked as usize, &raw mut set as usize, &raw mut got as usize);
        let forever = -1_isize as usize;
        let (number, arguments) = match self.kind {
            Kind::Poll => (libc::SYS_poll, [asked, 1, forever, 0, 0, 0]),
            Kind::Ppoll => (libc::SYS_ppoll, [asked, 1, 0, 0, SIGSET_BYTES, 0]),
            Kind::Select => (libc::SYS_select, [fd as usize + 1, set, 0, 0, 0, 0]),
            Kind::Pselect6 => (libc::SYS_pselect6, [fd as usize + 1, set, 0, 0, 0, 0]),
            Kind::EpollWait => (libc::SYS_epoll_wait, [epoll, got, 1, forever, 0, 0]),
            Kind::EpollPwait => (libc::SYS_epoll_pwait, [epoll, got, 1, forever, 0, SIGSET_BYTES]),
            Kind::EpollPwait2 => (libc::SYS_epoll_pwait2, [epoll, got, 1, 0, 0, SIGSET_BYTES]),
            _ => return self.read(),
        };
        // SAFETY: what the pointers name is alive and of the size that each call takes (one pollfd, one
        // epoll_event, sets of 1024 bits); null pointers mean no timeout and no signal mask.
        unsafe { sys::syscall(number, &arguments) }?;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        let one = 1_u64;
        // SAFETY: eight bytes are read from a live word.
        unsafe {
            sys::syscall(libc::SYS_write, &[self.signal.as_raw_fd() as usize, &raw const one as usize, 8])
        }?;
        Ok(())
    }

    fn settle(&self) -> io::Result<()> {
        if self.kind == Kind::Eventfd { Ok(()) } else { self.read() }
    }
}
