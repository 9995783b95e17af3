//! Reading `task_struct`: direct loads at offsets from the running kernel's BTF.

use aya_ebpf::helpers::{
    bpf_probe_read_kernel,
    generated::{bpf_get_current_task_btf, bpf_task_pt_regs},
};
use hostprof_common::{episode::flag, layout::ABSENT, span::ARGS, thread::Counters};

use crate::maps::layout;

/// A `task_struct`, as a tracepoint handed it over: the verifier checks each load against its BTF.
#[derive(Clone, Copy)]
pub struct Task(*const u8);

/// `PF_EXITING`. <https://elixir.bootlin.com/linux/v6.18/source/include/linux/sched.h>
const PF_EXITING: u64 = 0x4;
/// `PF_IO_WORKER`.
const PF_IO_WORKER: u64 = 0x10;
/// `PF_USER_WORKER` (6.4 and later; free before).
const PF_USER_WORKER: u64 = 0x4000;
/// `PF_FROZEN` before 6.1; never set together with a target thread's flags since.
const PF_FROZEN: u64 = 0x1_0000;
/// `TS_COMPAT` of `thread_info.status`, x86.
const TS_COMPAT: u64 = 0x2;
/// `NMI_MASK | HARDIRQ_MASK | SOFTIRQ_OFFSET` of the preempt count: in an interrupt, or serving a softirq.
const IN_INTERRUPT: u32 = 0x00ff_0100;

/// `JOBCTL_TRAP_FREEZE`: held in a frozen cgroup v2.
const JOBCTL_TRAP_FREEZE: u64 = 1 << 23;
/// `ioctl`, and i386's.
const IOCTL: i32 = 16;
const IOCTL_I386: i32 = 54;

/// What a thread's saved registers say of the system call it is in.
pub struct Syscall {
    pub nr: i32,
    pub arg0: u64,
    pub arg1: u64,
}

/// A call at its enter or exit, from the saved registers.
pub struct Call {
    pub nr: i32,
    pub args: [u64; ARGS],
    /// Only at the exit, and there not yet where the function itself returns.
    pub ret: i64,
}

/// `S_IFMT` and `S_IFCHR`.
const KIND_OF_FILE: u16 = 0o170_000;
const CHARACTER_DEVICE: u16 = 0o020_000;

#[inline(always)]
unsafe fn load<T: Copy>(base: *const u8, offset: u32) -> T {
    // SAFETY: the caller's base is a kernel object and the offset one of its fields, by BTF; the
    // verifier refuses the program otherwise.
    unsafe { core::ptr::read_volatile(base.add(offset as usize).cast::<T>()) }
}

