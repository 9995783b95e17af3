//! Rings of cells, one for each CPU, in memory that the kernel half and user space share.
//!
//! A record lies in one cell. Its place is reserved by counting [`RingHead::head`] up, which only programs of the CPU
//! do; that it is whole is told by a bit of its first word, [`LAP`], which is written last and says in which lap over
//! the ring it was. So a reader needs nothing but the cells, and a writer none of its stores ordered or waited for but
//! by a compare-and-exchange on a cache line of its own CPU. Memory order is x86's: stores become visible in order.

/// A cell: the largest record that goes into one.
pub type Cell = [u64; 10];

/// The bit of a record's kind that tells its lap: set in even laps, which begin with 0, so that memory of zeros is a
/// ring without records.
pub const LAP: u16 = 1 << 15;

/// The lap bit of the record with that place, counted from the beginning; `1 << shift` cells make a lap.
#[inline]
pub const fn lap_bit(place: u64, shift: u32) -> u16 {
    if (place >> shift) & 1 == 0 { LAP } else { 0 }
}

/// What the writers of a CPU know: a cache line of that CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RingHead {
    /// Places given out.
    pub head: u64,
    /// [`RingTail::tail`], when it was last needed.
    pub tail_seen: u64,
    pub _pad: [u64; 6],
}

/// What the reader tells: a cache line of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RingTail {
    /// Places read.
    pub tail: u64,
    pub _pad: [u64; 7],
}

const _: () = assert!(size_of::<RingHead>() == 64 && size_of::<RingTail>() == 64);
const _: () = assert!(size_of::<Cell>() >= size_of::<crate::episode::Blocked>());
const _: () = assert!(size_of::<Cell>() >= size_of::<crate::span::Span>());
const _: () = assert!(size_of::<Cell>() >= size_of::<crate::shed::Counted>());
