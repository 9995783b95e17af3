//! The kernel half from user space, and the only importer of aya: load, attach, adopt, drain, read.

mod error;
mod layout;
mod load;
mod support;

pub use self::{
    error::{LoadError, OLDEST_KERNEL},
    load::{Adoption, Kernel, Ring, Rings, Settings, THREAD_RING_BYTES},
    support::possible_cpus,
};
