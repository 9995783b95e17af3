//! Table `off_cpu`: every time a thread was off the CPU, and why.

use super::{table, word::words};

words! {
    /// Why a thread was off the CPU: a closed list, decided in this order at the switch-out
    /// (`probe::off_cpu` holds the rule and each state's system calls).
    #[derive(Default)]
    State {
        /// The thread's last switch.
        Exit = "exit",
        /// Stopped by a signal (`SIGSTOP`, `SIGTSTP`).
        Stopped = "stopped",
        /// Held by a debugger.
        Traced = "traced",
        /// Held by the freezer.
        Frozen = "frozen",
        /// Runnable, but held by its cgroup's CPU quota.
        Throttled = "throttled",
        /// Switched out while runnable.
        Preempted = "preempted",
        /// Gave up the CPU while runnable (`sched_yield`).
        Yield = "yield",
        /// A kernel worker of the process (io_uring) waiting.
        IoWorker = "io_worker",
        /// Blocked in futex or one of its kin.
        Futex = "futex",
        /// Blocked in poll, select or epoll.
        Poll = "poll",
        /// Sleeping for a time.
        Sleep = "sleep",
        /// Blocked in read or one of its kin.
        Read = "read",
        /// Blocked in write or one of its kin.
        Write = "write",
        /// Blocked in recv, send, accept or connect.
        Network = "network",
        /// Blocked in an ioctl on a selected device.
        GpuIoctl = "gpu_ioctl",
        /// Blocked in another ioctl.
        Ioctl = "ioctl",
        /// Blocked in a call that changes the address space (mmap family).
        Memory = "memory",
        /// Waiting for a child process.
        Wait = "wait",
        /// Blocked in fsync or one of its kin.
        Fsync = "fsync",
        /// Blocked in `io_uring_enter`.
        IoUring = "io_uring",
        /// Blocked in a system call of none of these kinds.
        SyscallOther = "syscall_other",
        /// Blocked, uninterruptibly, with no system call: a page fault.
        PageFault = "page_fault",
        /// None of these.
        #[default]
        Other = "other",
        /// Runnable from the start and not yet running: a new thread's first wait for a CPU.
        Runqueue = "runqueue",
    }
}

words! {
    /// What made a blocked thread runnable.
    #[derive(Default)]
    WakeSource {
        /// A thread: `waker_tid` names it.
        #[default]
        Task = "task",
        /// An interrupt (a timer, a device, a packet): whoever it interrupted is a bystander.
        Irq = "irq",
        /// Its making: the wakeup of a new thread, by its maker.
        New = "new",
    }
}

words! {
    /// What an fd stands for.
    #[derive(Default)]
    FdKind {
        /// A character or block device.
        Device = "device",
        /// A socket.
        Socket = "socket",
        /// A pipe without a name.
        Pipe = "pipe",
        /// An eventfd.
        Eventfd = "eventfd",
        /// An epoll instance.
        Epoll = "epoll",
        /// A timerfd.
        Timerfd = "timerfd",
        /// A signalfd.
        Signalfd = "signalfd",
        /// An inotify or fanotify instance.
        Inotify = "inotify",
        /// An io_uring instance.
        IoUring = "io_uring",
        /// Anything else with a path: a file, a directory, a pipe with a name.
        File = "file",
        /// None of these.
        #[default]
        Other = "other",
    }
}

impl State {
    /// Whether a thread in this state is runnable: its time off the CPU is then `runqueue_ns`, and counts
    /// as this state, not as `runqueue`.
    #[inline]
    pub fn is_runnable(self) -> bool {
        matches!(self, Self::Throttled | Self::Preempted | Self::Yield)
    }

    /// As which state the time counts that a thread in this one waits for a CPU: [`Self::Runqueue`] once it was woken,
    /// this one where it was runnable all along.
    #[must_use]
    #[inline]
    pub fn once_runnable(self) -> Self {
        if self.is_runnable() { self } else { Self::Runqueue }
    }
}

table! {
    /// One row is an off-CPU episode: from a thread's switch-out to its next switch-in. State S is the sum
    /// of `blocked_ns` where `state` = S; `preempted`, `yield` and `throttled` are the sums of
    /// `runqueue_ns` by state; `runqueue` is the sum of `runqueue_ns` of all other rows.
    OffCpuRow in "off_cpu" as OffCpuColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns + row.blocked_ns + row.runqueue_ns);

    /// When the thread was switched out, CLOCK_MONOTONIC; for `open_start` when recording of it began.
    /// The row ends, at the switch-in, `blocked_ns + runqueue_ns` later. Source: tp_btf/sched_switch.
    ts_mono_ns: u64 ["ns" Delta],
    /// Thread, in the initial pid namespace. Source: task_struct.pid.
    tid: u32 ["" Dictionary],
    /// Process, in the initial pid namespace. Source: task_struct.tgid.
    tgid: u32 ["" Dictionary],
    /// Why: see the list of states. Source: the task's state bits, flags and registers at the switch-out.
    state: State ["" Dictionary],
    /// The system call the thread was in, by its x86-64 number; null where it was in none, or in one of
    /// i386. Source: the task's saved orig_ax.
    syscall_nr: Option<i32> ["" Dictionary],
    /// The call's first argument: the futex's address, the fd. Null where the thread was not blocked in a
    /// system call. Source: the task's saved registers.
    arg0: Option<u64> ["" Dictionary],
    /// The call's second argument: the futex operation, the ioctl request. Null as for `arg0`.
    arg1: Option<u64> ["" Dictionary],
    /// What the fd in `arg0` stands for. Null for a call whose first argument is no fd, and where it could not
    /// be looked up. Source: /proc/PID/fd, at most a second from the row's end: an fd that is closed and used
    /// again that fast may be told as its successor.
    fd_kind: Option<FdKind> ["" Dictionary],
    /// From the switch-out to the wakeup; 0 for a thread that stayed runnable.
    blocked_ns: u64 ["ns" Dictionary],
    /// From the wakeup to the switch-in, or from the switch-out for a thread that stayed runnable.
    runqueue_ns: u64 ["ns" Dictionary],
    /// Whether the kernel counted the switch as voluntary. Source: which of nvcsw and nivcsw moved.
    voluntary: bool ["" Dictionary],
    /// Whether the thread had major page faults since its last switch-out: with `page_fault`, the wait was
    /// for one. Source: task_struct.maj_flt.
    major: bool ["" Dictionary],
    /// What woke it; null where it was not woken (it stayed runnable, or the row is `open_end`), or where
    /// the wakeup was not seen. Source: tp_btf/sched_waking.
    wake_source: Option<WakeSource> ["" Dictionary],
    /// The thread that woke it, in the initial pid namespace; null unless a task did.
    waker_tid: Option<u32> ["" Dictionary],
    /// The CPU it was switched out on; null for `open_start`.
    cpu_out: Option<u16> ["" Dictionary],
    /// The CPU it was switched in on; null for `open_end` and `exit`.
    cpu_in: Option<u16> ["" Dictionary],
    /// The episode was open when recording of the thread began.
    open_start: bool ["" Dictionary],
    /// The episode was open when recording ended.
    open_end: bool ["" Dictionary],
    /// The stack it blocked in; null while no probe takes stacks.
    stack_id: Option<u64> ["" Dictionary],
}
