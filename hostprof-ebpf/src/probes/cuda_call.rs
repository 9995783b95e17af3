//! Functions of CUDA's driver library, at their first instruction and at their return: one program each for all of
//! them, told apart by the cookies that user space attaches them with.
//!
//! They run in the calling thread, which may be preempted.
//! <https://github.com/torvalds/linux/blob/v6.18/kernel/trace/trace_uprobe.c#L1504>

use aya_ebpf::{
    macros::{uprobe, uretprobe},
    programs::{ProbeContext, RetProbeContext},
};

use crate::cuda;

#[uprobe]
pub fn cuda_count(ctx: ProbeContext) -> u32 {
    cuda::only_count(&ctx);
    0
}

#[uprobe]
pub fn cuda_enter(ctx: ProbeContext) -> u32 {
    cuda::enter(&ctx);
    0
}

#[uretprobe]
pub fn cuda_return(ctx: RetProbeContext) -> u32 {
    cuda::leave(&ctx);
    0
}