impl Task {
    /// `task` must be a `task_struct` pointer that the verifier knows as one.
    #[inline(always)]
    pub fn new(task: *const u8) -> Self {
        Self(task)
    }

    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the helper always returns the running task.
        Self(unsafe { bpf_get_current_task_btf() }.cast_const().cast())
    }

    #[inline(always)]
    pub fn tid(self) -> u32 {
        unsafe { load(self.0, layout!(task_pid)) }
    }

    #[inline(always)]
    pub fn tgid(self) -> u32 {
        unsafe { load(self.0, layout!(task_tgid)) }
    }

    #[inline(always)]
    pub fn start_ns(self) -> u64 {
        unsafe { load(self.0, layout!(task_start_time)) }
    }

    #[inline(always)]
    pub fn state(self) -> u32 {
        unsafe { load(self.0, layout!(task_state)) }
    }

    #[inline(always)]
    pub fn comm_ptr(self) -> *const u8 {
        unsafe { self.0.add(layout!(task_comm) as usize) }
    }

    #[inline(always)]
    pub fn counters(self, at_ns: u64) -> Counters {
        unsafe {
            Counters {
                at_ns,
                nvcsw: load(self.0, layout!(task_nvcsw)),
                nivcsw: load(self.0, layout!(task_nivcsw)),
                sum_exec_ns: load(self.0, layout!(task_sum_exec)),
                run_delay_ns: load(self.0, layout!(task_run_delay)),
                min_flt: load(self.0, layout!(task_min_flt)),
                maj_flt: load(self.0, layout!(task_maj_flt)),
                stolen_ns: 0,
                late_on_cpu_ns: 0,
                late_runqueue_ns: 0,
            }
        }
    }

    /// The bits of [`flag`] that the task itself tells. Put together without a branch: after one, the verifier would know
    /// the bit, and follow every combination of them apart.
    #[inline(always)]
    pub fn flags(self) -> u16 {
        let task: u32 = unsafe { load(self.0, layout!(task_flags)) };
        let status: u32 = unsafe { load(self.0, layout!(task_ti_status)) };
        let jobctl: u64 = unsafe { load(self.0, layout!(task_jobctl)) };
        let task = u64::from(task);
        let mut flags = bit(task, PF_IO_WORKER, flag::IO_WORKER)
            | bit(task, PF_USER_WORKER, flag::IO_WORKER)
            | bit(task, PF_EXITING, flag::EXITING)
            | bit(jobctl, JOBCTL_TRAP_FREEZE, flag::FROZEN)
            | bit(u64::from(status), TS_COMPAT, flag::COMPAT)
            | self.throttled();
        if layout!(freezer_by_flag) != 0 {
            flags |= bit(task, PF_FROZEN, flag::FROZEN);
        }
        flags
    }

    /// Whether it is held by its cgroup's CPU quota: exactly from 6.18, before by its run queue's state at this moment.
    #[inline(always)]
    fn throttled(self) -> u16 {
        if layout!(task_throttled) != ABSENT {
            let throttled: u8 = unsafe { load(self.0, layout!(task_throttled)) };
            return bit(u64::from(throttled), 1, flag::THROTTLED);
        }
        if layout!(task_cfs_rq) != ABSENT && layout!(cfs_rq_throttle_count) != ABSENT {
            let cfs_rq: *const u8 = unsafe { load(self.0, layout!(task_cfs_rq)) };
            let count: u32 = unsafe { load(cfs_rq, layout!(cfs_rq_throttle_count)) };
            return if count != 0 { flag::THROTTLED } else { 0 };
        }
        0
    }

    /// The system call the thread is in, from its registers as saved at kernel entry.
    #[inline(always)]
    pub fn syscall(self, compat: bool) -> Syscall {
        unsafe {
            let regs: *const u8 = bpf_task_pt_regs(self.0.cast_mut().cast()) as *const u8;
            let nr: u64 = load(regs, layout!(regs_orig_ax));
            let (arg0, arg1): (u64, u64) = if compat {
                (load(regs, layout!(regs_bx)), load(regs, layout!(regs_cx)))
            } else {
                (load(regs, layout!(regs_di)), load(regs, layout!(regs_si)))
            };
            Syscall { nr: nr as i32, arg0, arg1 }
        }
    }

    /// The device an ioctl is for, by its fd: `current->files->fdt->fd[n]->f_inode->i_rdev`. 0 for another
    /// call, or an fd that is not open. Only for the task being switched out.
    #[inline(always)]
    pub fn ioctl_device(self, syscall: &Syscall, compat: bool) -> u32 {
        if syscall.nr != if compat { IOCTL_I386 } else { IOCTL } {
            return 0;
        }
        self.device(syscall.arg0 as u32)
    }

    /// Whether the call the current task is in came through the 32-bit entry.
    #[inline(always)]
    pub fn is_compat(self) -> bool {
        let status: u32 = unsafe { load(self.0, layout!(task_ti_status)) };
        u64::from(status) & TS_COMPAT != 0
    }

    /// The call the current task enters or leaves.
    #[inline(always)]
    pub fn call(self) -> Call {
        unsafe {
            let regs: *const u8 = bpf_task_pt_regs(self.0.cast_mut().cast()) as *const u8;
            let nr: u64 = load(regs, layout!(regs_orig_ax));
            let args = [
                load(regs, layout!(regs_di)),
                load(regs, layout!(regs_si)),
                load(regs, layout!(regs_dx)),
                load(regs, layout!(regs_r10)),
            ];
            Call { nr: nr as i32, args, ret: load(regs, layout!(regs_ax)) }
        }
    }

    /// The character device behind an fd; 0 for any other file, or none.
    #[inline(always)]
    pub fn device(self, fd: u32) -> u32 {
        self.try_device(fd).unwrap_or(0)
    }

    #[inline(always)]
    fn try_device(self, fd: u32) -> Option<u32> {
        // SAFETY: direct loads at BTF's offsets, and probing reads where an index leaves BTF's sight.
        unsafe {
            let files: *const u8 = load(self.0, layout!(task_files));
            if files.is_null() {
                return None;
            }
            let fdt: *const u8 = load(files, layout!(files_fdt));
            let max_fds: u32 = load(fdt, layout!(fdt_max_fds));
            if fd >= max_fds {
                return None;
            }
            let table: *const u8 = load(fdt, layout!(fdt_fd));
            let entry = table.wrapping_add(fd as usize * size_of::<u64>());
            let file: *const u8 = bpf_probe_read_kernel(entry.cast()).ok()?;
            let inode = file.wrapping_add(layout!(file_inode) as usize);
            let inode: *const u8 = bpf_probe_read_kernel(inode.cast()).ok()?;
            let mode = inode.wrapping_add(layout!(inode_mode) as usize);
            let mode: u16 = bpf_probe_read_kernel(mode.cast()).ok()?;
            if mode & KIND_OF_FILE != CHARACTER_DEVICE {
                return None;
            }
            let rdev = inode.wrapping_add(layout!(inode_rdev) as usize);
            bpf_probe_read_kernel(rdev.cast()).ok()
        }
    }

    /// How often the task was moved to another run queue, modulo 2^32.
    #[inline(always)]
    pub fn migrations(self) -> u32 {
        unsafe { load(self.0, layout!(task_migrations)) }
    }

    /// Nanoseconds runnable and waiting, but for the wait that a switch-in is about to end.
    #[inline(always)]
    pub fn run_delay_ns(self) -> u64 {
        unsafe { load(self.0, layout!(task_run_delay)) }
    }

    /// The run queue that the task is on, or was last.
    #[inline(always)]
    pub fn run_queue(self) -> RunQueue {
        if layout!(task_cfs_rq) == ABSENT {
            return RunQueue(core::ptr::null());
        }
        unsafe {
            let cfs_rq: *const u8 = load(self.0, layout!(task_cfs_rq));
            RunQueue(load(cfs_rq, layout!(cfs_rq_rq)))
        }
    }

    /// The task's id in its own pid namespace; 0 when unreadable.
    #[inline(always)]
    pub fn ns_tid(self) -> u32 {
        unsafe {
            let pid: *const u8 = load(self.0, layout!(task_thread_pid));
            let level: u32 = load(pid, layout!(pid_level));
            let nr = pid
                .cast::<u8>()
                .wrapping_add(layout!(pid_numbers_nr) as usize)
                .wrapping_add((level & 31) as usize * layout!(upid_bytes) as usize);
            bpf_probe_read_kernel(nr.cast::<u32>()).unwrap_or(0)
        }
    }
}

