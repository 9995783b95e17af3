//! Rows in, report out: one pass, in file order, with a fixed amount kept for each thread and futex.

use std::cmp::Reverse;

use super::{
    calls::Calls,
    cuda::Cuda,
    host_runqueue::host_runqueue,
    model::{
        ByState, GroupShare, NeverRan, PageFaults, ProcessShare, Quality, Report, RunHeader, Switches,
        ThreadFaults, ThreadShare, Totals, Wait,
    },
    nvidia::{Nvidia, Watched},
    steps::Steps,
    wakers::{Futexes, Pairs},
};
use crate::{
    check::Loss,
    ledger::{Ledger, Lives, OFF_STATES, Part, Piece, ThreadLedger, Window, roll_up},
    lengths::Lengths,
    probe::IOCTL,
    table::{
        CudaCallRow, GpuEventRow, GpuIoctlRow, HistogramRow, LossRow, OffCpuCountRow, OffCpuRow,
        PageFaultRow, SCHEMA_VERSION, State, StepRow, SyscallRow, ThreadRow, Word,
    },
};

/// A report under way.
pub struct Fold<'a> {
    threads: &'a [ThreadRow],
    ledger: Ledger,
    loss: Loss,
    /// Length of the episodes in each state, by [`Word::index`].
    episodes: Vec<Option<Lengths>>,
    open: [u64; OFF_STATES],
    /// Episodes that were counted and not recorded.
    counted: [u64; OFF_STATES],
    runqueue: Lengths,
    on_cpu: Lengths,
    voluntary: u64,
    involuntary: u64,
    never_ran: Vec<NeverRan>,
    futexes: Futexes,
    pairs: Pairs,
    calls: Calls,
    cuda: Cuda,
    steps: Steps,
    nvidia: Nvidia,
    /// Minor and major, by thread.
    faults: Vec<(u64, u64)>,
    rows_without_thread: u64,
}

impl<'a> Fold<'a> {
    /// Starts a report on these threads.
    pub fn new(threads: &'a [ThreadRow], loss: &[LossRow]) -> Self {
        Self {
            threads,
            ledger: Ledger::new(threads, loss),
            loss: Loss::of(loss, threads),
            episodes: State::ALL.iter().map(|_| None).collect(),
            open: [0; OFF_STATES],
            counted: [0; OFF_STATES],
            runqueue: Lengths::new(),
            on_cpu: Lengths::new(),
            voluntary: 0,
            involuntary: 0,
            never_ran: Vec::new(),
            futexes: Futexes::default(),
            pairs: Pairs::default(),
            calls: Calls::default(),
            cuda: Cuda::default(),
            steps: Steps::default(),
            nvidia: Nvidia::default(),
            faults: vec![(0, 0); threads.len()],
            rows_without_thread: 0,
        }
    }

    /// As [`Fold::off_cpu_with`], with nobody watching.
    pub fn off_cpu(&mut self, row: &OffCpuRow) {
        self.off_cpu_with(row, |_| ());
    }

    /// Adds a row, in file order. Answers which thread row it belongs to; `each` sees the stretches of time that it
    /// settles.
    pub fn off_cpu_with(&mut self, row: &OffCpuRow, mut each: impl FnMut(Piece)) -> Option<usize> {
        let on_cpu = &mut self.on_cpu;
        let settled = self.ledger.off_cpu_with(row, |piece| {
            if piece.part == Part::OnCpu {
                on_cpu.add(piece.len_ns());
            }
            each(piece);
        });
        let Some(thread) = settled else {
            self.rows_without_thread += 1;
            return None;
        };
        let runnable = row.state.is_runnable();
        let length_ns =
            if runnable || row.state == State::Runqueue { row.runqueue_ns } else { row.blocked_ns };
        let state = row.state.index();
        self.episodes[state].get_or_insert_with(Lengths::new).add(length_ns);
        self.open[state] += u64::from(row.open_start || row.open_end);
        if !runnable && row.wake_source.is_some() {
            self.runqueue.add(row.runqueue_ns);
        }
        if !row.open_start && row.state != State::Runqueue {
            *if row.voluntary { &mut self.voluntary } else { &mut self.involuntary } += 1;
        }
        if row.open_start && row.open_end && !runnable {
            self.never_ran.push(NeverRan {
                tid: row.tid,
                tgid: row.tgid,
                comm: self.threads[thread].comm.clone(),
                state: row.state.word(),
                syscall_nr: row.syscall_nr,
                arg0: row.arg0.map(|arg| format!("{arg:#x}")),
            });
        }
        self.futexes.add(row, thread, self.ledger.lives());
        self.pairs.add(row, thread, self.ledger.lives());
        Some(thread)
    }

