//! Functions of libraries that processes have mapped, at their first instruction and at their return: one program each for all of
//! them, told apart by the cookies that user space attaches them with.
//!
//! They run in the calling thread, which may be preempted.
//! <https://github.com/torvalds/linux/blob/v6.18/kernel/trace/trace_uprobe.c#L1504>

use aya_ebpf::{
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use crate::function;

#[uprobe]
pub fn function_count(ctx: ProbeContext) -> u32 {
    function::only_count(&ctx);
    0
}

#[uprobe]
pub fn function_enter(ctx: ProbeContext) -> u32 {
    function::enter(&ctx);
    0
}

#[uretprobe]
pub fn function_return(ctx: RetProbeContext) -> u32 {
    function::leave(&ctx);
    0
}