/// Another bit, where one of a word is set.
#[inline(always)]
pub fn bit(word: u64, of: u64, becomes: u16) -> u16 {
    ((word >> of.trailing_zeros() & 1) as u16) << becomes.trailing_zeros()
}

/// A CPU's run queue. A switch's two tasks have the same one: it is asked for once, since each time the verifier meets
/// the way there it looks through all of the kernel's types, for half a millisecond. Where there is none to be found,
/// all it tells is 0: no `Option`, whose empty half the verifier would see read.
#[derive(Clone, Copy)]
pub struct RunQueue(*const u8);

impl RunQueue {
    /// How long a task that it is about to run has waited, by its own clock and the kernel's own mark
    /// (`rq->clock - sched_info.last_queued`, what `sched_info_arrive` is about to add to `run_delay`): less
    /// than zero, in two's complement, where the mark was set by another run queue's later clock. 0 where the kernel
    /// has no mark.
    #[inline(always)]
    pub fn queued_for(self, next: Task) -> u64 {
        self.since(next, layout!(task_last_queued))
    }

    /// How long ago the task that leaves it was switched in, by the same clock.
    #[inline(always)]
    pub fn arrived_ago(self, prev: Task) -> u64 {
        clamped(self.since(prev, layout!(task_last_arrival)))
    }

