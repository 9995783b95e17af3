//! Calls of the NVIDIA driver: their names, and what their structures say.
//!
//! Names and layouts are data (`data/nvidia`), turned into tables by the build.

mod decode;
mod names;
mod structures;
mod xid;

pub use self::{
    decode::{NvidiaCounts, Told, decode},
    names::{class, command, escape, status, uvm},
    structures::{CHECKED, DriverVersion, has_other_layout, shapes},
    xid::{Xid, parse as parse_xid},
};
