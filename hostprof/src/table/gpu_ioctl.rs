//! Table `gpu_ioctl`: ioctls on the selected devices.

use std::borrow::Cow;

use super::{syscall::is_error, table};

impl GpuIoctlRow {
    /// Whether it returned an error, or the driver answered with one in its structure.
    pub fn failed(&self) -> bool {
        is_error(self.ret) || self.nv_status.is_some_and(|status| status != 0)
    }

    /// What the call is called: a control by its command, an allocation with its class, what has no name by its number.
    pub fn call_name(&self) -> Cow<'static, str> {
        let hex = |number: u32| format!("{number:#x}");
        let Some(name) = &self.name else { return hex(self.request).into() };
        match (self.rm_cmd, self.rm_class) {
            (Some(command), _) => match &self.rm_cmd_name {
                Some(command) => command.clone(),
                None => format!("{name} {command:#010x}").into(),
            },
            (None, Some(class)) => {
                format!("{name} {}", self.rm_class_name.clone().unwrap_or_else(|| hex(class).into())).into()
            }
            (None, None) => name.clone(),
        }
    }
}

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
    /// The request's name: the RM escape, the unified-memory call. Of a call through `NV_ESC_IOCTL_XFER_CMD` the real
    /// one's, here and below. Null where this version knows none.
    name: Option<Cow<'static, str>> ["" Dictionary],
    /// The command of an RM control. Null for other calls, and where the structure could not be read at the enter or
    /// has another layout; the notes of probe `ioctl` in `config.json` count those, here and below.
    rm_cmd: Option<u32> ["" Dictionary],
    /// Its name. Null where no public header has one: `report` lists those.
    rm_cmd_name: Option<Cow<'static, str>> ["" Dictionary],
    /// The class an RM allocation is of. Null as for `rm_cmd`.
    rm_class: Option<u32> ["" Dictionary],
    /// Its name. Null as for `rm_cmd_name`.
    rm_class_name: Option<Cow<'static, str>> ["" Dictionary],
    /// The size of the request's structure, from the request itself. Null where it tells none: unified-memory
    /// calls and old requests are plain numbers.
    size_bytes: Option<u32> ["bytes" Dictionary],
    /// The bytes of memory that the call is about, as asked for: allocated (in the parameters of a memory class, in a
    /// heap call), mapped, unmapped, made a range of. Null for other calls, and as for `rm_cmd`.
    length_bytes: Option<u64> ["bytes" Dictionary],
    /// The call's third argument: as a rule the structure's address.
    arg: u64 ["" Dictionary],
    /// From its enter to its exit.
    dur_ns: u64 ["ns" Plain],
    /// Of that, what the thread spent off the CPU: to the nanosecond the sum of its rows of `off_cpu` within.
    /// Null where the kernel did not tell the switch-in of a stay on a CPU that the call begins or ends in.
    off_cpu_ns: Option<u64> ["ns" Dictionary],
    /// What it returned: a negative errno for an error. The driver's own status is in `nv_status`.
    ret: i64 ["" Dictionary],
    /// The driver's status, as its structure had it at the exit: an error is told here, while `ret` is 0. Null for calls
    /// that have none, as for `rm_cmd`, and where the call failed and left what stood there as it was.
    nv_status: Option<u32> ["" Dictionary],
    /// Its name. Null where there is no status, or one that this version does not know.
    nv_status_name: Option<Cow<'static, str>> ["" Dictionary],
    /// The structure's first bytes at the enter, at most 96, hexadecimal. Null unless they were to be kept, which is for
    /// checking this table.
    enter_bytes: Option<String> ["" Plain],
    /// The same at the exit.
    exit_bytes: Option<String> ["" Plain],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_called_by_its_command_or_with_its_class() {
        let control = |name: Option<&'static str>| GpuIoctlRow {
            name: Some("NV_ESC_RM_CONTROL".into()),
            rm_cmd: Some(0x2080_a026),
            rm_cmd_name: name.map(Cow::Borrowed),
            ..GpuIoctlRow::default()
        };
        assert_eq!(control(Some("NV0000_X")).call_name(), "NV0000_X");
        assert_eq!(control(None).call_name(), "NV_ESC_RM_CONTROL 0x2080a026");
        let alloc = GpuIoctlRow {
            name: Some("NV_ESC_RM_ALLOC".into()),
            rm_class: Some(0x40),
            rm_class_name: Some("NV01_MEMORY_LOCAL_USER".into()),
            ..GpuIoctlRow::default()
        };
        assert_eq!(alloc.call_name(), "NV_ESC_RM_ALLOC NV01_MEMORY_LOCAL_USER");
        assert_eq!(GpuIoctlRow { request: 0x5401, ..GpuIoctlRow::default() }.call_name(), "0x5401");
    }
}
