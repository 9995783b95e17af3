//! Which processes are recorded: found in `/proc`, or started and held until the probes are attached.

mod candidates;
mod command;
mod container;
mod container_name;
mod engine;
mod libcuda;
mod library;
mod listening;
mod proc;
mod scan;
mod serving;

pub use self::{
    candidates::{Candidate, Scanner},
    command::{CommandError, HeldCommand, RUN_VARIABLE},
    container_name::{Container, resolve as resolve_container},
    engine::TreeMode,
    libcuda::is_libcuda,
    library::{FileId, Library, Mapping, Symbols},
    proc::{Proc, Process},
    scan::{Found, Selector, TargetError, find},
    serving::Served,
};
