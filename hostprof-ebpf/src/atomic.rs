//! Atomic read-modify-write, which `core` does not offer for the eBPF target; its instruction set (v3)
//! has it.

use core::arch::asm;

/// Puts `new` into `*cell` if it holds `old`; returns what it held.
///
/// # Safety
///
/// `cell` must be valid and aligned: a map value.
#[inline(always)]
pub unsafe fn compare_exchange(cell: *mut u32, old: u32, new: u32) -> u32 {
    let held: u64;
    // SAFETY: by the caller. `w0` holds the expected value and receives the held one.
    unsafe {
        asm!(
            "w0 = cmpxchg32_32({cell} + 0, w0, {new})",
            cell = in(reg) cell,
            new = in(wreg) new,
            inlateout("r0") u64::from(old) => held,
        );
    }
    held as u32
}

/// Puts `new` into `*cell` if it holds `old`; returns what it held.
///
/// # Safety
///
/// As for [`compare_exchange`].
#[inline(always)]
pub unsafe fn compare_exchange_64(cell: *mut u64, old: u64, new: u64) -> u64 {
    let held: u64;
    // SAFETY: by the caller. `r0` holds the expected value and receives the held one.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({cell} + 0, r0, {new})",
            cell = in(reg) cell,
            new = in(reg) new,
            inlateout("r0") old => held,
        );
    }
    held
}

/// Adds one to `*cell`; returns what it held.
///
/// # Safety
///
/// As for [`compare_exchange`].
#[inline(always)]
pub unsafe fn fetch_increment(cell: *mut u64) -> u64 {
    // SAFETY: by the caller.
    unsafe { fetch_add(cell, 1) }
}

/// Adds to `*cell`; returns what it held.
///
/// # Safety
///
/// As for [`compare_exchange`].
#[inline(always)]
pub unsafe fn fetch_add(cell: *mut u64, more: u64) -> u64 {
    let mut held = more;
    // SAFETY: by the caller.
    unsafe {
        asm!(
            "{held} = atomic_fetch_add((u64 *)({cell} + 0), {held})",
            cell = in(reg) cell,
            held = inout(reg) held,
        );
    }
    held
}

/// Sets bits of `*cell`.
///
/// # Safety
///
/// As for [`compare_exchange`].
#[inline(always)]
pub unsafe fn set_bits(cell: *mut u64, bits: u64) {
    // SAFETY: by the caller.
    unsafe {
        asm!(
            "{bits} = atomic_fetch_or((u64 *)({cell} + 0), {bits})",
            cell = in(reg) cell,
            bits = inout(reg) bits => _,
        );
    }
}
