//! Records of the kernel half, decoded: a pure function of their bytes.

use hostprof_common::{
    RecordKind,
    episode::{Blocked, Head, Runnable, flag},
    function,
    http::{Head as HttpHead, Long, Short},
    nvidia::Ioctl,
    shed::Counted,
    span::Span,
    thread::{Begin, End, Exec, First, Rename},
};

use super::http::SocketEvent;
use crate::units::MonoNs;

/// A record of the kernel half. Those that are large and rare are apart: what waits for its turn is as large as
/// the largest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A thread came back that had been switched out while runnable.
    Runnable(Runnable),
    /// A thread came back that had blocked.
    Blocked(Blocked),
    /// A thread is recorded from here on.
    Begin(Begin),
    /// A thread ended.
    End(Box<End>),
    /// The kernel's counters at a thread's first switch-out.
    First(First),
    /// A process runs another program.
    Exec(Box<Exec>),
    /// A thread has another name.
    Rename(Rename),
    /// A system call returned.
    Span(Span),
    /// A connection to an HTTP server had an event.
    Socket(Box<SocketEvent>),
    /// Episodes of a thread that were counted.
    Counted(Counted),
    /// A call of the NVIDIA driver returned.
    Nvidia(Box<Ioctl>),
    /// A call of a library's function returned.
    Function(function::Call),
}

/// Bytes that are no record of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The kind is not known.
    #[error("unknown record kind {0}")]
    Kind(u16),
    /// What happened on a connection is not known.
    #[error("unknown operation {0} on a connection")]
    Operation(u16),
    /// The record is shorter than its kind.
    #[error("record of {found} bytes, expected {expected}")]
    Short {
        /// Bytes there are.
        found: usize,
        /// Bytes its kind has.
        expected: usize,
    },
}

impl Event {
    /// Decodes one record.
    ///
    /// # Errors
    ///
    /// See [`DecodeError`].
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let kind = bytes.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes));
        let kind = kind.ok_or(DecodeError::Short { found: bytes.len(), expected: 2 })?;
        let kind = RecordKind::from_u16(kind).ok_or(DecodeError::Kind(kind))?;
        if bytes.len() < kind.size() {
            return Err(DecodeError::Short { found: bytes.len(), expected: kind.size() });
        }
        Ok(match kind {
            RecordKind::Runnable => Self::Runnable(read(bytes)),
            RecordKind::Blocked => Self::Blocked(read(bytes)),
            RecordKind::ThreadBegin => Self::Begin(read(bytes)),
            RecordKind::ThreadEnd => Self::End(Box::new(read(bytes))),
            RecordKind::ThreadFirst => Self::First(read(bytes)),
            RecordKind::Exec => Self::Exec(Box::new(read(bytes))),
            RecordKind::Rename => Self::Rename(read(bytes)),
            RecordKind::Span => Self::Span(read(bytes)),
            RecordKind::HttpShort => {
                let Short { head, text } = read(bytes);
                Self::socket(&head, &text)?
            }
            RecordKind::HttpLong => {
                let Long { head, text } = read(bytes);
                Self::socket(&head, &text)?
            }
            RecordKind::Counted => Self::Counted(read(bytes)),
            RecordKind::NvidiaIoctl => Self::Nvidia(Box::new(read(bytes))),
            RecordKind::FunctionCall => Self::Function(read(bytes)),
        })
    }

    fn socket(head: &HttpHead, text: &[u8]) -> Result<Self, DecodeError> {
        let event = SocketEvent::decode(head, text).ok_or(DecodeError::Operation(head.op))?;
        Ok(Self::Socket(Box::new(event)))
    }

    /// When it happened: the order of events.
    #[inline]
    pub fn at(&self) -> MonoNs {
        MonoNs(match self {
            Self::Runnable(Runnable { head }) | Self::Blocked(Blocked { head, .. }) => head.in_ns,
            Self::Begin(begin) => begin.at_ns,
            Self::End(end) => end.at_ns,
            Self::First(first) => first.counters.at_ns,
            Self::Exec(exec) => exec.at_ns,
            Self::Rename(rename) => rename.at_ns,
            Self::Span(span) => span.exit_ns,
            Self::Socket(event) => event.at.0,
            Self::Counted(counted) => counted.at_ns,
            Self::Nvidia(ioctl) => ioctl.span.exit_ns,
            Self::Function(call) => call.exit_ns,
        })
    }

    /// How many bytes its record has.
    #[inline]
    pub fn wire_bytes(&self) -> usize {
        match self {
            Self::Runnable(_) => size_of::<Runnable>(),
            Self::Blocked(_) => size_of::<Blocked>(),
            Self::Begin(_) => size_of::<Begin>(),
            Self::End(_) => size_of::<End>(),
            Self::First(_) => size_of::<First>(),
            Self::Exec(_) => size_of::<Exec>(),
            Self::Rename(_) => size_of::<Rename>(),
            Self::Span(_) => size_of::<Span>(),
            Self::Socket(event) => event.wire_bytes,
            Self::Counted(_) => size_of::<Counted>(),
            Self::Nvidia(_) => size_of::<Ioctl>(),
            Self::Function(_) => size_of::<function::Call>(),
        }
    }

    /// An episode that was held to be counted, if there is one.
    pub fn held(episode: &Blocked) -> Option<Self> {
        match RecordKind::from_u16(episode.head.kind)? {
            RecordKind::Runnable => Some(Self::Runnable(Runnable { head: episode.head })),
            RecordKind::Blocked => Some(Self::Blocked(*episode)),
            _ => None,
        }
    }

    /// Whether it was written long after it happened: its switch-in was not traced, or it was held to be counted.
    pub fn is_untold(&self) -> bool {
        self.head().is_some_and(|head| head.flags & (flag::UNTOLD | flag::LATE) != 0)
    }

    /// The head of an episode.
    pub fn head(&self) -> Option<&Head> {
        match self {
            Self::Runnable(Runnable { head }) | Self::Blocked(Blocked { head, .. }) => Some(head),
            _ => None,
        }
    }
}

