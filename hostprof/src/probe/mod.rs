//! What is asked of the kernel, one file per question, and how its records become rows. Pure: no root, no
//! aya, no files.

mod comm;
mod cuda;
mod devices;
mod engine;
mod episode;
mod event;
mod fold;
mod function;
mod http;
mod life;
pub mod nvidia;
mod placement;
mod registry;
mod seed;
mod share;
mod spans;
mod state;
pub mod syscalls;
mod tally;

pub use self::{
    comm::escape as escape_comm,
    cuda::{CUDA_CALLS, CudaCall, cuda_call, cuda_probes},
    devices::{DeviceError, Devices, Rdev, rdev_of},
    engine::{ENGINE_CALLS, ENGINE_MARKS, EngineCall, engine_call, engine_probes},
    episode::met_in,
    event::{DecodeError, Event},
    fold::{Fold, FoldCounts, Rows},
    function::FunctionProbe,
    http::{HttpCounts, SocketEvent},
    life::Life,
    placement::Placement,
    registry::{
        Auto, CUDA, CUDA_LAUNCH, ENGINE, FUTEX, GPU_PM, HOST_RUNQUEUE, HTTP, IOCTL, MEMORY, NETWORK,
        PAGE_FAULT, PROBES, Probe, SCHED, SYSCALL, SYSCALL_COUNT, Selection, SelectionError, WAKER, XID,
    },
    seed::Seed,
    share::{Share, fold_of_record},
};
