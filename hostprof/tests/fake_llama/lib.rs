//! A library in the place of llama.cpp: its functions, which spin for a time that is set, and return what they are told to.

#![allow(clippy::missing_safety_doc, reason = "the contracts are llama.cpp's")]

use std::{
    ffi::{c_char, c_void},
    hint,
    sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

static SPIN_NS: AtomicU64 = AtomicU64::new(0);
static RESULT: AtomicI32 = AtomicI32::new(0);

/// `struct llama_batch`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Batch {
    pub tokens: i32,
    pub token: *const i32,
    pub embd: *const f32,
    pub pos: *const i32,
    pub sequences: *const i32,
    pub sequence: *const *const i32,
    pub logits: *const i8,
}

/// Sets how long the next calls spin and what they return.
#[unsafe(no_mangle)]
pub extern "C" fn fake_set(spin_ns: u64, result: i32) {
    SPIN_NS.store(spin_ns, Relaxed);
    RESULT.store(result, Relaxed);
}

/// Each call has a number, which keeps functions apart that would else be one.
fn call(number: i32) -> i32 {
    hint::black_box(number);
    let begun = Instant::now();
    let spin = Duration::from_nanos(SPIN_NS.load(Relaxed));
    while begun.elapsed() < spin {
        hint::spin_loop();
    }
    RESULT.load(Relaxed)
}

#[unsafe(no_mangle)]
pub extern "C" fn llama_decode(_context: *mut c_void, batch: Batch) -> i32 {
    hint::black_box(batch);
    call(1)
}

#[unsafe(no_mangle)]
pub extern "C" fn llama_encode(_context: *mut c_void, batch: Batch) -> i32 {
    hint::black_box(batch);
    call(2)
}

#[unsafe(no_mangle)]
pub extern "C" fn llama_process(_context: *mut c_void, _type: i32, _batch: *const c_void) -> i32 {
    call(3)
}

#[unsafe(no_mangle)]
pub extern "C" fn llama_tokenize(_vocab: *const c_void, _text: *const c_char, _length: i32) -> i32 {
    call(4)
}

#[unsafe(no_mangle)]
pub extern "C" fn llama_sampler_sample(_sampler: *mut c_void, _context: *mut c_void, _index: i32) -> i32 {
    call(5)
}