    /// The thread of a tid at a time.
    pub fn lives(&self) -> &Lives {
        self.ledger.lives()
    }

    /// Adds a row.
    pub fn off_cpu_count(&mut self, row: &OffCpuCountRow) {
        if self.ledger.off_cpu_count(row).is_none() {
            self.rows_without_thread += 1;
            return;
        }
        let state = row.state.index();
        self.episodes[state].get_or_insert_with(Lengths::new);
        self.counted[state] += row.episodes;
        *if row.voluntary { &mut self.voluntary } else { &mut self.involuntary } += row.episodes;
    }

    /// Adds a row, in file order.
    pub fn page_fault(&mut self, row: &PageFaultRow) {
        let end_ns = row.ts_mono_ns.saturating_add(row.dur_ns);
        match self.ledger.lives().at(row.tid, row.ts_mono_ns, end_ns) {
            Some(thread) => {
                self.faults[thread].0 += row.minor;
                self.faults[thread].1 += row.major;
            }
            None => self.rows_without_thread += 1,
        }
    }

    /// Adds a row.
    pub fn syscall(&mut self, row: &SyscallRow) {
        self.calls.syscall(row);
    }

    /// Adds a row.
    pub fn gpu_ioctl(&mut self, row: &GpuIoctlRow) {
        self.calls.gpu_ioctl(row);
        self.nvidia.gpu_ioctl(row);
    }

    /// Adds a row. Answers which thread row it belongs to.
    pub fn cuda_call(&mut self, row: &CudaCallRow) -> Option<usize> {
        self.cuda.row(row);
        let thread = self.ledger.cuda_call(row);
        self.rows_without_thread += u64::from(thread.is_none());
        thread
    }

    /// Adds a row.
    pub fn step(&mut self, row: &StepRow) {
        self.steps.row(row);
    }

    /// Adds an error of the GPU's driver.
    pub fn gpu_event(&mut self, row: GpuEventRow) {
        self.nvidia.event(row);
    }

    /// As [`Fold::finish_with`], with nobody watching.
    pub fn finish(self, run: RunHeader, histogram: &[HistogramRow]) -> Report {
        self.finish_with(run, histogram, |_| ())
    }

