//! A thread's beginning, end and changes of name: rare and critical, so on a ring of their own.

use crate::COMM_BYTES;

/// The kernel's own account of a thread, read from its `task_struct` at a context switch.
///
/// These are the truth that `hostprof check` compares the recording with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// When they were read; 0 while they never were.
    pub at_ns: u64,
    /// Voluntary context switches (`nvcsw`).
    pub nvcsw: u64,
    /// Involuntary context switches (`nivcsw`).
    pub nivcsw: u64,
    /// Nanoseconds on a CPU (`se.sum_exec_runtime`).
    pub sum_exec_ns: u64,
    /// Nanoseconds runnable and waiting (`sched_info.run_delay`), up to the last switch-in.
    pub run_delay_ns: u64,
    /// Minor page faults (`min_flt`).
    pub min_flt: u64,
    /// Major page faults (`maj_flt`).
    pub maj_flt: u64,
    /// Nanoseconds of interrupts and of the hypervisor while the thread was on a CPU, since it was met:
    /// summed by hostprof over its stays, as the run queue's `clock` ran ahead of its `clock_task`.
    pub stolen_ns: u64,
    /// By how many nanoseconds more the tracepoints ran behind the run queue's clock at the ends of the
    /// thread's stays on a CPU than at their beginnings, since it was met. Two's complement: it may be less.
    pub late_on_cpu_ns: u64,
    /// The same of its waits for a CPU.
    pub late_runqueue_ns: u64,
}

impl Counters {
    /// Before the first reading.
    pub const ZERO: Self = Self {
        at_ns: 0,
        nvcsw: 0,
        nivcsw: 0,
        sum_exec_ns: 0,
        run_delay_ns: 0,
        min_flt: 0,
        maj_flt: 0,
        stolen_ns: 0,
        late_on_cpu_ns: 0,
        late_runqueue_ns: 0,
    };
}

/// How a thread came into the recording: [`Begin::cause`].
pub mod cause {
    /// It was there when recording began, or was found by a scan.
    pub const ADOPTED: u16 = 0;
    /// A recorded thread made it.
    pub const FORK: u16 = 1;
    /// It took over its process's id by exec; its earlier life is another thread of the recording.
    pub const EXEC: u16 = 2;
    /// It is gone: its last context switch. Only in [`End`].
    pub const EXIT: u16 = 3;
}

/// A thread is recorded from here on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Begin {
    /// [`crate::RecordKind::ThreadBegin`].
    pub kind: u16,
    /// One of [`cause`].
    pub cause: u16,
    /// The thread's number in this recording: never reused, unlike a tid.
    pub utid: u32,
    /// When recording of it began.
    pub at_ns: u64,
    /// The kernel's `start_time`: 0 for an adopted thread, which user space reads from `/proc`.
    pub start_ns: u64,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Thread id in its own pid namespace; 0 for an adopted thread.
    pub ns_tid: u32,
    /// The thread that made it: its [`Begin::utid`]; 0 for an adopted one.
    pub parent_utid: u32,
    /// The thread's name, zero-terminated; empty for an adopted one.
    pub comm: [u8; COMM_BYTES],
}

/// The kernel's counters at the first switch-out of a thread that was met while it lived.
///
/// A thread that began by fork has none: its counters began at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct First {
    /// [`crate::RecordKind::ThreadFirst`].
    pub kind: u16,
    pub _pad: u16,
    pub utid: u32,
    pub counters: Counters,
}

/// A thread ended, or goes on under another tid ([`cause::EXEC`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct End {
    /// [`crate::RecordKind::ThreadEnd`].
    pub kind: u16,
    /// [`cause::EXIT`] or [`cause::EXEC`].
    pub cause: u16,
    pub utid: u32,
    /// When: the last switch-out, or the exec.
    pub at_ns: u64,
    /// The CPU it ended on.
    pub cpu: u32,
    /// Bits of [`crate::episode::flag`] of the last switch-out.
    pub flags: u32,
    /// At its last switch-out.
    pub counters: Counters,
}

/// A process runs another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Exec {
    /// [`crate::RecordKind::Exec`].
    pub kind: u16,
    pub _pad: u16,
    pub utid: u32,
    pub at_ns: u64,
    /// The thread's new name, zero-terminated.
    pub comm: [u8; COMM_BYTES],
    /// The path as given to the kernel, zero-terminated, cut where it is longer.
    pub path: [u8; EXEC_PATH_BYTES],
}

/// The most of an executed path that is kept.
pub const EXEC_PATH_BYTES: usize = 256;

/// A thread has another name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Rename {
    /// [`crate::RecordKind::Rename`].
    pub kind: u16,
    pub _pad: u16,
    pub utid: u32,
    pub at_ns: u64,
    pub comm: [u8; COMM_BYTES],
}

const _: () = {
    assert!(size_of::<Counters>() == 80);
    assert!(size_of::<Begin>() == 56);
    assert!(size_of::<First>() == 88);
    assert!(size_of::<End>() == 104);
    assert!(size_of::<Exec>() == 32 + EXEC_PATH_BYTES);
    assert!(size_of::<Rename>() == 32);
};
