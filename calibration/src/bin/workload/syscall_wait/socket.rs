//! Waits for Unix sockets: for a datagram, for room, for a caller, for a place in the backlog.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream},
    },
    ptr,
    sync::Mutex,
};

use calibration::sys;

use super::{Kind, Wait, owned};

/// A message header for one buffer.
fn header(part: &mut libc::iovec) -> libc::msghdr {
    // SAFETY: an all-zero msghdr is valid: no address, no control data.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = part;
    header.msg_iovlen = 1;
    header
}

/// A pair of sockets with nothing to receive.
pub(super) struct Empty {
    kind: Kind,
    here: UnixDatagram,
    there: UnixDatagram,
}

impl Empty {
    pub(super) fn new(kind: Kind) -> io::Result<Self> {
        let (here, there) = UnixDatagram::pair()?;
        Ok(Self { kind, here, there })
    }
}

impl Wait for Empty {
    fn block(&self) -> io::Result<()> {
        let mut bytes = [0_u8; 8];
        let fd = self.here.as_raw_fd() as usize;
        let address = bytes.as_mut_ptr();
        let mut part = libc::iovec { iov_base: address.cast(), iov_len: 8 };
        let mut header = header(&mut part);
        // SAFETY: eight live bytes are written to, by their address or by a live header that names them.
        unsafe {
            match self.kind {
                Kind::Recvmsg => sys::syscall(libc::SYS_recvmsg, &[fd, &raw mut header as usize, 0]),
                _ => sys::syscall(libc::SYS_recvfrom, &[fd, address as usize, 8, 0, 0, 0]),
            }
        }?;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        self.there.send(&[1]).map(|_| ())
    }
}

/// A pair of sockets with no room to send: the sender's buffer is full.
pub(super) struct Full {
    kind: Kind,
    here: UnixDatagram,
    there: UnixDatagram,
}

impl Full {
    pub(super) fn new(kind: Kind) -> io::Result<Self> {
        let (here, there) = UnixDatagram::pair()?;
        there.set_nonblocking(true)?;
        Ok(Self { kind, here, there })
    }

    /// Sends one datagram; without `MSG_DONTWAIT` in `flags` it blocks until there is room.
    fn send(&self, flags: i32) -> io::Result<()> {
        let mut bytes = [0_u8; 8];
        let fd = self.here.as_raw_fd() as usize;
        let address = bytes.as_mut_ptr();
        let mut part = libc::iovec { iov_base: address.cast(), iov_len: 8 };
        let header = header(&mut part);
        // SAFETY: eight live bytes are read, by their address or by a live header that names them.
        unsafe {
            match self.kind {
                Kind::Sendmsg => {
                    sys::syscall(libc::SYS_sendmsg, &[fd, &raw const header as usize, flags as usize])
                }
                _ => sys::syscall(libc::SYS_sendto, &[fd, address as usize, 8, flags as usize, 0, 0]),
            }
        }?;
        Ok(())
    }
}

impl Wait for Full {
    fn prepare(&self) -> io::Result<()> {
        loop {
            match self.send(libc::MSG_DONTWAIT) {
                Ok(()) => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(err) => return Err(err),
            }
        }
    }

    fn block(&self) -> io::Result<()> {
        self.send(0)
    }

    fn wake(&self) -> io::Result<()> {
        // The kernel wakes a sender once half of its buffer is free: take all there is.
        loop {
            match self.there.recv(&mut [0; 8]) {
                Ok(_) => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(err) => return Err(err),
            }
        }
    }
}

/// A name in the abstract namespace: nothing is left on a disk.
fn name(of: &str) -> String {
    format!("hostprof-workload-{of}-{}", std::process::id())
}

fn listener(name: &str) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// A listening socket that nobody calls.
pub(super) struct Listener {
    kind: Kind,
    socket: UnixListener,
    name: String,
}

impl Listener {
    pub(super) fn new(kind: Kind) -> io::Result<Self> {
        let name = name("accept");
        Ok(Self { kind, socket: listener(&name)?, name })
    }
}

impl Wait for Listener {
    fn block(&self) -> io::Result<()> {
        let fd = self.socket.as_raw_fd() as usize;
        let number = if self.kind == Kind::Accept4 { libc::SYS_accept4 } else { libc::SYS_accept };
        // SAFETY: the caller's address is not asked for; the call opens a descriptor.
        unsafe { owned(sys::syscall(number, &[fd, 0, 0, 0])) }?;
        Ok(())
    }

    fn wake(&self) -> io::Result<()> {
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(&self.name)?).map(drop)
    }
}

/// A listening socket whose backlog is full.
pub(super) struct Backlog {
    listener: UnixListener,
    name: String,
    /// Connections that fill the backlog. Only the waiter locks it.
    callers: Mutex<Vec<OwnedFd>>,
}

impl Backlog {
    pub(super) fn new() -> io::Result<Self> {
        let name = name("connect");
        let listener = listener(&name)?;
        // SAFETY: integers only; a second call changes the backlog.
        if unsafe { libc::listen(listener.as_raw_fd(), 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { listener, name, callers: Mutex::default() })
    }

    /// Connects a new socket, of the type with `flags`.
    fn connect(&self, flags: i32) -> io::Result<OwnedFd> {
        // SAFETY: an all-zero address is valid, and is filled below.
        let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
        address.sun_family = libc::AF_UNIX as u16;
        // The first byte stays zero: an abstract name.
        for (to, from) in address.sun_path[1..].iter_mut().zip(self.name.bytes()) {
            *to = from.cast_signed();
        }
        let length = std::mem::offset_of!(libc::sockaddr_un, sun_path) + 1 + self.name.len();
        let kind = (libc::SOCK_STREAM | flags) as usize;
        // SAFETY: the first call opens a descriptor; the address is alive and of the length given.
        unsafe {
            let socket = owned(sys::syscall(libc::SYS_socket, &[libc::AF_UNIX as usize, kind, 0]))?;
            let fd = socket.as_raw_fd() as usize;
            sys::syscall(libc::SYS_connect, &[fd, ptr::from_ref(&address) as usize, length])?;
            Ok(socket)
        }
    }
}

impl Wait for Backlog {
    fn prepare(&self) -> io::Result<()> {
        let mut callers = self.callers.lock().map_err(|_| io::Error::other("poisoned"))?;
        loop {
            match self.connect(libc::SOCK_NONBLOCK) {
                Ok(caller) => callers.push(caller),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(err) => return Err(err),
            }
        }
    }

    fn block(&self) -> io::Result<()> {
        self.connect(0).map(drop)
    }

    fn wake(&self) -> io::Result<()> {
        self.listener.accept().map(drop)
    }
}
