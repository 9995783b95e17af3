//! The command line.

use std::path::PathBuf;

use calibration::{
    calibrate,
    cuda::{Alloc, Sync},
};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Run a pattern of work whose true answer is known
///
/// At the end one JSON object tells what was done: operations, run time, and for each working thread its name,
/// operations, futex waits, pages touched, mappings and the kernel's own counters; on a GPU the calls of libcuda, the
/// time of its waits, and the kernels that the GPU itself counted.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// CPU: threads of long arithmetic that meet at a barrier. GPU: few long kernels, one wait
    ComputeHeavy(PatternArgs),
    /// CPU: a launcher hands tiny items to a spinning worker. GPU: many tiny kernels, one wait
    LaunchHeavy(PatternArgs),
    /// CPU: two threads hand a token to each other through a futex. GPU: a tiny kernel and a wait, again and again
    SyncHeavy(PatternArgs),
    /// CPU: memory is mapped, touched and unmapped. GPU: memory is allocated and freed
    AllocHeavy(PatternArgs),
    /// GPU: it works and idles in turn, for times that are known
    GpuGaps(GapsArgs),
    /// Record all patterns with hostprof; set what was intended beside what was observed
    Calibrate(CalibrateArgs),
}

#[derive(Debug, Args)]
pub struct PatternArgs {
    /// Where the pattern runs
    #[arg(long, value_enum, default_value = "cpu")]
    pub backend: Backend,
    /// Working threads. CPU: compute-heavy 2 or more (default 2), alloc-heavy 1 or more (default 1), else 2. GPU: 1 or more
    /// (default 1)
    #[arg(long)]
    pub threads: Option<usize>,
    /// End after this many operations (CPU compute-heavy: blocks of a full round; alloc-heavy, and all on a GPU: of
    /// each thread)
    #[arg(long, conflicts_with = "seconds")]
    pub ops: Option<u64>,
    /// End after this time
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// CPU: compute-heavy: blocks of 2^20 steps in a round (16); launch-heavy: steps of an item (16); sync-heavy: steps done
    /// with the token (4096); alloc-heavy: pages of a mapping (64). GPU: steps of a kernel (compute-heavy 2000000, else
    /// 0); alloc-heavy: bytes of an allocation (67108864; pinned 4194304)
    #[arg(long)]
    pub size: Option<u64>,
    /// GPU: streams of each thread, used in turn
    #[arg(long, default_value_t = 1)]
    pub streams: usize,
    /// GPU: how a thread waits for it
    #[arg(long, value_enum, default_value = "spin")]
    pub sync: Sync,
    /// GPU, alloc-heavy: what is allocated
    #[arg(long, value_enum, default_value = "device")]
    pub alloc: Alloc,
    /// GPU, launch-heavy: launch kernels through a graph of so many
    #[arg(long, value_name = "KERNELS", num_args = 0..=1, require_equals = true, default_missing_value = "16")]
    pub graph: Option<u64>,
    /// Write the JSON object to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Backend {
    Cpu,
    Cuda,
}

#[derive(Debug, Args)]
pub struct GapsArgs {
    /// Milliseconds that the GPU works before each gap
    #[arg(long, default_value_t = 5.0, value_name = "MS")]
    pub busy_ms: f64,
    /// Milliseconds of the gaps, one after the other
    #[arg(long, value_delimiter = ',', default_value = "1,3,10", value_name = "MS,…")]
    pub gap_ms: Vec<f64>,
    /// How often the gaps are repeated
    #[arg(long, default_value_t = 50)]
    pub repeat: u32,
    /// Write the JSON object to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Where the patterns run
    #[arg(long, value_enum, default_value = "auto")]
    pub backend: calibrate::Backend,
    /// hostprof, where it is not beside this program
    #[arg(long, value_name = "FILE")]
    pub hostprof: Option<PathBuf>,
    /// Folder of runs
    #[arg(short, long, default_value = "runs", value_name = "DIR")]
    pub out: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
