//! hostprof's kernel half.
//!
//! Reads tracepoint arguments and, at offsets that user space took from the running kernel's BTF, the
//! `task_struct`s they point to; yields the records and counters of `hostprof-common`. It filters first,
//! does O(1) work without a hash map on the hot path, and counts what it drops. It never sleeps, reads user memory
//! only in `http`, `nvidia` and `function`, and decides no meaning: which wait a switch was is for `hostprof::probe` to say.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod emit;
mod function;
mod http;
mod maps;
mod nvidia;
mod probes;
mod ring;
mod shed;
mod span;
mod target;
mod task;

/// The verifier rejects a program that can reach this loop: a panic fails at load, not at run time.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Some helpers may only be called by programs under a GPL-compatible licence.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
