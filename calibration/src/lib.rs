//! Programs whose true answer is known, and the judge that holds a recording against it.
//!
//! * [`cpu`]: the four patterns on the CPU, run by the `calibration` binary;
//! * [`truth`]: what such a program says about itself when it ends;
//! * [`signature`]: what a recording of each pattern must look like, as data, and the verdict;
//! * [`demo`]: record, check, report and judge all four;
//! * [`sys`]: the few kernel calls that the patterns and the `workload` binary share.
//!
//! Nothing here depends on hostprof: the judge reads the JSON that `hostprof report` prints.

pub mod cpu;
pub mod demo;
pub mod pattern;
pub mod signature;
pub mod sys;
pub mod truth;

pub use pattern::Pattern;
