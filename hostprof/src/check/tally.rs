//! What `check` keeps of a thread while rows go by, and how it compares it with the kernel's counters.

use std::ops::RangeInclusive;

use super::{
    calls::Windows,
    counted::Counted,
    rules::{Breaches, Rule},
    tolerance,
};
use crate::{
    ledger::ThreadLedger,
    table::{OffCpuCountRow, OffCpuRow, State, ThreadRow},
};

/// A thread so far.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) breaches: Breaches,
    pub(super) rows: u64,
    /// The end of the last row.
    pub(super) last_end_ns: u64,
    /// The CPU the last row ended on.
    pub(super) last_cpu: Option<u16>,
    /// No row may follow: the last was an exit, or open at the end.
    pub(super) closed: bool,
    /// Another thread was switched in on `last_cpu` then: this one must have left by then.
    pub(super) displaced: Option<Displaced>,
    /// The rows since the thread's last call, in a recording that has calls.
    pub(super) windows: Windows,
    /// When episodes of it were counted.
    pub(super) counted: Counted,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    /// Whether a row begins at the first and at the last reading of the counters.
    has_row: [bool; 2],
    switches: u64,
    voluntary: u64,
    off_ns: u64,
    runqueue_ns: u64,
    throttled_ns: u64,
    /// Of `runqueue_ns`, what followed a wakeup.
    woken_runqueue_ns: u64,
    episodes: u64,
}

/// When a thread was displaced from its CPU, and by whom.
#[derive(Clone, Copy)]
pub(super) struct Displaced {
    pub(super) at_ns: u64,
    /// By its place among the thread rows.
    pub(super) by: usize,
}

impl Tally {
    /// Counts a row towards what the kernel counted between its two readings.
    pub(super) fn count(&mut self, thread: &ThreadRow, row: &OffCpuRow, end_ns: u64) {
        self.rows += 1;
        let (Some(first_ns), Some(last_ns)) = (thread.first_mono_ns, thread.last_mono_ns) else { return };
        let start_ns = row.ts_mono_ns;
        // The wait of a new thread for its first CPU follows no switch.
        let switched = !row.open_start && row.state != State::Runqueue;
        self.has_row[0] |= row.state == State::Runqueue || (!row.open_start && start_ns == first_ns);
        // Of a new thread that was never switched out the two are one.
        self.has_row[1] |=
            start_ns == last_ns && (switched || row.state == State::Runqueue && first_ns == last_ns);
        if switched && first_ns < start_ns && start_ns <= last_ns {
            self.switches += 1;
            self.voluntary += u64::from(row.voluntary);
        }
        let clip = |ns: u64| ns.clamp(first_ns, last_ns.max(first_ns));
        self.off_ns += clip(end_ns) - clip(start_ns);
        if start_ns >= first_ns && end_ns <= last_ns {
            self.episodes += 1;
            if row.state == State::Throttled {
                self.throttled_ns += row.runqueue_ns;
            } else {
                self.runqueue_ns += row.runqueue_ns;
                self.woken_runqueue_ns += if row.state.is_runnable() { 0 } else { row.runqueue_ns };
            }
        }
    }

    /// The same for counted episodes. All of a thread lie between the two readings: the one that begins at the first is
    /// a row, as is the last of all.
    pub(super) fn count_sum(&mut self, thread: &ThreadRow, row: &OffCpuCountRow, end_ns: u64) {
        self.counted.add(row.ts_mono_ns, end_ns);
        let (Some(first_ns), Some(last_ns)) = (thread.first_mono_ns, thread.last_mono_ns) else { return };
        if row.ts_mono_ns <= first_ns || end_ns > last_ns {
            self.breaches.add(Rule::CountedRows, Some(row.ts_mono_ns), || {
                let expected = format!("counted episodes between {first_ns} and {last_ns}");
                (expected, format!("from {} to {end_ns}", row.ts_mono_ns))
            });
        }
        self.switches += row.episodes;
        self.voluntary += if row.voluntary { row.episodes } else { 0 };
        self.off_ns += row.blocked_ns + row.runqueue_ns;
        self.episodes += row.episodes;
        if row.state == State::Throttled {
            self.throttled_ns += row.runqueue_ns;
        } else {
            self.runqueue_ns += row.runqueue_ns;
            self.woken_runqueue_ns += if row.state.is_runnable() { 0 } else { row.runqueue_ns };
        }
    }

