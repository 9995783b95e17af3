//! What processes send and receive, counted by the kernel half.

/// Payload bytes of a process's IPv4 and IPv6 sockets, since it is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SocketBytes {
    /// Handed to sockets.
    pub sent: u64,
    /// Handed over by sockets.
    pub received: u64,
}

impl SocketBytes {
    /// Nothing.
    pub const ZERO: Self = Self { sent: 0, received: 0 };
}

const _: () = assert!(size_of::<SocketBytes>() == 16);

#[cfg(feature = "user")]
// SAFETY: `repr(C)`, integers only, no padding (the size assertion above).
unsafe impl aya::Pod for SocketBytes {}