    /// Closes the report. `histogram` holds the in-kernel histograms; `each` sees what was still unsettled.
    pub fn finish_with(
        mut self,
        run: RunHeader,
        histogram: &[HistogramRow],
        mut each: impl FnMut(Piece),
    ) -> Report {
        let on_cpu = &mut self.on_cpu;
        let accounts = self.ledger.finish_with(|piece| {
            if piece.part == Part::OnCpu {
                on_cpu.add(piece.len_ns());
            }
            each(piece);
        });
        let threads = self.threads;
        let (_, all) = roll_up(threads, &accounts, |_| ()).remove(&()).unwrap_or_default();
        let (futexes, futexes_other) = self.futexes.finish(threads);
        let (wakers, wakers_other) = self.pairs.finish(threads);
        let wall_ns = wall_ns(&run, threads);
        let cuda_calls = self.cuda.finish(histogram);
        Report {
            schema_version: SCHEMA_VERSION,
            wall_ns,
            threads: thread_shares(threads, &accounts),
            roles: roles(threads, &accounts),
            processes: processes(threads, &accounts),
            waits: waits(&all, &self.episodes, &self.open, &self.counted),
            never_ran: self.never_ran,
            futexes,
            futexes_other,
            runqueue: self.runqueue.latency(),
            switches: Switches {
                voluntary: self.voluntary,
                involuntary: self.involuntary,
                on_cpu: self.on_cpu.latency(),
            },
            wakers,
            wakers_other,
            system_calls: self.calls.finish(histogram),
            steps: self.steps.finish(wall_ns, &cuda_calls),
            cuda_calls,
            nvidia: self.nvidia.finish(Watched { driver: run.driver.as_deref(), calls: calls_window(&run) }),
            page_faults: page_faults(threads, &self.faults),
            host_runqueue: host_runqueue(histogram),
            requests: Vec::new(),
            story: None,
            bubbles: Vec::new(),
            host: None,
            shed: None,
            gpus: None,
            resembles: None,
            quality: Quality {
                lossless: self.loss.is_none(),
                unattributed_ratio: all.times.unattributed_ns as f64 / all.wall_ns.max(1) as f64,
                rows_without_thread: self.rows_without_thread,
                probes_off: run.probes_off.clone(),
                own_cpu_ns: run.own_cpu_ns,
                own_max_rss_bytes: run.own_max_rss_bytes,
            },
            loss: self.loss,
            totals: Totals {
                wall_ns: all.wall_ns,
                states_ns: states(&all),
                episodes: episodes(&all),
                unattributed_ns: all.times.unattributed_ns,
            },
            run,
        }
    }
}

/// From when to when ioctls were recorded; `None` where they were not, or the recording was cut short.
fn calls_window(run: &RunHeader) -> Option<Window> {
    let off = run.probes_off.iter().any(|probe| probe.name == IOCTL);
    let (start_ns, end_ns) = (run.started_mono_ns?, run.ended_mono_ns?);
    (!off).then_some(Window { start_ns, end_ns })
}

/// From the start to the end as `config.json` tells, else as far as the threads reach.
fn wall_ns(run: &RunHeader, threads: &[ThreadRow]) -> u64 {
    let begin_ns = run.started_mono_ns.or_else(|| threads.iter().map(|row| row.begin_mono_ns).min());
    let end_ns = run.ended_mono_ns.or_else(|| threads.iter().map(|row| row.end_mono_ns).max());
    end_ns.unwrap_or(0).saturating_sub(begin_ns.unwrap_or(0))
}

fn states(account: &ThreadLedger) -> ByState {
    account
        .recorded()
        .words()
        .filter(|(word, ns)| *ns > 0 || ["on_cpu", State::Runqueue.word()].contains(word))
        .collect()
}

