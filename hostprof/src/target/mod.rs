//! Which processes are recorded: found in `/proc`, or started and held until the probes are attached.

mod command;
mod engine;
mod proc;
mod scan;

pub use self::{
    command::{CommandError, HeldCommand},
    engine::TreeMode,
    proc::{Proc, Process},
    scan::{Found, Selector, TargetError, find},
};
