//! Table `gpu_process_sample`: what each process has of a GPU, as NVML tells.

use super::{table, word::words};

words! {
    /// What a process does on a GPU.
    #[derive(Default)]
    GpuUse {
        /// It has a compute context: CUDA.
        #[default]
        Compute = "compute",
        /// It draws.
        Graphics = "graphics",
        /// It is a client of the multi-process service.
        Mps = "mps",
    }
}

table! {
    /// One row is a process on a GPU at an instant, one at each sample: every process that NVML lists, the
    /// target's or not, since they share the GPU. In a container NVML lists only the container's, and some
    /// drivers none.
    GpuProcessSampleRow in "gpu_process_sample" as GpuProcessSampleColumns,
        span |row| (row.ts_mono_ns, row.ts_mono_ns);

    /// Just before the GPU was read, CLOCK_MONOTONIC: as in the GPU's row of `gpu_sample`.
    ts_mono_ns: u64 ["ns" Delta],
    /// NVML's number of the GPU.
    gpu: u32 ["" Dictionary],
    /// The GPU instance the process is on; null for a whole GPU.
    gpu_instance: Option<u32> ["" Dictionary],
    /// The compute instance; null as above.
    compute_instance: Option<u32> ["" Dictionary],
    /// The process.
    tgid: u32 ["" Dictionary],
    /// Its name; null where it was gone, or is in a pid namespace that is not seen from here.
    comm: Option<String> ["" Dictionary],
    /// Whether it is in the target.
    in_target: bool ["" Plain],
    /// What it does there.
    kind: GpuUse ["" Dictionary],
    /// Device memory it has; null where the driver does not tell (under WSL, with MIG for other users).
    mem_used_bytes: Option<u64> ["bytes" Dictionary],
    /// Share of the multiprocessors' time that it had, in the driver's last sampling period since the row before, 0 to
    /// 1; null where it did nothing in it, and where the driver does not tell.
    sm_util: Option<f64> ["ratio" Dictionary],
    /// Share of the time in which it used device memory, as above.
    mem_util: Option<f64> ["ratio" Dictionary],
}
