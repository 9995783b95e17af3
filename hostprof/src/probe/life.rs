//! One thread's life in a recording: its row under construction, and what counting needs.

use hostprof_common::thread::{Begin, Counters, cause};

use super::{comm, fold::Rows, placement::Placement, seed::Seed};
use crate::table::{OffCpuCountRow, OffCpuRow, PageFaultRow, State, ThreadRow, Word};

/// How often a thread's faults become a row.
const FAULT_INTERVAL_NS: u64 = 1_000_000_000;

/// A thread from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Life {
    /// The row of table `thread`, complete when the thread has ended; its role is for others to say.
    pub row: ThreadRow,
    /// What `/proc` told of a thread met alive.
    pub seed: Option<Seed>,
    /// Its last wait: what a restarted system call goes on with.
    pub last_wait: Option<State>,
    /// Time off the CPU by state, in [`State::ALL`]'s order: what its role is told by.
    pub off_ns: [u64; State::ALL.len()],
    /// Episodes by system call.
    pub syscalls: Vec<(i32, u64)>,
    seq: Option<u32>,
    /// Switches counted and not recorded.
    counted: u32,
    stolen_first_ns: u64,
    late_first_ns: (u64, u64),
    min_flt: Option<u32>,
    maj_flt: Option<u32>,
    faults: PageFaultRow,
}

impl Life {
    /// A thread at its beginning.
    pub fn new(begin: &Begin) -> Self {
        let forked = begin.cause == cause::FORK;
        let row = ThreadRow {
            tid: begin.tid,
            tgid: begin.tgid,
            ns_tid: (begin.ns_tid != 0).then_some(begin.ns_tid),
            comm: comm::escape(&begin.comm),
            start_mono_ns: (begin.start_ns != 0).then_some(begin.start_ns),
            begin_mono_ns: begin.at_ns,
            end_mono_ns: begin.at_ns,
            ..ThreadRow::default()
        };
        let mut life = Self {
            faults: PageFaultRow {
                ts_mono_ns: begin.at_ns,
                tid: begin.tid,
                tgid: begin.tgid,
                ..PageFaultRow::default()
            },
            row,
            seed: None,
            last_wait: None,
            off_ns: [0; State::ALL.len()],
            syscalls: Vec::new(),
            seq: None,
            counted: 0,
            stolen_first_ns: 0,
            late_first_ns: (0, 0),
            min_flt: None,
            maj_flt: None,
        };
        if forked {
            life.first(&Counters { at_ns: begin.at_ns, ..Counters::ZERO });
            // Its first row is no switch-out: the count begins at zero with it.
            life.seq = Some(u32::MAX);
        }
        life
    }

    /// Whether it was met alive and nothing is known of it yet but its ids.
    pub fn is_unseeded(&self) -> bool {
        self.seed.is_none() && self.row.comm.is_empty()
    }

    /// Takes over what `/proc` told.
    pub fn plant(&mut self, seed: Seed) {
        self.row.ns_tid = seed.ns_tid;
        self.row.comm = comm::escape(&seed.comm);
        self.row.start_mono_ns = seed.start_mono_ns;
        self.seed = Some(seed);
    }

    /// Takes over where its process is.
    pub fn place(&mut self, placement: &Placement) {
        self.row.container_id.clone_from(&placement.container_id);
        self.row.pod.clone_from(&placement.pod);
    }

    /// The kernel's counters at the first switch-out, or the making, of the thread.
    pub fn first(&mut self, counters: &Counters) {
        let row = &mut self.row;
        row.first_mono_ns = Some(counters.at_ns);
        row.nvcsw_first = Some(counters.nvcsw);
        row.nivcsw_first = Some(counters.nivcsw);
        row.sum_exec_ns_first = Some(counters.sum_exec_ns);
        row.run_delay_ns_first = Some(counters.run_delay_ns);
        row.min_flt_first = Some(counters.min_flt);
        row.maj_flt_first = Some(counters.maj_flt);
        self.stolen_first_ns = counters.stolen_ns;
        self.late_first_ns = (counters.late_on_cpu_ns, counters.late_runqueue_ns);
        self.seq = Some((counters.nvcsw.wrapping_add(counters.nivcsw) as u32).wrapping_sub(1));
        self.min_flt = Some(counters.min_flt as u32);
        self.maj_flt = Some(counters.maj_flt as u32);
        self.faults.ts_mono_ns = counters.at_ns;
        self.last(counters);
    }

    /// Its maker has finished it, and it may run: its life and its counters begin here, not where its making
    /// began, in the middle of which the maker may have lost its CPU.
    pub fn is_whole(&mut self, at_ns: u64) {
        self.row.begin_mono_ns = at_ns;
        self.row.first_mono_ns = Some(at_ns);
        self.row.last_mono_ns = Some(at_ns);
        self.faults.ts_mono_ns = at_ns;
    }

