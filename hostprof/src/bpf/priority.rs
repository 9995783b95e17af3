//! The drains' scheduling priority.

use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, setrlimit},
};

/// How the drains are scheduled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DrainPriority {
    /// `SCHED_FIFO 1` where allowed, else nice -20, else ordinary.
    #[default]
    Auto,
    /// As any other thread: records may be lost on a saturated machine.
    None,
}

/// The real-time priority: the least, so that nothing real-time of the machine's own is delayed.
const FIFO_PRIORITY: i32 = 1;

/// What [`raise`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Achieved {
    /// `SCHED_FIFO 1`.
    Fifo,
    /// nice -20.
    Nice,
    /// Nothing: an ordinary thread.
    Ordinary,
}

impl Achieved {
    /// As `config.json` tells it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Fifo => "SCHED_FIFO 1",
            Self::Nice => "nice -20",
            Self::Ordinary => "ordinary (needs CAP_SYS_NICE, or `ulimit -r 1`)",
        }
    }
}

/// Lets this process raise its threads' priority after it has given up its privileges. Fails silently:
/// [`raise`] tells what was achieved.
pub fn allow() {
    for resource in [Resource::RLIMIT_RTPRIO, Resource::RLIMIT_NICE] {
        let limit = if resource == Resource::RLIMIT_RTPRIO { 1 } else { 40 };
        if let Ok((soft, hard)) = getrlimit(resource)
            && soft < limit
        {
            let _ = setrlimit(resource, limit, hard.max(limit));
        }
    }
}

/// Raises the calling thread's priority as far as it may.
pub fn raise(priority: DrainPriority) -> Achieved {
    if priority == DrainPriority::None {
        return Achieved::Ordinary;
    }
    if set_scheduler(libc::SCHED_FIFO, FIFO_PRIORITY) {
        return Achieved::Fifo;
    }
    if set_nice(-20) { Achieved::Nice } else { Achieved::Ordinary }
}

/// What [`raise`] would achieve for a thread started now.
pub fn achievable(priority: DrainPriority) -> Achieved {
    std::thread::spawn(move || raise(priority)).join().unwrap_or(Achieved::Ordinary)
}

/// Makes the calling thread an ordinary one again.
pub fn lower() {
    set_scheduler(libc::SCHED_OTHER, 0);
}

/// Of a CPU that a hundred ordinary threads want, a thread of this nice value still has two fifths; at -10 it had a twelfth,
/// and two hundred threads that switch all the time filled the rings.
const PREFERRED: i32 = -18;

/// Gives the calling thread more than its share of a busy machine, where it may, among threads of its own session and
/// control group.
pub fn prefer() {
    set_nice(PREFERRED);
}

/// The nice value of haste: one that nothing else here has.
const HASTE: i32 = -19;

/// The thread that began it, and those that it has made since, get nearly all of a busy machine, until it is dropped.
#[derive(Debug)]
pub struct Haste {
    before: i32,
}

impl Haste {
    /// Begins, where that is allowed.
    pub fn begin() -> Option<Self> {
        // SAFETY: plain numbers; on Linux 0 names the calling thread.
        let before = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        set_nice(HASTE).then_some(Self { before })
    }
}

impl Drop for Haste {
    fn drop(&mut self) {
        let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
        let tids = threads.flatten().filter_map(|thread| thread.file_name().to_str()?.parse::<u32>().ok());
        for tid in tids {
            // SAFETY: plain numbers; a thread that is gone is an error without effect.
            unsafe {
                if libc::getpriority(libc::PRIO_PROCESS, tid) == HASTE {
                    libc::setpriority(libc::PRIO_PROCESS, tid, self.before);
                }
            }
        }
    }
}

/// Of the calling thread alone: those that it starts are ordinary ones.
fn set_scheduler(policy: i32, priority: i32) -> bool {
    // SAFETY: `sched_param` is plain data, and 0 names the calling thread.
    unsafe {
        let mut param: libc::sched_param = std::mem::zeroed();
        param.sched_priority = priority;
        Errno::result(libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &raw const param))
            .is_ok()
    }
}

fn set_nice(nice: i32) -> bool {
    // SAFETY: plain numbers; on Linux 0 names the calling thread.
    unsafe { Errno::result(libc::setpriority(libc::PRIO_PROCESS, 0, nice)).is_ok() }
}
