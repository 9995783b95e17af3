//! Table `gpu_event`: errors that the GPU's driver told of.

use std::borrow::Cow;

use super::table;

table! {
    /// One row is an error (XID) that the NVIDIA driver wrote to the kernel's log while recording went on, of any
    /// process on the machine.
    GpuEventRow in "gpu_event" as GpuEventColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns);

    /// When hostprof read it, CLOCK_MONOTONIC: as a rule within some milliseconds of when it was written, and
    /// never before.
    ts_mono_ns: u64 ["ns" Delta],
    /// The same by the log's own clock, which began at boot and is not adjusted: it is apart from CLOCK_MONOTONIC by what
    /// NTP has corrected since. Events close together are apart by its differences.
    log_ns: u64 ["ns" Delta],
    /// The GPU's place on the PCI bus, as the driver tells it: `0000:01:00`.
    gpu: String ["" Dictionary],
    /// The error's number.
    xid: u32 ["" Dictionary],
    /// The number's name in the driver. Null where this version knows none.
    name: Option<Cow<'static, str>> ["" Dictionary],
    /// The process that the driver lays it to. Null where it names none.
    pid: Option<u32> ["" Dictionary],
    /// The rest of the driver's message, at most 300 characters.
    message: String ["" Dictionary],
}
