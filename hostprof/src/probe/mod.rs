//! What is asked of the kernel, one file per question, and how its records become rows. Pure: no root, no
//! aya, no files.

mod comm;
mod devices;
mod event;
mod fold;
mod life;
mod registry;
mod seed;
mod state;
pub mod syscalls;

pub use self::{
    comm::escape as escape_comm,
    devices::Devices,
    event::{DecodeError, Event},
    fold::{Fold, FoldCounts, Rows},
    life::Life,
    registry::{HOST_RUNQUEUE, NETWORK, PAGE_FAULT, PROBES, Probe, SCHED, Selection, SelectionError, WAKER},
    seed::Seed,
};
