//! What `/proc` tells of a thread that lived before it was recorded.

use hostprof_common::thread::Counters;

use crate::table::State;

/// A thread as a scan found it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seed {
    /// Thread id in the thread's own pid namespace.
    pub ns_tid: Option<u32>,
    /// Its name, as bytes.
    pub comm: Vec<u8>,
    /// When it was made, CLOCK_MONOTONIC, to a clock tick (10 ms).
    pub start_mono_ns: Option<u64>,
    /// Its state letter: `S`, `D`, `R`, `T`, `t`, `X`, `Z`, `I`.
    pub state: char,
    /// The system call it was blocked in and its first two arguments; `None` where it ran, was in none,
    /// or may not be looked at.
    pub syscall: Option<(i32, u64, u64)>,
    /// The wait that a restarted call goes on with: a debugger, or a profiler as py-spy, had stopped the thread in it.
    pub restarts: Option<State>,
    /// Whether the kernel would tell the system call.
    pub syscall_readable: bool,
    /// The kernel's counters, as `/proc` shows them.
    pub counters: Option<Counters>,
}

impl Seed {
    /// Whether it was off the CPU and not runnable.
    pub fn is_blocked(&self) -> bool {
        matches!(self.state, 'S' | 'D' | 'T' | 't' | 'I' | 'P')
    }

    /// The kernel's state bits behind the letter.
    pub fn task_state(&self) -> u32 {
        match self.state {
            'S' => 0x1,
            'D' => 0x2,
            'T' => 0x4,
            't' => 0x8,
            _ => 0,
        }
    }
}
