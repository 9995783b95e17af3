//! Table `syscall`: system calls from enter to exit.

use std::borrow::Cow;

use super::table;

/// Whether a call returned a negative errno. Addresses are never among the last page's.
pub(super) fn is_error(ret: i64) -> bool {
    (-4095..0).contains(&ret)
}

impl SyscallRow {
    /// Whether it returned an error.
    pub fn failed(&self) -> bool {
        is_error(self.ret)
    }
}

table! {
    /// One row is a system call that was traced: which are, the probes `memory`, `futex` and `syscall` say. An
    /// ioctl on a selected device is a row of `gpu_ioctl` instead, where probe `ioctl` ran. A call that was
    /// open when its thread was met or when recording ended has no row; `config.json` counts both. A call that
    /// a signal interrupts and the kernel restarts is a row for each time, the earlier ones with `ret` -512 to
    /// -516.
    SyscallRow in "syscall" as SyscallColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);

    /// When it was entered, CLOCK_MONOTONIC. Source: the hook at its enter.
    ts_mono_ns: u64 ["ns" Delta],
    /// Thread, in the initial pid namespace.
    tid: u32 ["" Dictionary],
    /// Process, in the initial pid namespace.
    tgid: u32 ["" Dictionary],
    /// The call's name; `syscall_N` for a number this version does not know.
    name: Cow<'static, str> ["" Dictionary],
    /// The call's x86-64 number. Source: the task's saved orig_ax.
    syscall_nr: i32 ["" Dictionary],
    /// From its enter to its exit.
    dur_ns: u64 ["ns" Plain],
    /// Of that, what the thread spent off the CPU: to the nanosecond the sum of its rows of `off_cpu` within.
    /// Null where the kernel did not tell the switch-in of a stay on a CPU that the call begins or ends in.
    off_cpu_ns: Option<u64> ["ns" Dictionary],
    /// What it returned: a negative errno for an error. Source: the task's saved ax.
    ret: i64 ["" Dictionary],
    /// Its first argument. Null where it has none, as for the following; of a call that only probe `syscall`
    /// traces, an argument it does not have is whatever the register held. Source: the task's saved registers.
    arg0: Option<u64> ["" Dictionary],
    /// Its second argument: the futex operation, the length.
    arg1: Option<u64> ["" Dictionary],
    /// Its third argument.
    arg2: Option<u64> ["" Dictionary],
    /// Its fourth argument. The fifth and sixth are not kept.
    arg3: Option<u64> ["" Dictionary],
}
