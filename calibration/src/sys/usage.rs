//! The kernel's own counters of the calling thread (`RUSAGE_THREAD`): the truth a recording is held to.

use serde::{Deserialize, Serialize};

use super::{clock, gettid};

/// A thread's counters at the moment it read them; its exit, with the last switch, comes after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub tid: u32,
    /// Voluntary context switches.
    pub nvcsw: u64,
    /// Involuntary context switches.
    pub nivcsw: u64,
    /// Minor page faults.
    pub min_flt: u64,
    /// Major page faults.
    pub maj_flt: u64,
    /// CPU time, user and system, nanoseconds.
    pub cpu_ns: u64,
}

impl Usage {
    /// The calling thread's counters since it began.
    pub fn of_this_thread() -> Self {
        let usage = rusage();
        Self {
            tid: gettid(),
            nvcsw: usage.ru_nvcsw as u64,
            nivcsw: usage.ru_nivcsw as u64,
            min_flt: usage.ru_minflt as u64,
            maj_flt: usage.ru_majflt as u64,
            cpu_ns: clock::thread_cpu_ns(),
        }
    }

    /// What was added since `earlier`, for the same thread.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            tid: self.tid,
            nvcsw: self.nvcsw - earlier.nvcsw,
            nivcsw: self.nivcsw - earlier.nivcsw,
            min_flt: self.min_flt - earlier.min_flt,
            maj_flt: self.maj_flt - earlier.maj_flt,
            cpu_ns: self.cpu_ns - earlier.cpu_ns,
        }
    }
}

fn rusage() -> libc::rusage {
    // SAFETY: an all-zero rusage is valid, and the kernel fills it.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage
    }
}
