//! A recording on disk: the folder being written, `config.json`, and the reading of both and of the
//! tables. The writing of tables is `sink`'s.

mod batches;
pub mod config;
pub mod folder;
pub mod gpu;
pub mod host;
pub mod mask;
mod open;
mod rows;

pub use self::{
    batches::Batches,
    config::{
        Absent, AlsoTool, CeilingConfig, ClockAnchor, Config, Dropped, EndReason, Ended, Import, Moment,
        Probe as ProbeStatus, Process, Rings, Samples, Target, Totals, User,
    },
    folder::{FolderError, RunFolder, TableFolder},
    gpu::{Gpu, GpuPath, Gpus},
    host::{Host, NumaNode},
    mask::mask_args,
    open::{Part, Recording, RecordingError},
    rows::Rows,
};

/// The name of the file that makes a folder a recording.
pub const CONFIG_FILE: &str = "config.json";

/// The name of a table's part: parts are numbered from 0, those of one writer in the order they were closed.
pub fn part_name(number: u32) -> String {
    format!("part-{number:05}.parquet")
}

/// The name of a part under way: not read by anything that takes `*.parquet`.
pub fn temporary_part_name(number: u32) -> String {
    format!(".part-{number:05}.parquet.tmp")
}

/// Keys of a part's own metadata, beside its columns.
pub mod part_key {
    /// [`crate::table::SCHEMA_VERSION`] it was written with.
    pub const SCHEMA_VERSION: &str = "hostprof.schema_version";
    /// Least start of its rows, CLOCK_MONOTONIC nanoseconds; absent in an empty part, as the others.
    pub const MIN_START: &str = "hostprof.min_start_mono_ns";
    /// Greatest start.
    pub const MAX_START: &str = "hostprof.max_start_mono_ns";
    /// Least end.
    pub const MIN_END: &str = "hostprof.min_end_mono_ns";
    /// Greatest end.
    pub const MAX_END: &str = "hostprof.max_end_mono_ns";
}