    #[inline(always)]
    fn since(self, task: Task, mark: u32) -> u64 {
        if layout!(task_cfs_rq) == ABSENT {
            return 0;
        }
        let mark: u64 = unsafe { load(task.0, mark) };
        let clock: u64 = unsafe { load(self.0, layout!(rq_clock)) };
        if mark == 0 { 0 } else { clock.wrapping_sub(mark) }
    }

    /// By how much its clock is ahead of that which counts tasks' time: the sum of interrupt and hypervisor time of
    /// the CPU. Only under its lock.
    #[inline(always)]
    pub fn clock_ahead(self) -> u64 {
        if layout!(task_cfs_rq) == ABSENT || layout!(rq_clock_task) == ABSENT {
            return 0;
        }
        let (clock, task): (u64, u64) =
            unsafe { (load(self.0, layout!(rq_clock)), load(self.0, layout!(rq_clock_task))) };
        clock - task
    }

    /// By how much `now` is ahead of its clock, up to a constant. Only under its lock.
    #[inline(always)]
    pub fn lag(self, now: u64) -> u64 {
        if layout!(task_cfs_rq) == ABSENT {
            return 0;
        }
        let clock: u64 = unsafe { load(self.0, layout!(rq_clock)) };
        now.wrapping_sub(clock)
    }
}

/// A length of time, or 0 for one that is less.
#[inline(always)]
pub fn clamped(ns: u64) -> u64 {
    if ns.cast_signed() < 0 { 0 } else { ns }
}

/// `AF_INET` and `AF_INET6`.
const INET: u16 = 2;
const INET6: u16 = 10;

/// Whether a `struct sock`, as a tracepoint handed it over, is one of IPv4 or IPv6.
#[inline(always)]
pub fn is_inet(sock: *const u8) -> bool {
    let family: u16 = unsafe { load(sock, layout!(sock_family)) };
    matches!(family, INET | INET6)
}

/// Its local port.
#[inline(always)]
pub fn socket_port(sock: *const u8) -> u16 {
    unsafe { load(sock, layout!(sock_port)) }
}

/// Its state, as TCP names them.
#[inline(always)]
pub fn socket_state(sock: *const u8) -> u8 {
    unsafe { load(sock, layout!(sock_state)) }
}

/// Whether the running CPU is in an interrupt, where the current task is a bystander.
///
/// The preempt count is per-CPU memory; so is the run queue, which a task points to. BTF tells how far
/// apart the two lie, on every CPU alike.
#[inline(always)]
pub fn in_interrupt() -> bool {
    if layout!(has_preempt_count) == 0 || layout!(task_cfs_rq) == ABSENT {
        return false;
    }
    let rq = Task::current().run_queue().0 as u64;
    let count = rq.wrapping_add(layout!(preempt_count_from_rq)) as *const u32;
    // SAFETY: a probing read: a wrong address is an error, not a fault.
    unsafe { bpf_probe_read_kernel(count) }.unwrap_or(0) & IN_INTERRUPT != 0
}