/// Reads a wire struct. `bytes` must be as long: `decode` has checked it.
#[inline]
fn read<T: Wire>(bytes: &[u8]) -> T {
    assert!(bytes.len() >= size_of::<T>());
    // SAFETY: the length is checked, a wire struct has no invalid bit patterns (see `Wire`), and the read
    // needs no alignment.
    unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
}

/// A struct of the wire: `repr(C)`, integers only.
trait Wire: Copy {}
impl Wire for Runnable {}
impl Wire for Blocked {}
impl Wire for Begin {}
impl Wire for End {}
impl Wire for First {}
impl Wire for Exec {}
impl Wire for Rename {}
impl Wire for Span {}
impl Wire for Short {}
impl Wire for Long {}
impl Wire for Counted {}
impl Wire for Ioctl {}
impl Wire for function::Call {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_decoded_from_its_bytes() {
        let mut bytes = [0_u8; 80];
        bytes[..2].copy_from_slice(&2_u16.to_ne_bytes());
        bytes[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[8..16].copy_from_slice(&900_u64.to_ne_bytes());
        bytes[48..56].copy_from_slice(&850_u64.to_ne_bytes());
        let Event::Blocked(blocked) = Event::decode(&bytes).unwrap() else { panic!("not a blocked episode") };
        assert_eq!((blocked.head.utid, blocked.head.in_ns, blocked.wake_ns), (7, 900, 850));
    }

    #[test]
    fn bytes_that_are_no_record_are_refused() {
        assert_eq!(Event::decode(&[]), Err(DecodeError::Short { found: 0, expected: 2 }));
        assert_eq!(Event::decode(&[99, 0]), Err(DecodeError::Kind(99)));
        assert_eq!(Event::decode(&[2, 0, 0, 0]), Err(DecodeError::Short { found: 4, expected: 80 }));
    }
}
