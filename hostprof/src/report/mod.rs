//! The story of a recording: where each thread's time went, in what waits, and who ended them.
//!
//! Reads the rows of a recording once; yields a [`Report`], which is printed as JSON or set as text. It
//! attributes time and names wakers; it does not say what caused what.

mod bubbles;
mod calls;
mod columns;
mod cuda;
mod fold;
mod gpu;
mod host;
mod host_runqueue;
mod html;
mod mechanisms;
mod model;
mod nvidia;
mod recording;
mod redact;
mod requests;
mod resemblance;
mod shed;
mod steps;
mod story;
mod text;
mod wakers;

pub use self::{
    fold::Fold,
    gpu::{Gpu, GpuProcess, Gpus, Measured, Spread},
    host::Host,
    html::html,
    model::{
        ByState, Futex, GroupShare, HostRunqueue, NeverRan, OtherFutexes, PageFaults, Participant, ProbeOff,
        ProcessShare, Quality, Report, RunHeader, Switches, SystemCall, ThreadFaults, ThreadShare, Totals,
        Wait, WakerPair,
    },
    nvidia::{NvidiaCalls, NvidiaFailure, OtherLayout, UnknownCommand},
    recording::{redacted_report, report},
    requests::Requests,
    resemblance::Resemblance,
    shed::{Shed, ShedStep},
    steps::StepCalls,
    text::{Detail, render},
};
