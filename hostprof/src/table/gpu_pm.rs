//! Table `gpu_pm`: what the units of a GPU did, over short intervals.

use super::table;

table! {
    /// One row is a GPU over a short interval: what its hardware counted, whichever processes it worked for. Rows of a GPU
    /// follow each other without a gap; where some were lost, `loss` has a row. Shares are of what the unit could have done
    /// at the clock it ran at. Null where the GPU cannot count it together with the others.
    GpuPmRow in "gpu_pm" as GpuPmColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);

    /// Its start, CLOCK_MONOTONIC: from the wall clock that CUPTI tells.
    ts_mono_ns: u64 ["ns" Delta],
    /// Its length.
    dur_ns: u64 ["ns" Dictionary],
    /// NVML's number of it, as in `host.gpus` of config.json; CUDA's where NVML tells none.
    gpu: u32 ["" Dictionary],
    /// Share of the interval in which the graphics and compute engine had work (`gr__cycles_active`), 0 to 1: less than 1
    /// is idle time of the GPU.
    gr_active: Option<f64> ["ratio" Dictionary],
    /// Share in which a multiprocessor had a warp, mean of all (`sm__cycles_active`).
    sm_active: Option<f64> ["ratio" Dictionary],
    /// Share in which tensor cores worked (`sm__pipe_tensor_cycles_active`), of all there are.
    tensor_active: Option<f64> ["ratio" Dictionary],
    /// Bytes read from device memory, of what it could (`dram__read_throughput`).
    dram_read: Option<f64> ["ratio" Dictionary],
    /// Bytes written to it, of what it could (`dram__write_throughput`).
    dram_write: Option<f64> ["ratio" Dictionary],
}