    /// Compares with the kernel's counters; answers whether they could be compared.
    pub(super) fn compare(&mut self, thread: &ThreadRow, ledger: &ThreadLedger, faults: bool) -> bool {
        let breaches = &mut self.breaches;
        let mut exact = |rule, kernel: Option<u64>, found: u64, what: &str| {
            let Some(expected) = kernel else { return false };
            if expected != found {
                breaches.add(rule, None, || (format!("{expected} ({what})"), format!("{found}")));
            }
            true
        };
        let voluntary = delta(thread.nvcsw_first, thread.nvcsw_last);
        let involuntary = delta(thread.nivcsw_first, thread.nivcsw_last);
        let switches = voluntary.zip(involuntary).map(|(voluntary, not)| voluntary + not);
        let mut compared =
            exact(Rule::Switches, switches, self.switches + thread.lost_switches, "nvcsw + nivcsw");
        if thread.lost_switches == 0 {
            compared &= exact(Rule::Voluntary, voluntary, self.voluntary, "nvcsw");
        }
        if let (Some(first_ns), Some(last_ns)) = (thread.first_mono_ns, thread.last_mono_ns) {
            if faults {
                let minor = delta(thread.min_flt_first, thread.min_flt_last);
                exact(Rule::MinorFaults, minor, self.minor_faults, "min_flt");
                let major = delta(thread.maj_flt_first, thread.maj_flt_last);
                exact(Rule::MajorFaults, major, self.major_faults, "maj_flt");
            }
            if thread.lost_switches == 0 {
                compared &= self.compare_times(thread, last_ns.saturating_sub(first_ns));
                self.compare_edges(first_ns, last_ns);
            }
        }
        let allowed_ns = tolerance::unattributed_ns(ledger.wall_ns);
        let unattributed_ns = ledger.times.unattributed_ns;
        if unattributed_ns > allowed_ns {
            self.breaches.add(Rule::Unattributed, None, || {
                let wall_ns = ledger.wall_ns;
                (format!("at most {allowed_ns} ns of {wall_ns} ns"), format!("{unattributed_ns} ns"))
            });
        }
        compared
    }

    fn compare_times(&mut self, thread: &ThreadRow, between_ns: u64) -> bool {
        let on_cpu = delta(thread.sum_exec_ns_first, thread.sum_exec_ns_last);
        // run_delay may go down: a wait that began by a run queue's later clock counts less than nothing.
        let runqueue = thread.run_delay_ns_last.zip(thread.run_delay_ns_first);
        let (Some(on_cpu_ns), Some((last_ns, first_ns))) = (on_cpu, runqueue) else { return false };
        // The kernel's figure leaves out interrupts and the hypervisor; the recording does not.
        let on_cpu_ns = on_cpu_ns + thread.stolen_ns.unwrap_or(0);
        // And it reads its clock before the tracepoint.
        let late_ns = [thread.late_on_cpu_ns.unwrap_or(0), thread.late_runqueue_ns.unwrap_or(0)];
        let on_cpu_ns = on_cpu_ns.saturating_add_signed(late_ns[0]);
        let runqueue_ns = last_ns.wrapping_sub(first_ns).wrapping_add_signed(late_ns[1]);
        let runqueue_ns = runqueue_ns.cast_signed().max(0).cast_unsigned();
        let found_ns = between_ns.saturating_sub(self.off_ns);
        let on_cpu_slack = tolerance::on_cpu_ns(on_cpu_ns, self.switches);
        let runqueue_slack = tolerance::runqueue_ns(runqueue_ns, self.episodes);
        // Whether run_delay holds the time a quota held the thread differs between kernels.
        let throttled = 0..=self.throttled_ns;
        let mut within =
            |rule, kernel_ns: u64, (below, above): (u64, u64), found: RangeInclusive<u64>, what: &str| {
                let (least_ns, most_ns) = (kernel_ns.saturating_sub(below), kernel_ns + above);
                if *found.end() < least_ns || *found.start() > most_ns {
                    self.breaches.add(rule, None, || {
                        let throttled = match found.end() - found.start() {
                            0 => String::new(),
                            ns => format!(" and {ns} ns throttled"),
                        };
                        let expected = format!("{kernel_ns} ns (-{below}, +{above}; {what})");
                        (expected, format!("{} ns{throttled}", found.start()))
                    });
                }
            };
        let plus = |ns: u64| ns + throttled.start()..=ns + throttled.end();
        let slack = on_cpu_slack + runqueue_slack;
        within(
            Rule::Runnable,
            on_cpu_ns + runqueue_ns,
            (slack, slack),
            plus(found_ns + self.runqueue_ns),
            "sum_exec_runtime + stolen + run_delay + late",
        );
        let moved = if late_ns == [0, 0] { self.woken_runqueue_ns } else { 0 };
        within(
            Rule::OnCpu,
            on_cpu_ns,
            (slack + moved, slack),
            found_ns..=found_ns,
            "sum_exec_runtime + stolen + late",
        );
        let allowed = (slack, slack + moved);
        within(Rule::Runqueue, runqueue_ns, allowed, plus(self.runqueue_ns), "run_delay + late");
        true
    }

    fn compare_edges(&mut self, first_ns: u64, last_ns: u64) {
        for (has_row, at_ns, which) in
            [(self.has_row[0], first_ns, "first"), (self.has_row[1], last_ns, "last")]
        {
            if !has_row {
                self.breaches.add(Rule::CountedRows, Some(at_ns), || {
                    (format!("a row at the {which} reading of the counters"), "none".to_owned())
                });
            }
        }
    }
}

/// What a counter moved by.
fn delta(first: Option<u64>, last: Option<u64>) -> Option<u64> {
    last?.checked_sub(first?)
}
