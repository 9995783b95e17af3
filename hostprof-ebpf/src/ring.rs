//! The CPU's ring of cells: see `hostprof_common::ring`.
//!
//! A program that may be preempted (those of system calls) can be overtaken by others of its CPU, a context switch among
//! them: so a place is taken by compare-and-exchange, and not before there is room, since one that is taken must be
//! filled.

use core::{arch::asm, ptr};

use hostprof_common::ring::{Cell, RingHead, lap_bit};

use crate::{
    atomic::compare_exchange_64,
    maps::{CELLS, RING_HEADS, RING_TAILS, layout},
};

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Written,
    /// No cell is free.
    Full,
    /// Others of this CPU were quicker, again and again.
    Busy,
}

/// How often a place is tried for. Programs that run with interrupts off get it at once.
const TRIES: u32 = 4;

/// Writes a record, which begins with its kind, into the ring of the running CPU.
#[inline(always)]
pub fn push<T: Copy>(cpu: u32, record: T) -> Pushed {
    const { assert!(size_of::<T>() <= size_of::<Cell>()) };
    let Some(ring) = RING_HEADS.get_ptr_mut(cpu) else { return Pushed::Full };
    let shift = layout!(ring_shift) & 31;
    let place = match reserve(cpu, ring, 1 << shift) {
        Ok(place) => place,
        Err(refused) => return refused,
    };
    let cell = (cpu << shift).wrapping_add(place as u32 & ((1 << shift) - 1));
    // There are cells for every CPU that has a head.
    let Some(cell) = CELLS.get_ptr_mut(cell) else { return Pushed::Full };
    let lap = lap_bit(place, shift);
    let mut record = record;
    let kind = (&raw mut record).cast::<u16>();
    // SAFETY: every record begins with its kind and fits into a cell.
    unsafe {
        let whole = *kind | lap;
        // Not of this lap until all of it is there.
        *kind = whole ^ hostprof_common::ring::LAP;
        ptr::write(cell.cast::<T>(), record);
        // The compiler must not move stores past this one; the processor does not.
        asm!("");
        ptr::write_volatile(cell.cast::<u16>(), whole);
    }
    Pushed::Written
}

#[inline(always)]
fn reserve(cpu: u32, ring: *mut RingHead, cells: u64) -> Result<u64, Pushed> {
    let mut tries = 0;
    while tries < TRIES {
        // SAFETY: from a successful lookup, here and below.
        let (head, mut tail) = unsafe {
            (ptr::read_volatile(&raw const (*ring).head), ptr::read_volatile(&raw const (*ring).tail_seen))
        };
        if head.wrapping_sub(tail) >= cells {
            let Some(told) = RING_TAILS.get_ptr(cpu) else { return Err(Pushed::Full) };
            tail = unsafe { ptr::read_volatile(&raw const (*told).tail) };
            unsafe { ptr::write_volatile(&raw mut (*ring).tail_seen, tail) };
            if head.wrapping_sub(tail) >= cells {
                return Err(Pushed::Full);
            }
        }
        if unsafe { compare_exchange_64(&raw mut (*ring).head, head, head + 1) } == head {
            return Ok(head);
        }
        tries += 1;
    }
    Err(Pushed::Busy)
}
