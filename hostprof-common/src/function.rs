//! Calls of functions of libraries that processes have mapped (CUDA's driver, an engine), seen by probes at them.
//!
//! A probe's cookie says what its function is: user space packs a [`Cookie`], the kernel half reads from it where the
//! caller's arguments tell something, and decides nothing of what a call means.

use crate::span::probe;

/// What a probe at a function is told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    /// The call, by its place in user space's list; those of an engine from [`ENGINE_FIRST`] on.
    pub call: u16,
    /// Which of a thread's open calls it may be: one of [`lane`].
    pub lane: u32,
    /// What its arguments tell.
    pub args: Args,
}

/// The number of the first call of an engine: those before it are CUDA's.
pub const ENGINE_FIRST: u16 = 256;

/// Where a call's arguments tell how much it is about: bytes, or of an engine's batch its [`Batch`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Args {
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
    /// In llama.cpp's `struct llama_batch`, which is passed on the stack: [`batch`].
    Batch,
    /// In its `struct llama_batch_ext`, which the third argument points to: [`extended`].
    Extended,
}

/// `struct llama_batch`, from the stack pointer at a function's first instruction: behind the address to return to. It is
/// part of llama.cpp's interface (`include/llama.h`).
pub mod batch {
    /// `n_tokens`.
    pub const TOKENS: u64 = 8;
    /// `seq_id`: points to a pointer for each token, to its sequences.
    pub const SEQUENCES: u64 = 8 + 40;
}

/// `struct llama_batch_ext`, which is llama.cpp's own affair (`src/llama-batch.h`): what is read must make sense, or nothing
/// is told.
pub mod extended {
    /// `n_tokens_max`: no batch has more tokens.
    pub const TOKENS_MAX: u64 = 0;
    /// `n_seq_max`: sequences have numbers below it.
    pub const SEQUENCES_MAX: u64 = 0x20;
    /// `tokens`, a vector: where its elements begin, then where they end.
    pub const TOKENS: u64 = 0x48;
    /// The size of an element.
    pub const TOKEN_BYTES: u64 = 112;
    /// In an element, `seq_ids`, an unordered set: the first node of its list.
    pub const SEQUENCES: u64 = 0x38;
    /// In a node, the sequence.
    pub const SEQUENCE: u64 = 8;
    /// More than this is no number of tokens.
    pub const MOST_TOKENS: u64 = 1 << 24;
    /// `enum llama_process_type`: the second argument, for an encoder's batch.
    pub const ENCODE: u64 = 0;
}

/// Tokens of a batch whose sequence is read at most, at some tens of nanoseconds each.
pub const MOST_TOKENS: u32 = 512;

/// Sequences that are told apart: numbers below this.
pub const MOST_SEQUENCES: u32 = 64;

/// What a batch is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub tokens: u32,
    /// Sequences in it. 0 where they are not known.
    pub sequences: u8,
    /// Of those, the ones with several tokens.
    pub several: u8,
    /// It is an encoder's, as an argument says.
    pub encode: bool,
}

impl Batch {
    /// Nothing is known.
    pub const NONE: Self = Self { tokens: 0, sequences: 0, several: 0, encode: false };

    /// As one word.
    #[inline]
    pub const fn pack(self) -> u64 {
        self.tokens as u64
            | (self.sequences as u64) << 32
            | (self.several as u64) << 40
            | (self.encode as u64) << 48
    }

    /// The batch of a word.
    #[inline]
    pub const fn unpack(word: u64) -> Self {
        let (sequences, several) = ((word >> 32) as u8, (word >> 40) as u8);
        Self { tokens: word as u32, sequences, several, encode: word >> 48 & 1 != 0 }
    }
}

/// Where `CUDA_MEMCPY2D_v2` has width in bytes and height, and `CUDA_MEMCPY3D_v2` width in bytes, height and depth:
/// one after the other.
pub const COPY_2D: u64 = 112;
pub const COPY_3D: u64 = 176;

/// A thread is in one call of each at a time: the outermost.
pub mod lane {
    /// One of CUDA's that waits for the GPU.
    pub const CUDA_SYNC: u32 = 0;
    /// Any other of CUDA's.
    pub const CUDA: u32 = 1;
    /// One of an engine's.
    pub const ENGINE: u32 = 2;
    /// A round of an engine's loop, which makes those.
    pub const ENGINE_ROUND: u32 = 3;
    /// How many there are.
    pub const COUNT: u32 = 4;
}

const LANE: u32 = 16;
const FIRST: u32 = 20;
const SECOND: u32 = 24;
const SHIFT: u32 = 28;
const SHAPE: u32 = 32;
const COPIES_2D: u64 = 1;
const COPIES_3D: u64 = 2;
const BATCH: u64 = 3;
const EXTENDED: u64 = 4;

impl Cookie {
    /// As one word.
    pub const fn pack(self) -> u64 {
        let (first, second, shift, shape) = match self.args {
            Args::None => (0, 0, 0, 0),
            Args::Arg(at) => (at + 1, 0, 0, 0),
            Args::Units(at, shift) => (at + 1, 0, shift, 0),
            Args::Product(one, two, shift) => (one + 1, two + 1, shift, 0),
            Args::Copy2d => (0, 0, 0, COPIES_2D),
            Args::Copy3d => (0, 0, 0, COPIES_3D),
            Args::Batch => (0, 0, 0, BATCH),
            Args::Extended => (0, 0, 0, EXTENDED),
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

    /// The numbers of the arguments whose product is what it is about, each one more than it is, 0 for none; and the shift.
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

    /// Whether its arguments have a batch.
    #[inline]
    pub const fn is_batch(word: u64) -> bool {
        word >> SHAPE & 0xf == BATCH
    }

    /// Whether they point to an extended one.
    #[inline]
    pub const fn is_extended(word: u64) -> bool {
        word >> SHAPE & 0xf == EXTENDED
    }
}

/// Whose counters a call has: one of [`crate::span::probe`].
#[inline]
pub const fn probe_of(call: u16) -> u16 {
    if call < ENGINE_FIRST { probe::CUDA } else { probe::ENGINE }
}

/// A call of a recorded thread returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Call {
    /// [`crate::RecordKind::FunctionCall`].
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
    /// What its arguments told, where [`flag::TOLD`] says so: bytes, or a packed [`Batch`].
    pub told: u64,
    /// What it returned; not where [`flag::OPEN`] is set.
    pub ret: i32,
    /// See [`flag`].
    pub flags: u32,
}

/// What is known of a call: [`Call::flags`].
pub mod flag {
    /// Its arguments told how much it is about.
    pub const TOLD: u32 = 1 << 0;
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
    pub told: u64,
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
