//! System calls of recorded threads, at the functions that do them: `long __x64_sys_ioctl(const struct
//! pt_regs *)` and its kin, <https://github.com/torvalds/linux/blob/v6.18/arch/x86/include/asm/syscall_wrapper.h#L87>.
//!
//! Costs other calls nothing, but not every kernel lets a program be attached to a function. A program is
//! for one function, so there is a pair of the same programs for each.

use aya_ebpf::{
    macros::{fentry, fexit},
    programs::{FEntryContext, FExitContext},
};

use crate::span;

/// A pair of programs for one function, named after its call.
macro_rules! pair {
    ($enter:ident, $exit:ident) => {
        #[fentry]
        pub fn $enter(_: FEntryContext) -> i32 {
            span::enter();
            0
        }

        #[fexit]
        pub fn $exit(ctx: FExitContext) -> i32 {
            // The registers do not hold the result yet.
            if let Ok(ret) = ctx.ret::<i64>() {
                span::exit(Some(ret));
            }
            0
        }
    };
}

pair!(fentry_ioctl, fexit_ioctl);
pair!(fentry_mmap, fexit_mmap);
pair!(fentry_munmap, fexit_munmap);
pair!(fentry_mremap, fexit_mremap);
pair!(fentry_mprotect, fexit_mprotect);
pair!(fentry_madvise, fexit_madvise);
pair!(fentry_brk, fexit_brk);
pair!(fentry_futex, fexit_futex);
