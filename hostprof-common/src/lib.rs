//! The wire format between hostprof's kernel half and its user half.
//!
//! Everything here is `#[repr(C)]`, made of integers, with padding spelled out, and guarded by
//! compile-time assertions: a record is a span of bytes in a ring, written by the kernel half
//! and decoded by `hostprof::probe` as a pure function. All times are `CLOCK_MONOTONIC` nanoseconds.

#![no_std]

pub mod episode;
pub mod function;
pub mod http;
pub mod layout;
pub mod nvidia;
pub mod ring;
pub mod shed;
pub mod slot;
pub mod socket;
pub mod span;
pub mod stats;
pub mod thread;

/// The length of a thread name in the kernel, with its terminating zero.
pub const COMM_BYTES: usize = 16;

/// The first 16 bits of every record: what it is, and so how long it is.
///
/// The decoder matches on this without a `_` arm: a new kind does not compile until it is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum RecordKind {
    /// [`episode::Runnable`]: a thread came back after being switched out while runnable.
    Runnable = 1,
    /// [`episode::Blocked`]: a thread came back after blocking.
    Blocked = 2,
    /// [`thread::Begin`]: a thread is recorded from here on.
    ThreadBegin = 3,
    /// [`thread::End`]: a thread's last switch, or its last instant under this tid.
    ThreadEnd = 4,
    /// [`thread::First`]: the kernel's counters at the first switch of a thread met while it ran.
    ThreadFirst = 5,
    /// [`thread::Exec`]: a process runs another program.
    Exec = 6,
    /// [`thread::Rename`]: a thread has another name.
    Rename = 7,
    /// [`span::Span`]: a system call returned.
    Span = 8,
    /// [`http::Short`]: an event of a connection to an HTTP server.
    HttpShort = 9,
    /// [`http::Long`]: the same with more text.
    HttpLong = 10,
    /// [`shed::Counted`]: episodes of a thread that were counted, not recorded.
    Counted = 11,
    /// [`nvidia::Ioctl`]: a call of the NVIDIA driver returned.
    NvidiaIoctl = 12,
    /// [`function::Call`]: a call of a library's function returned.
    FunctionCall = 13,
}

impl RecordKind {
    /// The kind behind the number that starts a record, or `None` for one this version does not know.
    #[inline]
    pub const fn from_u16(kind: u16) -> Option<Self> {
        Some(match kind {
            1 => Self::Runnable,
            2 => Self::Blocked,
            3 => Self::ThreadBegin,
            4 => Self::ThreadEnd,
            5 => Self::ThreadFirst,
            6 => Self::Exec,
            7 => Self::Rename,
            8 => Self::Span,
            9 => Self::HttpShort,
            10 => Self::HttpLong,
            11 => Self::Counted,
            12 => Self::NvidiaIoctl,
            13 => Self::FunctionCall,
            _ => return None,
        })
    }

    /// How many bytes a record of this kind has in a ring.
    #[inline]
    pub const fn size(self) -> usize {
        match self {
            Self::Runnable => size_of::<episode::Runnable>(),
            Self::Blocked => size_of::<episode::Blocked>(),
            Self::ThreadBegin => size_of::<thread::Begin>(),
            Self::ThreadEnd => size_of::<thread::End>(),
            Self::ThreadFirst => size_of::<thread::First>(),
            Self::Exec => size_of::<thread::Exec>(),
            Self::Rename => size_of::<thread::Rename>(),
            Self::Span => size_of::<span::Span>(),
            Self::HttpShort => size_of::<http::Short>(),
            Self::HttpLong => size_of::<http::Long>(),
            Self::Counted => size_of::<shed::Counted>(),
            Self::NvidiaIoctl => size_of::<nvidia::Ioctl>(),
            Self::FunctionCall => size_of::<function::Call>(),
        }
    }
}
