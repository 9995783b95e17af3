//! Sends and receives of the target's HTTP servers, from which user space rebuilds requests.
//!
//! A record carries the beginning of what was moved, so that user space can find where messages begin and end. It
//! looks at that and drops it: no text gets into a recording.

/// Bytes of text in a [`Short`].
pub const SHORT_TEXT: usize = 512;
/// Bytes of text in a [`Long`]: request heads, and sends of several chunks.
pub const LONG_TEXT: usize = 4096;

/// What happened on a connection: [`Head::op`].
pub mod op {
    /// The server received bytes, or with `length` 0 learnt that the client sends no more.
    pub const RECEIVE: u16 = 1;
    /// The server sent bytes.
    pub const SEND: u16 = 2;
    /// The client closed its side.
    pub const CLIENT_CLOSED: u16 = 3;
    /// The server closed its side.
    pub const SERVER_CLOSED: u16 = 4;
    /// The connection is gone.
    pub const GONE: u16 = 5;
}

/// The beginning of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Head {
    /// [`crate::RecordKind::HttpShort`] or `HttpLong`.
    pub kind: u16,
    /// One of [`op`].
    pub op: u16,
    /// The thread that called, by its number in this recording; 0 where no call of a thread did it.
    pub utid: u32,
    /// When the call had done its work, or the connection's state changed.
    pub at_ns: u64,
    /// When the first byte of a receive had reached the socket, since the last receive; 0 where that was not seen.
    pub arrived_ns: u64,
    /// The socket's cookie, never used again.
    pub connection: u64,
    /// Bytes that were moved.
    pub length: u32,
    /// Of them, those at the start of the text that follows.
    pub text_length: u32,
}

/// A record with a little text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Short {
    pub head: Head,
    pub text: [u8; SHORT_TEXT],
}

/// A record with much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Long {
    pub head: Head,
    pub text: [u8; LONG_TEXT],
}

/// What the kernel half keeps of a connection to one of the target's servers, by its cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Connection {
    /// When bytes reached it that no receive has taken yet; 0 where there are none.
    pub arrived_ns: u64,
    /// One of [`protocol`].
    pub protocol: u32,
    pub _pad: u32,
}

/// What is spoken on a connection: [`Connection::protocol`].
pub mod protocol {
    /// Nothing was received yet that tells.
    pub const UNKNOWN: u32 = 0;
    /// HTTP/1.0 or 1.1.
    pub const HTTP: u32 = 1;
    /// TLS, which nothing here can read.
    pub const TLS: u32 = 2;
    /// HTTP/2, whose streams are not told apart.
    pub const HTTP2: u32 = 3;
}

/// What one CPU has counted of connections that requests cannot be rebuilt from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct HttpStats {
    /// Connections that speak TLS.
    pub tls: u64,
    /// Connections that speak HTTP/2.
    pub http2: u64,
    /// Receives and sends by io_uring, whose buffers are not known.
    pub io_uring: u64,
    /// Times that a connection found no room.
    pub untold: u64,
}

impl HttpStats {
    /// The counts of two together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            tls: self.tls + other.tls,
            http2: self.http2 + other.http2,
            io_uring: self.io_uring + other.io_uring,
            untold: self.untold + other.untold,
        }
    }
}

/// Words of 64 bits in the set of ports that the target's servers listen on.
pub const PORT_WORDS: u32 = 1024;

const _: () = {
    assert!(size_of::<Head>() == 40);
    assert!(size_of::<Short>() == 40 + SHORT_TEXT && SHORT_TEXT.is_multiple_of(8));
    assert!(size_of::<Long>() == 40 + LONG_TEXT && LONG_TEXT.is_multiple_of(8));
    assert!(size_of::<Connection>() == 16);
    assert!(size_of::<HttpStats>() == 32);
};

#[cfg(feature = "user")]
mod user {
    use super::{Connection, HttpStats};

    // SAFETY: `repr(C)`, integers only, padding spelled out (the assertions above).
    unsafe impl aya::Pod for Connection {}
    // SAFETY: as above.
    unsafe impl aya::Pod for HttpStats {}
}
