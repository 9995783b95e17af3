//! The 32-bit system call entry, taken by a 64-bit program.

use std::{arch::asm, time::Duration};

use anyhow::{Context, Result};
use calibration::sys::mapping::Mapping;
use serde_json::json;

use crate::{processes::reap, report::Report, waits::slept};

/// `nanosleep` in the i386 table; takes a timespec of two 32-bit words.
const NANOSLEEP: u64 = 162;

/// Sleeps through `int 0x80` and returns the call's result.
///
/// # Safety
///
/// `request` must be the address, below 4 GiB, of two live 32-bit words.
unsafe fn nanosleep(request: u32) -> i64 {
    let result: i64;
    // SAFETY: the caller vouches for the address. LLVM keeps rbx to itself, so it is swapped in and out.
    unsafe {
        asm!(
            "xchg rbx, {request}",
            "int 0x80",
            "xchg rbx, {request}",
            request = inout(reg) u64::from(request) => _,
            inlateout("rax") NANOSLEEP => result,
            inlateout("rcx") 0_u64 => _,
            // Zeroed by the entry on older kernels.
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    result
}

pub(crate) fn sleeps(report: &Report, count: u64, us: u64) -> Result<()> {
    let page = Mapping::anonymous(4096, libc::MAP_32BIT).context("map memory below 4 GiB")?;
    let address = page.address() as usize as u32;
    let time = Duration::from_micros(us);
    // SAFETY: the page is mapped, aligned and large enough.
    unsafe { page.start().cast::<[u32; 2]>().write([time.as_secs() as u32, time.subsec_nanos()]) };
    if !entry_exists(address)? {
        report.unsupported("int 0x80: the kernel has no 32-bit system calls");
        return Ok(());
    }
    report.ready("int80-sleep", json!({"count": count, "us": us}));
    // SAFETY: the page lives until the end of this function; the sleeping thread is joined before.
    let slept = slept(report, count, move || unsafe { nanosleep(address) } == 0)?;
    drop(page);
    report.done(slept);
    Ok(())
}

/// Tries it in a child: without the entry the instruction is a fatal fault.
fn entry_exists(address: u32) -> Result<bool> {
    // SAFETY: this process has one thread yet; the child makes one system call and exits.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(i32::from(nanosleep(address) != 0));
        }
        child
    };
    Ok(child > 0 && reap(child)? == 0)
}
