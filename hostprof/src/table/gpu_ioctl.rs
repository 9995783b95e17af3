//! Table `gpu_ioctl`: ioctls on the selected devices.

use std::borrow::Cow;

use super::table;

table! {
    /// One row is an ioctl on a selected device (`--ioctl-device`), from enter to exit.
    GpuIoctlRow in "gpu_ioctl" as GpuIoctlColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);

    /// When it was entered, CLOCK_MONOTONIC. Source: the hook at its enter.
    ts_mono_ns: u64 ["ns" Delta],
    /// Thread, in the initial pid namespace.
    tid: u32 ["" Dictionary],
    /// Process, in the initial pid namespace.
    tgid: u32 ["" Dictionary],
    /// The device, as /dev names it: `nvidiactl`, `nvidia0`, `nvidia-uvm`, `pts/3`; `MAJOR:MINOR` where it has
    /// no name there. Source: the device number behind the fd, read in the kernel at the enter.
    device: String ["" Dictionary],
    /// The file descriptor, as passed.
    fd: i32 ["" Dictionary],
    /// The request, as passed.
    request: u32 ["" Dictionary],
    /// The request's name: the RM escape, the unified-memory call. Null where this version knows none.
    name: Option<Cow<'static, str>> ["" Dictionary],
    /// The command of an RM control. Null: not decoded yet.
    rm_cmd: Option<u32> ["" Dictionary],
    /// Its name. Null as for `rm_cmd`.
    rm_cmd_name: Option<Cow<'static, str>> ["" Dictionary],
    /// The class an RM allocation is of. Null: not decoded yet.
    rm_class: Option<u32> ["" Dictionary],
    /// The size of the request's structure, from the request itself. Null where it tells none: unified-memory
    /// calls and old requests are plain numbers.
    size_bytes: Option<u32> ["bytes" Dictionary],
    /// The call's third argument: as a rule the structure's address.
    arg: u64 ["" Dictionary],
    /// From its enter to its exit.
    dur_ns: u64 ["ns" Plain],
    /// Of that, what the thread spent off the CPU: to the nanosecond the sum of its rows of `off_cpu` within.
    /// Null where the kernel did not tell the switch-in of a stay on a CPU that the call begins or ends in.
    off_cpu_ns: Option<u64> ["ns" Dictionary],
    /// What it returned: a negative errno for an error. The driver's own status is in `nv_status`.
    ret: i64 ["" Dictionary],
    /// The driver's status. Null: not decoded yet.
    nv_status: Option<u32> ["" Dictionary],
}
