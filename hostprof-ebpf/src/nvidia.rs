//! Calls of the NVIDIA driver: bytes of their structures, copied from the caller's memory at enter and exit.
//!
//! A read that would have to wait for a page fails, and is told as such: the program may not sleep.

use aya_ebpf::{bindings::BPF_RB_NO_WAKEUP, helpers::generated::bpf_probe_read_user};
use hostprof_common::{
    RecordKind,
    nvidia::{
        CLASS_AT, HEAD, Ioctl, MEMORY_SIZE_AT, NO_STATUS, PARAMS_AT, ShapeKey, XFER, XFER_BYTES, device,
        flag, is_memory,
    },
    span::{ARGS, Span, probe},
};

use crate::{
    emit::is_full,
    maps::{LONG_RECORDS, NVIDIA_OPEN, NVIDIA_SHAPES, layout, nvidia_setting},
    span,
};

/// `_IOC_NRMASK`, `_IOC_SIZESHIFT` and `_IOC_SIZEMASK` of `uapi/asm-generic/ioctl.h`.
const NUMBER_MASK: u32 = 0xff;
const SIZE_SHIFT: u32 = 16;
const SIZE_MASK: u32 = 0x3fff;

/// Reads into what a pointer points to; false where that fails.
#[inline(always)]
fn read_user<T>(to: *mut T, address: u64) -> bool {
    // SAFETY: there is room for a `T`; a probing read: a wrong address is an error, not a fault.
    unsafe { bpf_probe_read_user(to.cast(), size_of::<T>() as u32, address as *const _) == 0 }
}

/// Reads at most [`HEAD`] bytes; false where that fails.
#[inline(always)]
fn read_head(to: *mut [u8; HEAD], bytes: u32, address: u64) -> bool {
    let bytes = if bytes < HEAD as u32 { bytes } else { HEAD as u32 };
    // SAFETY: as above.
    unsafe { bpf_probe_read_user(to.cast(), bytes, address as *const _) == 0 }
}

/// The thread of a slot enters a call.
#[inline(always)]
pub fn enter(slot: u32, kind: u32, args: &[u64; ARGS]) {
    let Some(call) = NVIDIA_OPEN.get_ptr_mut(slot) else { return };
    // SAFETY: from a successful lookup; the thread's own.
    let call = unsafe { &mut *call };
    call.address = args[2];
    call.memory_bytes = 0;
    call.device = kind;
    call.flags = 0;
    call.status = 0;
    call.status_at = NO_STATUS;
    call.head_bytes = 0;
    call.head = [0; HEAD];
    let request = args[1] as u32;
    (call.nr, call.size) = (request, 0);
    if kind == device::FRONTEND {
        (call.nr, call.size) = (request & NUMBER_MASK, request >> SIZE_SHIFT & SIZE_MASK);
        if call.nr == XFER && call.size == XFER_BYTES {
            // Number and size in one word, as they lie.
            let mut real = [0_u64; 2];
            if !read_user(&raw mut real, call.address) {
                call.flags = flag::UNREAD;
                return;
            }
            (call.nr, call.size) = (real[0] as u32, (real[0] >> 32) as u32);
            call.address = real[1];
            call.flags = flag::XFER;
        }
    }
    let key = ShapeKey { device: kind, nr: call.nr, size: call.size };
    // SAFETY: nothing is removed or changed after the load.
    let Some(shape) = (unsafe { NVIDIA_SHAPES.get(key) }) else { return };
    call.flags |= flag::SHAPE;
    call.status_at = shape.status;
    call.head_bytes = shape.head;
    if !read_head(&raw mut call.head, shape.head, call.address) {
        call.flags |= flag::UNREAD;
        return;
    }
    call.flags |= flag::HEAD;
    if shape.allocates == 0 {
        return;
    }
    // SAFETY: both lie within the head.
    let (class, params) = unsafe {
        let head = (&raw const call.head).cast::<u8>();
        (
            head.add(CLASS_AT).cast::<u32>().read_unaligned(),
            head.add(PARAMS_AT).cast::<u64>().read_unaligned(),
        )
    };
    if params != 0 && is_memory(class) {
        if read_user(&raw mut call.memory_bytes, params + MEMORY_SIZE_AT) {
            call.flags |= flag::PARAMS;
        } else {
            call.flags |= flag::UNREAD;
        }
    }
}

/// The thread of a slot returns from the call.
#[inline(always)]
pub fn exit(slot: u32, mut span: Span) {
    let Some(call) = NVIDIA_OPEN.get_ptr_mut(slot) else { return };
    // SAFETY: from a successful lookup; the thread's own.
    let call = unsafe { &mut *call };
    if call.status_at != NO_STATUS {
        if read_user(&raw mut call.status, call.address + u64::from(call.status_at)) {
            call.flags |= flag::STATUS;
        } else {
            call.flags |= flag::UNREAD;
        }
    }
    span.kind = RecordKind::NvidiaIoctl as u16;
    match LONG_RECORDS.reserve_untyped::<Ioctl>(0) {
        Some(mut entry) => {
            let record = entry.as_mut_ptr();
            // SAFETY: a record under construction; every byte of it is written.
            unsafe {
                (*record).exit = [0; HEAD];
                if nvidia_setting!(keep_bytes) != 0
                    && read_head(&raw mut (*record).exit, call.head_bytes, call.address)
                {
                    call.flags |= flag::EXIT;
                }
                (*record).span = span;
                (*record).call = *call;
            }
            entry.submit(u64::from(BPF_RB_NO_WAKEUP));
            span::count!(probe::IOCTL, records);
        }
        None if is_full(&LONG_RECORDS, size_of::<Ioctl>() as u64, layout!(long_ring_bytes)) => {
            span::count!(probe::IOCTL, full);
        }
        None => span::count!(probe::IOCTL, busy),
    }
}
