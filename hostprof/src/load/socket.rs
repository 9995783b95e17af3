//! A TCP connection as hyper wants it, which stamps what passes, and asks the kernel when what is read came.
//!
//! With SO_TIMESTAMPNS the kernel tells of what is read when its newest segment was received; the time from then to
//! the reading is the client's own delay. See tcp(7), socket(7), and `tcp_recv_timestamp` of the kernel's
//! net/ipv4/tcp.c.

use std::{
    cell::Cell,
    io::{self, IoSliceMut},
    os::fd::AsRawFd as _,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use tokio::{
    io::{AsyncWrite as _, Interest},
    net::TcpStream,
};

use crate::clock;

/// Bytes read at a time.
const READ_BYTES: usize = 8 << 10;

/// A clock that was set, and no delay.
const IMPLAUSIBLE_NS: u64 = 3_600_000_000_000;

/// When what passed, since the last [`Stamps::reset`]: CLOCK_MONOTONIC nanoseconds, 0 for never.
#[derive(Debug, Default)]
pub struct Stamps {
    /// The first byte was handed to the socket.
    pub first_write: Cell<u64>,
    /// The first byte was read.
    pub first_read: Cell<u64>,
    /// The last byte was read.
    pub last_read: Cell<u64>,
    /// The most time between the kernel's receiving and the reading, nanoseconds.
    pub read_delay_ns: Cell<u64>,
    /// Whether the kernel told of any.
    pub delay_is_known: Cell<bool>,
}

impl Stamps {
    /// Begins another exchange.
    pub fn reset(&self) {
        for stamp in [&self.first_write, &self.first_read, &self.last_read, &self.read_delay_ns] {
            stamp.set(0);
        }
        self.delay_is_known.set(false);
    }

    fn read(&self, received_wall_ns: Option<u64>) {
        let now = clock::mono().0;
        if self.first_read.get() == 0 {
            self.first_read.set(now);
        }
        self.last_read.set(now);
        let delay = received_wall_ns.and_then(|received| clock::wall().0.checked_sub(received));
        if let Some(delay) = delay.filter(|&delay| delay < IMPLAUSIBLE_NS) {
            self.delay_is_known.set(true);
            self.read_delay_ns.set(self.read_delay_ns.get().max(delay));
        }
    }
}

/// A connection.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    stamps: Rc<Stamps>,
    /// Where the kernel tells when what is read came.
    control: Vec<u8>,
}

impl Socket {
    /// Takes a connection over.
    ///
    /// # Errors
    ///
    /// The connection is gone.
    pub fn new(stream: TcpStream, stamps: Rc<Stamps>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        // A kernel that does not tell is no reason not to measure the rest.
        let _ = setsockopt(&stream, sockopt::ReceiveTimestampns, &true);
        Ok(Self { stream, stamps, control: nix::cmsg_space!(nix::sys::time::TimeSpec) })
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, stamps, control } = &mut *self;
        let mut bytes = [0; READ_BYTES];
        let room = buffer.remaining().min(READ_BYTES);
        loop {
            ready!(stream.poll_read_ready(cx))?;
            let read = stream.try_io(Interest::READABLE, || receive(stream, &mut bytes[..room], control));
            match read {
                Ok((length, received_wall_ns)) => {
                    if length > 0 {
                        stamps.read(received_wall_ns);
                        buffer.put_slice(&bytes[..length]);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

/// Reads, and asks when what was read came: CLOCK_REALTIME nanoseconds.
fn receive(stream: &TcpStream, bytes: &mut [u8], control: &mut Vec<u8>) -> io::Result<(usize, Option<u64>)> {
    let mut slices = [IoSliceMut::new(bytes)];
    let read = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(control), MsgFlags::empty())?;
    let received = read.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(time) => {
            Some(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
        }
        _ => None,
    });
    Ok((read.bytes, received))
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let now = clock::mono().0;
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        if self.stamps.first_write.get() == 0 {
            self.stamps.first_write.set(now);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let now = clock::mono().0;
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        if self.stamps.first_write.get() == 0 {
            self.stamps.first_write.set(now);
        }
        Poll::Ready(Ok(written))
    }
}
