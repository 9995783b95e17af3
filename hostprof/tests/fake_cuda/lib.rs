//! A library in the place of CUDA's driver: its functions, which spin, sleep or do nothing for a time that is set.
//!
//! `fake_set` tells how long the next calls take; what they return is success.

#![allow(non_snake_case, clippy::missing_safety_doc, reason = "the names and contracts are CUDA's")]

use std::{
    ffi::c_void,
    hint,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

static SPIN_NS: AtomicU64 = AtomicU64::new(0);
static SLEEP_NS: AtomicU64 = AtomicU64::new(0);

/// Sets how long a call that waits spins, and then sleeps.
#[unsafe(no_mangle)]
pub extern "C" fn fake_set(spin_ns: u64, sleep_ns: u64) {
    SPIN_NS.store(spin_ns, Relaxed);
    SLEEP_NS.store(sleep_ns, Relaxed);
}

fn wait() -> i32 {
    let begun = Instant::now();
    let spin = Duration::from_nanos(SPIN_NS.load(Relaxed));
    while begun.elapsed() < spin {
        hint::spin_loop();
    }
    let sleep_ns = SLEEP_NS.load(Relaxed);
    if sleep_ns > 0 {
        std::thread::sleep(Duration::from_nanos(sleep_ns));
    }
    0
}

/// Keeps functions apart that would else be one.
fn call(number: i32) -> i32 {
    hint::black_box(number);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: u32) -> i32 {
    call(1)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernel(_function: *mut c_void, _stream: *mut c_void) -> i32 {
    call(2)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernel_ptsz(_function: *mut c_void, _stream: *mut c_void) -> i32 {
    call(3)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphLaunch(_graph: *mut c_void, _stream: *mut c_void) -> i32 {
    call(4)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> i32 {
    hint::black_box(wait())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(stream: *mut c_void) -> i32 {
    hint::black_box(stream);
    wait()
}

/// Waits within a call that waits.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(event: *mut c_void) -> i32 {
    hint::black_box(event);
    let synchronize: extern "C" fn(*mut c_void) -> i32 = hint::black_box(cuStreamSynchronize);
    let result = synchronize(event);
    hint::black_box(result)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyHtoD_v2(_to: u64, _from: *const c_void, _bytes: usize) -> i32 {
    call(6)
}

/// `CUDA_MEMCPY2D`: 14 words, then width and height.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy2D_v2(_copy: *const [u64; 16]) -> i32 {
    call(7)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32_v2(_to: u64, _value: u32, _words: usize) -> i32 {
    call(8)
}

/// The first version, whose size is 32 bits.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemAlloc(_to: *mut u32, _bytes: u32) -> i32 {
    call(9)
}

/// Out of memory for more than a terabyte.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemAlloc_v2(_to: *mut u64, bytes: usize) -> i32 {
    if bytes > 1 << 40 { 2 } else { call(0) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(_address: u64) -> i32 {
    call(10)
}

/// No call of CUDA's that is probed.
#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGet(_device: *mut i32, _ordinal: i32) -> i32 {
    call(11)
}
