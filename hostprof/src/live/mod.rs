//! What a target does now, or did in a window of its recording: rows into a picture. No drawing.
//!
//! Reads rows as the fold yields them, what the kernel half keeps of threads that are off the CPU, and samples;
//! yields a [`Picture`] of a window, which `tui` draws and `--once --json` prints.

mod about;
mod bins;
mod calls;
mod counters;
mod detail;
mod group;
mod index;
mod memory;
mod mostly;
mod picture;
mod replay;
mod requests;
mod rolling;
mod track;
mod window;

pub use self::picture::{
    Call, Ceiling, CgroupMemory, End, FutexWait, Gpu, Health, HostPressure, Memory, MemoryCalls, Missing,
    Mode, Picture, Playback, ProbeHealth, Process, ProcessMemory, Recorder, Requests, Role, Share, Slice,
    Target, Thread, ThreadDetail, Waiting, Waker,
};
pub use self::{
    about::complete,
    bins::{BIN_NS, Window},
    replay::{Replay, Worst},
    rolling::{HISTORY_NS, Rolling},
    track::Life,
};
