//! Calls of the NVIDIA driver: a span, and what was read of the structure that its argument points to.
//!
//! The kernel half copies bytes and decides nothing of their meaning: how many a structure has, and where the driver
//! writes its status, user space says in [`Shape`]s, by device, number and size.

use crate::span::{DEVICE_RANGES, Span};

/// What a device speaks: [`Settings::kinds`], [`Call::device`].
pub mod device {
    /// Something else: nothing is read.
    pub const OTHER: u32 = 0;
    /// `/dev/nvidiactl` and `/dev/nvidiaN`: escapes, numbered by the request's low byte.
    pub const FRONTEND: u32 = 1;
    /// `/dev/nvidia-uvm`: plain numbers.
    pub const UVM: u32 = 2;
}

/// The escape whose structure tells number, size and address of the real one.
pub const XFER: u32 = 211;
/// Bytes of that structure: `u32 number, u32 size, u64 address`.
pub const XFER_BYTES: u32 = 16;

/// At most so many bytes of a structure are copied: as far as any of its fields that are looked at.
pub const HEAD: usize = 96;

/// In [`Shape::status`]: the structure has none.
pub const NO_STATUS: u32 = u32::MAX;

/// Where an allocation's structure has the class, and the address of the class's parameters.
pub const CLASS_AT: usize = 12;
pub const PARAMS_AT: usize = 16;
/// Where the parameters of a memory class have the size.
pub const MEMORY_SIZE_AT: u64 = 64;

/// Whether a class is one of memory, whose parameters have its size.
#[inline]
pub const fn is_memory(class: u32) -> bool {
    // NV01_MEMORY_SYSTEM, NV01_MEMORY_LOCAL_USER, NV50_MEMORY_VIRTUAL.
    matches!(class, 0x3e | 0x40 | 0x50a0)
}

/// Whose shape it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct ShapeKey {
    /// One of [`device`].
    pub device: u32,
    /// The number, after [`XFER`] is followed.
    pub nr: u32,
    /// The structure's size; 0 where requests tell none.
    pub size: u32,
}

/// What to read of a structure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Shape {
    /// Bytes from its start, at most [`HEAD`].
    pub head: u32,
    /// Where its status is, or [`NO_STATUS`].
    pub status: u32,
    /// 1 where it is an allocation: see [`PARAMS_AT`].
    pub allocates: u32,
}

/// What was read of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Call {
    /// The structure's address, after [`XFER`] is followed.
    pub address: u64,
    /// The size in the parameters of a memory class, where [`flag::PARAMS`] says so.
    pub memory_bytes: u64,
    /// The call's number, after [`XFER`] is followed.
    pub nr: u32,
    /// The structure's size; 0 where the request tells none.
    pub size: u32,
    /// One of [`device`].
    pub device: u32,
    /// See [`flag`].
    pub flags: u32,
    /// The status as it was at the exit, where [`flag::STATUS`] says so.
    pub status: u32,
    /// Where the status is, or [`NO_STATUS`].
    pub status_at: u32,
    /// Bytes of `head` that are the structure's.
    pub head_bytes: u32,
    pub _pad: u32,
    /// The structure's first bytes at the enter.
    pub head: [u8; HEAD],
}

/// What a call's reads came to: [`Call::flags`].
pub mod flag {
    /// The call came through [`super::XFER`].
    pub const XFER: u32 = 1 << 0;
    /// A shape is known for its number and size.
    pub const SHAPE: u32 = 1 << 1;
    /// `head` was read.
    pub const HEAD: u32 = 1 << 2;
    /// `memory_bytes` was read.
    pub const PARAMS: u32 = 1 << 3;
    /// `status` was read.
    pub const STATUS: u32 = 1 << 4;
    /// A read failed: the page was not in memory, or the address is none.
    pub const UNREAD: u32 = 1 << 5;
    /// `exit` of the record was read.
    pub const EXIT: u32 = 1 << 6;
}

/// A call of a selected NVIDIA device returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Ioctl {
    /// Its `kind` is [`crate::RecordKind::NvidiaIoctl`].
    pub span: Span,
    pub call: Call,
    /// The structure's first bytes at the exit, where those are kept.
    pub exit: [u8; HEAD],
}

/// Which devices are NVIDIA's: set by user space before load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// What each range of [`crate::span::Filter::devices`] speaks: one of [`device`].
    pub kinds: [u32; DEVICE_RANGES],
    /// 1 where any of them is not [`device::OTHER`].
    pub any: u32,
    /// 1 where [`Ioctl::exit`] is read.
    pub keep_bytes: u32,
}

impl Settings {
    /// No device is NVIDIA's.
    pub const NONE: Self = Self { kinds: [device::OTHER; DEVICE_RANGES], any: 0, keep_bytes: 0 };
}

const _: () = {
    assert!(size_of::<ShapeKey>() == 12 && size_of::<Shape>() == 12);
    assert!(size_of::<Call>() == 48 + HEAD);
    assert!(size_of::<Ioctl>() == size_of::<Span>() + size_of::<Call>() + HEAD);
    assert!(size_of::<Settings>() == 4 * DEVICE_RANGES + 8);
    assert!(HEAD.is_multiple_of(8));
};

#[cfg(feature = "user")]
mod user {
    use super::{Settings, Shape, ShapeKey};

    // SAFETY: each is `repr(C)`, integers only, without padding (the assertions above).
    unsafe impl aya::Pod for ShapeKey {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Shape {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Settings {}
}
