//! The kernel half from user space, and the only importer of aya: load, attach, adopt, drain, read.

mod drain;
mod error;
mod layout;
mod load;
mod log;
mod priority;
mod support;

pub use self::{
    drain::{Drained, Drains},
    log::KernelLog,
    priority::{Achieved, DrainPriority, achievable as drain_priority, allow as allow_priority, prefer as prefer_thread},
    error::{LoadError, OLDEST_KERNEL},
    load::{Adoption, Kernel, Ring, Rings, Settings, THREAD_RING_BYTES},
    support::possible_cpus,
};