fn episodes(account: &ThreadLedger) -> ByState {
    State::ALL
        .iter()
        .map(|state| (state.word(), account.episodes[state.index()]))
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Time in which a thread did, or was kept from doing, something: all but its waits for others.
fn not_idle_ns(account: &ThreadLedger) -> u64 {
    const IDLE: [State; 11] = [
        State::Futex,
        State::Poll,
        State::Sleep,
        State::Read,
        State::Network,
        State::Wait,
        State::IoUring,
        State::IoWorker,
        State::Stopped,
        State::Traced,
        State::Frozen,
    ];
    let idle_ns: u64 = IDLE.iter().map(|&state| account.times.off(state)).sum();
    account.wall_ns - idle_ns
}

fn thread_shares(threads: &[ThreadRow], accounts: &[ThreadLedger]) -> Vec<ThreadShare> {
    let mut order: Vec<usize> = (0..threads.len()).collect();
    order.sort_by_key(|&at| {
        let (account, row) = (&accounts[at], &threads[at]);
        (Reverse(not_idle_ns(account)), Reverse(account.wall_ns), row.tid, row.begin_mono_ns)
    });
    let delta = |first: Option<u64>, last: Option<u64>| last?.checked_sub(first?);
    order
        .into_iter()
        .map(|at| {
            let (row, account) = (&threads[at], &accounts[at]);
            ThreadShare {
                tid: row.tid,
                tgid: row.tgid,
                comm: row.comm.clone(),
                role: row.role.clone(),
                begin_mono_ns: row.begin_mono_ns,
                wall_ns: account.wall_ns,
                states_ns: states(account),
                episodes: episodes(account),
                nvcsw: delta(row.nvcsw_first, row.nvcsw_last),
                nivcsw: delta(row.nivcsw_first, row.nivcsw_last),
                min_flt: delta(row.min_flt_first, row.min_flt_last),
                maj_flt: delta(row.maj_flt_first, row.maj_flt_last),
                unattributed_ns: account.times.unattributed_ns,
            }
        })
        .collect()
}

fn roles(threads: &[ThreadRow], accounts: &[ThreadLedger]) -> Vec<GroupShare> {
    let mut groups: Vec<_> = roll_up(threads, accounts, |row| row.role.clone()).into_iter().collect();
    groups.sort_by_key(|(role, (_, account))| (role.is_none(), Reverse(not_idle_ns(account))));
    groups
        .into_iter()
        .map(|(role, (threads, account))| GroupShare {
            role,
            threads,
            wall_ns: account.wall_ns,
            states_ns: states(&account),
            episodes: episodes(&account),
            unattributed_ns: account.times.unattributed_ns,
        })
        .collect()
}

fn processes(threads: &[ThreadRow], accounts: &[ThreadLedger]) -> Vec<ProcessShare> {
    let mut groups: Vec<_> = roll_up(threads, accounts, |row| row.tgid).into_iter().collect();
    groups.sort_by_key(|(tgid, (_, account))| (Reverse(not_idle_ns(account)), *tgid));
    groups
        .into_iter()
        .map(|(tgid, (count, account))| {
            let members = || threads.iter().filter(move |row| row.tgid == tgid);
            let main = members().find(|row| row.tid == tgid).or_else(|| members().next());
            ProcessShare {
                tgid,
                comm: main.map(|row| row.comm.clone()).unwrap_or_default(),
                exe: main.and_then(|row| row.exe.clone()),
                threads: count,
                wall_ns: account.wall_ns,
                states_ns: states(&account),
                episodes: episodes(&account),
                unattributed_ns: account.times.unattributed_ns,
            }
        })
        .collect()
}

fn waits(
    all: &ThreadLedger,
    lengths: &[Option<Lengths>],
    open: &[u64; OFF_STATES],
    counted: &[u64; OFF_STATES],
) -> Vec<Wait> {
    let mut waits: Vec<Wait> = State::ALL
        .iter()
        .filter(|state| !matches!(state, State::Exit | State::Runqueue))
        .filter_map(|&state| {
            let latency = lengths[state.index()].as_ref()?.latency();
            let total_ns = all.recorded_ns[state.index()];
            let (open, counted) = (open[state.index()], counted[state.index()]);
            Some(Wait { state: state.word(), total_ns, counted, open, latency })
        })
        .collect();
    waits.sort_by_key(|wait| Reverse(wait.total_ns));
    waits
}

fn page_faults(threads: &[ThreadRow], faults: &[(u64, u64)]) -> PageFaults {
    let mut with: Vec<ThreadFaults> = threads
        .iter()
        .zip(faults)
        .filter(|(_, faults)| **faults != (0, 0))
        .map(|(row, &(minor, major))| ThreadFaults { tid: row.tid, comm: row.comm.clone(), minor, major })
        .collect();
    with.sort_by_key(|thread| (Reverse(thread.major), Reverse(thread.minor), thread.tid));
    PageFaults {
        minor: faults.iter().map(|faults| faults.0).sum(),
        major: faults.iter().map(|faults| faults.1).sum(),
        threads: with,
    }
}