    /// The kernel's counters at a later switch-out.
    pub fn last(&mut self, counters: &Counters) {
        let row = &mut self.row;
        row.last_mono_ns = Some(counters.at_ns);
        row.nvcsw_last = Some(counters.nvcsw);
        row.nivcsw_last = Some(counters.nivcsw);
        row.sum_exec_ns_last = Some(counters.sum_exec_ns);
        row.run_delay_ns_last = Some(counters.run_delay_ns);
        row.min_flt_last = Some(counters.min_flt);
        row.maj_flt_last = Some(counters.maj_flt);
        row.stolen_ns = Some(counters.stolen_ns - self.stolen_first_ns);
        let since = |now: u64, first: u64| Some(now.wrapping_sub(first).cast_signed());
        row.late_on_cpu_ns = since(counters.late_on_cpu_ns, self.late_first_ns.0);
        row.late_runqueue_ns = since(counters.late_runqueue_ns, self.late_first_ns.1);
    }

    /// For a thread that never was switched: what `/proc` showed when it was met and shows now.
    pub fn counters_from_proc(&mut self, now: Option<&Seed>) {
        let met = self.seed.as_ref().and_then(|seed| seed.counters);
        let now = now.and_then(|seed| seed.counters);
        if let (Some(met), Some(now)) = (met, now) {
            self.first(&met);
            self.last(&now);
            // They were not read at a switch: there was none.
            self.row.first_mono_ns = None;
            self.row.last_mono_ns = None;
        }
    }

    /// Notes the kernel's switch count at the thread's last switch-out, those among them that were counted.
    pub fn last_sequence(&mut self, counters: &Counters) {
        self.sequence((counters.nvcsw.wrapping_add(counters.nivcsw) as u32).wrapping_sub(self.counted));
    }

    /// Notes the kernel's switch count at a switch-out, less what was counted; a gap since the last is records lost.
    #[inline]
    pub fn sequence(&mut self, seq: u32) {
        let gap = self.seq.map_or(0, |last| seq.wrapping_sub(last).wrapping_sub(1));
        if gap > u32::MAX / 2 {
            // A record that came late, counted as lost before.
            self.row.lost_switches = self.row.lost_switches.saturating_sub(1);
            return;
        }
        self.row.lost_switches += u64::from(gap);
        self.seq = Some(seq);
    }

    /// Notes the kernel's fault counts at a switch-out; tells whether a major one happened.
    #[inline]
    pub fn faults(&mut self, min_flt: u32, maj_flt: u32) -> bool {
        let minor = self.min_flt.map_or(0, |last| min_flt.wrapping_sub(last));
        let major = self.maj_flt.map_or(0, |last| maj_flt.wrapping_sub(last));
        self.min_flt = Some(min_flt);
        self.maj_flt = Some(maj_flt);
        self.faults.minor += u64::from(minor);
        self.faults.major += u64::from(major);
        major > 0
    }

    /// Writes the faults so far as a row, where an interval is over or a major one is among them.
    #[inline]
    pub fn tick_faults(&mut self, at_ns: u64, rows: &mut impl Rows) {
        if self.faults.major > 0 || at_ns.saturating_sub(self.faults.ts_mono_ns) >= FAULT_INTERVAL_NS {
            self.flush_faults(at_ns, rows);
        }
    }

    /// Writes the faults so far as a row, if there are any.
    pub fn flush_faults(&mut self, at_ns: u64, rows: &mut impl Rows) {
        let next = PageFaultRow { ts_mono_ns: at_ns, minor: 0, major: 0, ..self.faults };
        let mut row = std::mem::replace(&mut self.faults, next);
        if row.minor + row.major > 0 {
            row.dur_ns = at_ns.saturating_sub(row.ts_mono_ns);
            rows.page_fault(row);
        }
    }

    /// Adds counted episodes to its account.
    pub fn count_sum(&mut self, row: &OffCpuCountRow) {
        self.counted = self.counted.wrapping_add(row.episodes as u32);
        self.row.end_mono_ns = self.row.end_mono_ns.max(row.ts_mono_ns + row.dur_ns);
        self.add(row.state, row.blocked_ns, row.runqueue_ns, row.syscall_nr, row.episodes);
    }

    /// Notes a wait, which a restarted system call goes on with.
    #[inline]
    pub fn waits(&mut self, state: State, met_in_it: bool) {
        let interrupts = matches!(state, State::Stopped | State::Traced | State::Frozen);
        if met_in_it || !state.is_runnable() && !interrupts {
            self.last_wait = Some(state);
        }
    }

    /// Adds an episode to what the thread's role is told by.
    #[inline]
    pub fn count(&mut self, row: &OffCpuRow) {
        self.add(row.state, row.blocked_ns, row.runqueue_ns, row.syscall_nr, 1);
    }

    #[inline]
    fn add(
        &mut self,
        state: State,
        blocked_ns: u64,
        runqueue_ns: u64,
        syscall_nr: Option<i32>,
        episodes: u64,
    ) {
        self.off_ns[state.index()] += blocked_ns;
        let waited = state.once_runnable();
        self.off_ns[waited.index()] += runqueue_ns;
        if let Some(nr) = syscall_nr {
            match self.syscalls.iter_mut().find(|(known, _)| *known == nr) {
                Some((_, count)) => *count += episodes,
                None => self.syscalls.push((nr, episodes)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_never_left_its_cpu_has_one_reading_of_its_counters() {
        let mut life = Life::new(&Begin::default());
        life.first(&Counters { at_ns: 5, ..Counters::default() });
        life.is_whole(9);
        assert_eq!((life.row.first_mono_ns, life.row.last_mono_ns), (Some(9), Some(9)));
    }
}
