//! Table `cuda_call`: calls of CUDA's driver library.

use std::borrow::Cow;

use super::{table, word::words};

words! {
    /// What a call of CUDA's driver library does.
    #[derive(Default)]
    CudaKind {
        /// Gives the GPU work: a kernel, a graph.
        #[default]
        Launch = "launch",
        /// Waits for the GPU: a stream, a context, an event.
        Sync = "sync",
        /// Copies memory.
        Copy = "copy",
        /// Fills memory.
        Set = "set",
        /// Takes memory: of the device, of a pool, of the host, or a range of addresses.
        Alloc = "alloc",
        /// Gives it back.
        Free = "free",
        /// Captures a graph, or makes one that can be launched.
        Graph = "graph",
        /// Loads or links code.
        Module = "module",
        /// Starts CUDA, makes a context or ends it.
        Context = "context",
    }
}

impl CudaCallRow {
    /// What the thread spent in it on a CPU, waiting for the GPU; `None` for a call that does not wait, and where its
    /// time off the CPU is not known.
    pub fn gpu_sync_ns(&self) -> Option<u64> {
        let off_cpu_ns = self.off_cpu_ns.filter(|_| self.kind == CudaKind::Sync)?;
        Some(self.dur_ns.saturating_sub(off_cpu_ns))
    }
}

table! {
    /// One row is a call of CUDA's driver library (libcuda) that a probe at its function saw. Launches are rows only with
    /// probe `cuda_launch`; all calls are counted in `histogram`. A call within another of its thread's is no row, but for
    /// one that waits within one that does not, and the other way round.
    CudaCallRow in "cuda_call" as CudaCallColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);

    /// When it was entered, CLOCK_MONOTONIC. Source: a uprobe at the function.
    ts_mono_ns: u64 ["ns" Delta],
    /// Thread, in the initial pid namespace.
    tid: u32 ["" Dictionary],
    /// Process, in the initial pid namespace.
    tgid: u32 ["" Dictionary],
    /// The call, without what tells its version and its default stream: `cuMemcpyHtoD` is also `cuMemcpyHtoD_v2` and
    /// `cuMemcpyHtoD_v2_ptds`.
    name: Cow<'static, str> ["" Dictionary],
    /// What it does.
    kind: CudaKind ["" Dictionary],
    /// From its first instruction to its return; to the end of the recording, or of the thread, where `open_end`. With the
    /// probe's own time, which is about a microsecond.
    dur_ns: u64 ["ns" Plain],
    /// Of that, what the thread spent off the CPU: to the nanosecond the sum of its rows of `off_cpu` within. What is
    /// left of a call of kind `sync` is the ledger's `gpu_sync`. Null where the kernel did not tell the switch-in of a stay
    /// on a CPU that the call begins or ends in.
    off_cpu_ns: Option<u64> ["ns" Dictionary],
    /// The bytes that it copies, fills, takes, or maps, by its arguments. Null where those do not tell.
    bytes: Option<u64> ["bytes" Dictionary],
    /// What it returned, a CUresult: 0 is success. Null for `open_end`.
    ret: Option<i32> ["" Dictionary],
    /// The call was open when its thread, or recording, ended.
    open_end: bool ["" Dictionary],
}
