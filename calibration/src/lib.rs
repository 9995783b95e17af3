//! Programs whose true answer is known, and the judge that holds a recording against it.
//!
//! * [`cpu`]: the four patterns on the CPU, run by the `calibration` binary;
//! * [`cuda`]: the same on a GPU, and gaps planted in its work;
//! * [`truth`]: what such a program says about itself when it ends;
//! * [`signature`]: what a recording of each pattern must look like, as data, and the verdict;
//! * [`demo`]: record, check, report and judge all four;
//! * [`calibrate`]: the same on a GPU, with what each operation should cost beside what it did;
//! * [`http`]: as much of HTTP as a server of streams needs: the `stub-server` and `planted-server` binaries share it;
//! * [`sys`]: the few kernel calls that the patterns and the `workload` binary share.
//!
//! Nothing here depends on hostprof: the judge reads the JSON that `hostprof report` prints.

pub mod calibrate;
pub mod cpu;
pub mod cuda;
pub mod demo;
pub mod http;
pub mod pattern;
pub mod signature;
pub mod sys;
pub mod truth;

pub use pattern::Pattern;
