//! Whether the time a call spent off the CPU is what its thread's rows of `off_cpu` within it come to.
//!
//! The kernel half sums the episodes of a thread as it writes them, and a call's share is a difference of two
//! readings of that sum; the rows come another way. A thread's rows are kept up to its last call.

use std::collections::VecDeque;

use crate::table::{CudaCallRow, CudaKind, GpuIoctlRow, StepKind, StepRow, SyscallRow};

/// Rows kept of a thread: beyond so many the oldest are forgotten, and a call that began before is not
/// compared.
const KEPT: usize = 1 << 16;

/// Calls that do not lie within one another: a thread is in one of each at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// System calls.
    System,
    /// Calls of CUDA's driver library that wait for the GPU.
    CudaSync,
    /// Its others.
    Cuda,
    /// Calls of an engine.
    Engine,
    /// Rounds of its loop.
    EngineRound,
}

/// How many there are.
pub(super) const LANES: usize = 5;

/// A row of `syscall`, `gpu_ioctl`, `cuda_call` or `step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub tid: u32,
    pub enter_ns: u64,
    pub exit_ns: u64,
    pub off_cpu_ns: Option<u64>,
    pub lane: Lane,
}

impl From<&SyscallRow> for Call {
    fn from(row: &SyscallRow) -> Self {
        let exit_ns = row.ts_mono_ns.saturating_add(row.dur_ns);
        let lane = Lane::System;
        Self { tid: row.tid, enter_ns: row.ts_mono_ns, exit_ns, off_cpu_ns: row.off_cpu_ns, lane }
    }
}

impl From<&GpuIoctlRow> for Call {
    fn from(row: &GpuIoctlRow) -> Self {
        let exit_ns = row.ts_mono_ns.saturating_add(row.dur_ns);
        let lane = Lane::System;
        Self { tid: row.tid, enter_ns: row.ts_mono_ns, exit_ns, off_cpu_ns: row.off_cpu_ns, lane }
    }
}

impl From<&CudaCallRow> for Call {
    fn from(row: &CudaCallRow) -> Self {
        let exit_ns = row.ts_mono_ns.saturating_add(row.dur_ns);
        let lane = if row.kind == CudaKind::Sync { Lane::CudaSync } else { Lane::Cuda };
        // That of one that is open was read a moment apart from its end.
        let off_cpu_ns = row.off_cpu_ns.filter(|_| !row.open_end);
        Self { tid: row.tid, enter_ns: row.ts_mono_ns, exit_ns, off_cpu_ns, lane }
    }
}

impl From<&StepRow> for Call {
    fn from(row: &StepRow) -> Self {
        let exit_ns = row.ts_mono_ns.saturating_add(row.dur_ns);
        let lane = if row.kind == StepKind::Round { Lane::EngineRound } else { Lane::Engine };
        // As above.
        let off_cpu_ns = row.off_cpu_ns.filter(|_| !row.open_end);
        Self { tid: row.tid, enter_ns: row.ts_mono_ns, exit_ns, off_cpu_ns, lane }
    }
}

/// A thread's episodes since its last call of each lane.
#[derive(Debug, Default)]
pub(super) struct Windows([Window; LANES]);

impl Windows {
    /// Adds an episode, in the order of their ends.
    pub(super) fn add(&mut self, start_ns: u64, end_ns: u64, lanes: [bool; LANES]) {
        for (window, _) in self.0.iter_mut().zip(lanes).filter(|(_, used)| *used) {
            window.add(start_ns, end_ns);
        }
    }

    /// As [`Window::within`].
    pub(super) fn within(&mut self, call: &Call) -> Option<u64> {
        self.0[call.lane as usize].within(call)
    }
}

/// A thread's episodes since its last call.
#[derive(Debug, Default)]
pub(super) struct Window {
    episodes: VecDeque<(u64, u64)>,
    forgotten_until_ns: u64,
}

impl Window {
    /// Adds an episode, in the order of their ends.
    pub(super) fn add(&mut self, start_ns: u64, end_ns: u64) {
        if self.episodes.len() >= KEPT
            && let Some((_, end_ns)) = self.episodes.pop_front()
        {
            self.forgotten_until_ns = end_ns;
        }
        self.episodes.push_back((start_ns, end_ns));
    }

    /// How much of a call the episodes cover; `None` where some are forgotten. A thread is in one call at a
    /// time, so those that end before it does are then of no use any more.
    pub(super) fn within(&mut self, call: &Call) -> Option<u64> {
        let mut off_ns = 0;
        while let Some(&(start_ns, end_ns)) = self.episodes.front() {
            off_ns += end_ns.min(call.exit_ns).saturating_sub(start_ns.max(call.enter_ns));
            if end_ns > call.exit_ns {
                break;
            }
            self.episodes.pop_front();
        }
        (call.enter_ns >= self.forgotten_until_ns).then_some(off_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(enter_ns: u64, exit_ns: u64) -> Call {
        Call { tid: 1, enter_ns, exit_ns, off_cpu_ns: None, lane: Lane::System }
    }

    #[test]
    fn episodes_within_a_call_are_summed_and_those_around_it_are_not() {
        let mut window = Window::default();
        for (start_ns, end_ns) in [(5, 9), (20, 25), (30, 31), (50, 90)] {
            window.add(start_ns, end_ns);
        }
        assert_eq!(window.within(&call(10, 40)), Some(6));
        assert_eq!(window.within(&call(41, 49)), Some(0));
        assert_eq!(window.within(&call(60, 70)), Some(10), "one that reaches beyond counts by its part");
        assert_eq!(window.within(&call(91, 95)), Some(0));
    }

    #[test]
    fn a_call_whose_episodes_are_forgotten_is_not_compared() {
        let mut window = Window::default();
        for at in 0..=KEPT as u64 {
            window.add(10 * at, 10 * at + 1);
        }
        assert_eq!(window.within(&call(0, 10_000_000)), None);
        assert_eq!(window.within(&call(10_000_000, 10_000_001)), Some(0));
    }
}
