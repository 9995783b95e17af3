//! Calls of CUDA's driver library (libcuda), seen by probes at its functions.
//!
//! A probe's cookie says what its function is: user space packs a [`Cookie`], the kernel half reads from it where the
//! caller's arguments tell bytes, and decides nothing of what a call means.

/// What a probe at a function is told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    /// The call, by its place in user space's list.
    pub call: u16,
    /// Which of a thread's open calls it may be: one of [`lane`].
    pub lane: u32,
    /// How many bytes it is about.
    pub bytes: Bytes,
}

/// Where a call's arguments tell its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bytes {
    /// Nowhere.
    #[default]
    None,
    /// In an argument, by its number from 0.
    Arg(u32),
    /// In an argument, in units of `1 << shift` bytes.
    Units(u32, u32),
    /// The product of two arguments, in units of `1 << shift` bytes.
    Product(u32, u32, u32),
    /// In the structure that the first argument points to: [`COPY_2D`].
    Copy2d,
    /// The same, [`COPY_3D`].
    Copy3d,
}

/// Where `CUDA_MEMCPY2D_v2` has width in bytes and height, and `CUDA_MEMCPY3D_v2` width in bytes, height and depth:
/// one after the other.
pub const COPY_2D: u64 = 112;
pub const COPY_3D: u64 = 176;

/// A thread is in one call of each at a time: the outermost.
pub mod lane {
    /// It waits for the GPU.
    pub const SYNC: u32 = 0;
    /// Anything else.
    pub const OTHER: u32 = 1;
    /// How many there are.
    pub const COUNT: u32 = 2;
}

const LANE: u32 = 16;
const FIRST: u32 = 20;
const SECOND: u32 = 24;
const SHIFT: u32 = 28;
const SHAPE: u32 = 32;
const COPIES_2D: u64 = 1;
const COPIES_3D: u64 = 2;

impl Cookie {
    /// As one word.
    pub const fn pack(self) -> u64 {
        let (first, second, shift, shape) = match self.bytes {
            Bytes::None => (0, 0, 0, 0),
            Bytes::Arg(at) => (at + 1, 0, 0, 0),
            Bytes::Units(at, shift) => (at + 1, 0, shift, 0),
            Bytes::Product(one, two, shift) => (one + 1, two + 1, shift, 0),
            Bytes::Copy2d => (0, 0, 0, COPIES_2D),
            Bytes::Copy3d => (0, 0, 0, COPIES_3D),
        };
        self.call as u64
            | (self.lane as u64) << LANE
            | (first as u64) << FIRST
            | (second as u64) << SECOND
            | (shift as u64) << SHIFT
            | shape << SHAPE
    }

    /// The call of a packed one.
    #[inline]
    pub const fn call_of(word: u64) -> u16 {
        word as u16
    }

    /// Its lane.
    #[inline]
    pub const fn lane_of(word: u64) -> u32 {
        (word >> LANE) as u32 & (lane::COUNT - 1)
    }

    /// The numbers of the arguments whose product is its bytes, each one more than it is, 0 for none; and the shift.
    #[inline]
    pub const fn args_of(word: u64) -> (u32, u32, u32) {
        ((word >> FIRST) as u32 & 0xf, (word >> SECOND) as u32 & 0xf, (word >> SHIFT) as u32 & 0xf)
    }

    /// How many numbers the first argument's structure has, and where.
    #[inline]
    pub const fn copy_of(word: u64) -> Option<(u64, u32)> {
        match word >> SHAPE & 0xf {
            COPIES_2D => Some((COPY_2D, 2)),
            COPIES_3D => Some((COPY_3D, 3)),
            _ => None,
        }
    }
}

/// A call of a recorded thread returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Call {
    /// [`crate::RecordKind::CudaCall`].
    pub kind: u16,
    /// Which, as in [`Cookie::call`].
    pub call: u16,
    /// The thread, by its number in this recording ([`crate::thread::Begin::utid`]).
    pub utid: u32,
    /// When it returned.
    pub exit_ns: u64,
    /// When it was entered.
    pub enter_ns: u64,
    /// As in [`crate::span::Span`].
    pub off_cpu_ns: u64,
    /// What it is about, where [`flag::BYTES`] says so.
    pub bytes: u64,
    /// What it returned, a `CUresult`; not where [`flag::OPEN`] is set.
    pub ret: i32,
    /// See [`flag`].
    pub flags: u32,
}

/// What is known of a call: [`Call::flags`].
pub mod flag {
    /// Its bytes were told by its arguments.
    pub const BYTES: u32 = 1 << 0;
    /// Its thread ended in it.
    pub const OPEN: u32 = 1 << 1;
}

/// A call that has not returned, [`lane::COUNT`] for each slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Open {
    /// As in [`Call`].
    pub enter_ns: u64,
    /// As in [`crate::span::Open`].
    pub off_ns: u64,
    pub untold_out_ns: u64,
    /// The stack pointer at its first instruction: what is called within it has a lower one.
    pub stack: u64,
    /// Its first instruction.
    pub function: u64,
    pub bytes: u64,
    /// Whose call it is: a slot is used again.
    pub utid: u32,
    pub call: u16,
    /// 1 while it is open.
    pub state: u16,
    /// Functions that it went on to without a call of its own: each tells a return.
    pub chained: u32,
    /// See [`flag`].
    pub flags: u32,
}

const _: () = {
    assert!(size_of::<Call>() == 48 && size_of::<Call>() <= size_of::<crate::ring::Cell>());
    assert!(size_of::<Open>() == 64);
    assert!(lane::COUNT.is_power_of_two());
};

#[cfg(feature = "user")]
// SAFETY: `repr(C)`, integers only, without padding (the assertions above).
unsafe impl aya::Pod for Open {}
