//! What a target does now, or did in a window of its recording: rows into a picture. No drawing.
//!
//! Reads rows as the fold yields them, what the kernel half keeps of threads that are off the CPU, and samples;
//! yields a [`Picture`] of a window, which `tui` draws and `--once --json` prints.

mod about;
mod bins;
mod calls;
mod counters;
mod detail;
mod engines;
mod gpus;
mod group;
mod index;
mod memory;
mod mostly;
mod pending;
mod picture;
mod replay;
mod requests;
mod rolling;
mod sums;
mod track;
mod window;

pub use self::picture::{
    Call, Ceiling, CgroupMemory, End, Engine, FutexWait, Gpu, Health, HostPressure, Memory, MemoryCalls,
    Missing, Mode, Parts, Picture, Playback, ProbeHealth, Process, ProcessMemory, Recorder, Requests, Role,
    Share, Slice, Target, Thread, ThreadDetail, Waiting, Waker,
};
pub use self::{
    about::{About, complete},
    bins::{BIN_NS, Window},
    replay::{Replay, Worst},
    rolling::{HISTORY_NS, Rolling},
    track::Life,
};
