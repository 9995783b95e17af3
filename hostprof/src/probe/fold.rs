//! Events into rows: each thread's episodes, faults and account.
//!
//! Reads events in time order and what `/proc` told of threads met alive; yields rows of `off_cpu`,
//! `page_fault` and `thread`. Pure: it knows no clock and no kernel.
//!
//! Several folds may stand beside each other, each with a share of the threads. Records of threads' lives are for all of
//! them, so that each knows whose child a thread is and which program its process runs; what becomes a row of a thread
//! is for the one that has it.

use std::{
    collections::{BTreeMap, HashMap},
    ops::AddAssign,
};

use hostprof_common::{
    episode::{Blocked, Head, Runnable, flag},
    function::{Call, ENGINE_FIRST, Open as OpenFunction},
    nvidia::Ioctl,
    shed::{Counted, Tallies},
    slot::Slot,
    span::Span,
    thread::{Begin, End, cause},
};

use super::{
    Event, comm, cuda,
    devices::Devices,
    engine,
    episode::{closed, open_end, open_row, open_start, waker},
    function::open_call,
    http::{Http, HttpCounts, SocketEvent},
    life::Life,
    nvidia::NvidiaCounts,
    placement::Placement,
    seed::Seed,
    share::Share,
    spans, tally,
};
use crate::{
    hash::IntMap,
    table::{
        CudaCallRow, GpuIoctlRow, OffCpuCountRow, OffCpuRow, PageFaultRow, RequestRow, State, StepRow,
        SyscallRow, TokenRow,
    },
    units::{MonoNs, Tgid, Tid, Utid},
};

/// Where rows go.
pub trait Rows {
    /// A thread began, was met, or has another name.
    fn alive(&mut self, _life: &Life) {}
    /// Switches of a thread have no record, before the row that comes next.
    fn lossy(&mut self, _life: &Life) {}
    /// An off-CPU episode ended, or recording did.
    fn off_cpu(&mut self, row: OffCpuRow);
    /// Episodes that were counted and not recorded.
    fn off_cpu_count(&mut self, row: OffCpuCountRow);
    /// Faults of a thread in an interval.
    fn page_fault(&mut self, row: PageFaultRow);
    /// A traced system call returned.
    fn syscall(&mut self, row: SyscallRow);
    /// An ioctl on a selected device returned.
    fn gpu_ioctl(&mut self, row: GpuIoctlRow);
    /// A call of CUDA's driver library returned, or its thread or recording ended in it.
    fn cuda_call(&mut self, row: CudaCallRow);
    /// The same of a call of an engine's.
    fn step(&mut self, row: StepRow);
    /// A request was answered, or failed, or recording ended.
    fn request(&mut self, row: RequestRow);
    /// Tokens of a response were sent.
    fn token(&mut self, row: TokenRow);
    /// A thread ended, or recording did.
    fn thread(&mut self, life: &Life);
}

/// What could not be told, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FoldCounts {
    /// Episodes folded.
    pub episodes: u64,
    /// Episodes counted and not recorded.
    pub counted: u64,
    /// Episodes that ended in a wakeup nobody saw: blocked until the switch-in.
    pub wakes_unseen: u64,
    /// Records of a thread whose beginning was lost.
    pub orphans: u64,
    /// Switches missing in the threads' own counts.
    pub lost_switches: u64,
}

impl AddAssign for FoldCounts {
    fn add_assign(&mut self, other: Self) {
        self.episodes += other.episodes;
        self.counted += other.counted;
        self.wakes_unseen += other.wakes_unseen;
        self.orphans += other.orphans;
        self.lost_switches += other.lost_switches;
    }
}

/// What is known of a thread, whichever fold's it is.
#[derive(Clone, Copy)]
struct Kin {
    tid: Tid,
    tgid: Tgid,
}

/// The fold.
pub struct Fold {
    share: Share,
    /// Its own, by numbers that the kernel half counts out.
    threads: IntMap<Utid, Life>,
    /// Those of folds beside it.
    kin: IntMap<Utid, Kin>,
    /// Processes by how many threads are recorded now.
    processes: BTreeMap<Tgid, usize>,
    seeds: HashMap<Tid, Seed>,
    programs: HashMap<Tgid, String>,
    placements: HashMap<Tgid, Placement>,
    devices: Devices,
    http: Http,
    nvidia: NvidiaCounts,
    counts: FoldCounts,
    begun: u64,
}

impl Fold {
    /// A fold of all threads that tells these devices' ioctls apart.
    pub fn new(devices: Devices) -> Self {
        Self::of(Share::WHOLE, devices)
    }

    /// A fold of a share of the threads.
    pub fn of(share: Share, devices: Devices) -> Self {
        Self {
            share,
            threads: IntMap::default(),
            kin: IntMap::default(),
            processes: BTreeMap::new(),
            seeds: HashMap::new(),
            programs: HashMap::new(),
            placements: HashMap::new(),
            devices,
            http: Http::default(),
            nvidia: NvidiaCounts::default(),
            counts: FoldCounts::default(),
            begun: 0,
        }
    }

    /// What `/proc` told of a thread that is being adopted.
    pub fn seed(&mut self, tid: Tid, seed: Seed) {
        // Its beginning may have been folded already.
        let begun = self.threads.values_mut().find(|life| life.row.tid == tid.0 && life.is_unseeded());
        match begun {
            Some(life) => life.plant(seed),
            None => {
                self.seeds.insert(tid, seed);
            }
        }
    }

    /// The program a process ran when it was met.
    pub fn program(&mut self, tgid: Tgid, exe: String) {
        self.programs.insert(tgid, exe);
    }

    /// The container and pod a process was in when it was met. A process made later has its parent's.
    pub fn placement(&mut self, tgid: Tgid, placement: Placement) {
        if !placement.is_empty() {
            self.placements.insert(tgid, placement);
        }
    }

    /// The process that executed a program, where `event` is that: a runtime moves a process into its
    /// container before it lets it execute the container's program, so its placement is to be read again.
    #[inline]
    pub fn executed(&self, event: &Event) -> Option<(Utid, Tgid)> {
        let Event::Exec(exec) = event else { return None };
        self.kin(Utid(exec.utid)).map(|kin| (Utid(exec.utid), kin.tgid))
    }

    /// Where a process is after its thread executed a program; by then it has one thread.
    pub fn moved(&mut self, utid: Utid, placement: Placement) {
        let Some(Kin { tgid, .. }) = self.kin(utid) else { return };
        if let Some(life) = self.threads.get_mut(&utid) {
            life.place(&placement);
        }
        self.placements.remove(&tgid);
        self.placement(tgid, placement);
    }

    /// What could not be told.
    pub fn counts(&self) -> FoldCounts {
        self.counts
    }

    /// What was seen of requests.
    pub fn http_counts(&self) -> HttpCounts {
        self.http.counts()
    }

    /// What was seen of the NVIDIA driver's calls.
    pub fn nvidia_counts(&self) -> NvidiaCounts {
        self.nvidia
    }

    /// Requests that are not answered in full.
    pub fn requests_in_flight(&self) -> usize {
        self.http.in_flight()
    }

    /// Threads that have begun.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Threads that are recorded now, those of folds beside it among them.
    pub fn live(&self) -> usize {
        self.threads.len() + self.kin.len()
    }

    /// Its threads that are recorded now.
    pub fn lives(&self) -> impl Iterator<Item = &Life> {
        self.threads.values()
    }

    /// The episodes that are open, as the kernel half kept them by `at`. One that has ended meanwhile is still
    /// among them.
    pub fn open(&self, slots: &[Slot], at: MonoNs) -> impl Iterator<Item = OffCpuRow> {
        slots.iter().filter_map(move |slot| {
            let life = self.threads.get(&Utid(slot.utid))?;
            open_row(life, slot, at, &self.devices, false)
        })
    }

    /// The processes that have a thread that is recorded now, sorted.
    pub fn processes(&self) -> Vec<Tgid> {
        self.processes.keys().copied().collect()
    }

    /// Folds one event.
    #[inline]
    pub fn event(&mut self, event: &Event, rows: &mut impl Rows) {
        match event {
            Event::Runnable(Runnable { head }) => self.episode(head, None, rows),
            Event::Blocked(blocked) => self.episode(&blocked.head, Some(blocked), rows),
            Event::Begin(begin) => self.begin(begin, rows),
            Event::End(end) => self.end(end, rows),
            Event::First(first) => {
                if let Some(life) = self.life(Utid(first.utid)) {
                    life.first(&first.counters);
                }
            }
            Event::Exec(exec) => {
                let path = comm::escape(&exec.path);
                let name = comm::escape(&exec.comm);
                if let Some(life) = self.life(Utid(exec.utid)) {
                    life.row.comm = name;
                    life.row.exe = Some(path.clone());
                    rows.alive(life);
                }
                if let Some(Kin { tgid, .. }) = self.kin(Utid(exec.utid)) {
                    self.programs.insert(tgid, path);
                }
            }
            Event::Rename(rename) => {
                if let Some(life) = self.life(Utid(rename.utid)) {
                    life.row.comm = comm::escape(&rename.comm);
                    rows.alive(life);
                }
            }
            Event::Span(span) => self.span(span, rows),
            Event::Socket(event) => self.socket(event, rows),
            Event::Counted(counted) => self.counted(counted, rows),
            Event::Nvidia(ioctl) => self.nvidia(ioctl, rows),
            Event::Function(call) => self.function(call, rows),
        }
    }

    /// Ends the recording of threads at `stop`: those that live on, with what the kernel half kept of each.
    pub fn finish(
        &mut self,
        stop: MonoNs,
        slots: &[Slot],
        tallies: &[Tallies],
        mut proc: impl FnMut(Tgid, Tid) -> Option<Seed>,
        rows: &mut impl Rows,
    ) {
        self.http.finish(rows);
        let share = self.share;
        for kept in tallies.iter().filter(|kept| share.has(Utid(kept.utid))) {
            self.kept(kept, rows);
        }
        let slots: HashMap<u32, &Slot> = slots.iter().map(|slot| (slot.utid, slot)).collect();
        let mut threads: Vec<(Utid, Life)> = self.threads.drain().collect();
        threads.sort_unstable_by_key(|(utid, _)| *utid);
        for (utid, mut life) in threads {
            let mut end = stop.0.max(life.row.end_mono_ns);
            if let Some(slot) = slots.get(&utid.0) {
                end = end.max(slot.out_ns);
                if let Some(row) = open_end(&mut life, slot, MonoNs(end), &self.devices) {
                    life.count(&row);
                    rows.off_cpu(row);
                }
                // Of a new thread that was never switched out the slot has what it was made with, which is its first.
                if slot.last.at_ns > life.row.first_mono_ns.unwrap_or(0) {
                    // The last switch-out may have been counted.
                    life.faults(slot.last.min_flt as u32, slot.last.maj_flt as u32);
                    life.last(&slot.last);
                }
            }
            if life.row.first_mono_ns.is_none() {
                life.counters_from_proc(proc(Tgid(life.row.tgid), Tid(life.row.tid)).as_ref());
            }
            life.row.end_mono_ns = end;
            life.flush_faults(end, rows);
            self.counts.lost_switches += life.row.lost_switches;
            rows.thread(&life);
        }
    }

    /// A thread of its own. One that it should have and does not know is counted.
    fn life(&mut self, utid: Utid) -> Option<&mut Life> {
        let life = self.threads.get_mut(&utid);
        if life.is_none() && self.share.has(utid) {
            self.counts.orphans += 1;
        }
        life
    }

    /// A thread, whichever fold's it is.
    fn kin(&self, utid: Utid) -> Option<Kin> {
        let own =
            || self.threads.get(&utid).map(|life| Kin { tid: Tid(life.row.tid), tgid: Tgid(life.row.tgid) });
        self.kin.get(&utid).copied().or_else(own)
    }

    fn begin(&mut self, begin: &Begin, rows: &mut impl Rows) {
        self.begun += 1;
        let (utid, tgid) = (Utid(begin.utid), Tgid(begin.tgid));
        *self.processes.entry(tgid).or_default() += 1;
        let parent = self.kin(Utid(begin.parent_utid));
        let seed = if begin.cause == cause::ADOPTED { self.seeds.remove(&Tid(begin.tid)) } else { None };
        let known = |of: Tgid| self.programs.get(&of).cloned();
        // A process made by fork runs its parent's program until it executes another.
        let program = known(tgid).or_else(|| known(parent?.tgid));
        if let Some(program) = &program {
            self.programs.entry(tgid).or_insert_with(|| program.clone());
        }
        let known = |of: Tgid| self.placements.get(&of).cloned();
        let placement = known(tgid).or_else(|| known(parent?.tgid));
        if let Some(placement) = &placement {
            self.placements.insert(tgid, placement.clone());
        }
        if !self.share.has(utid) {
            self.kin.insert(utid, Kin { tid: Tid(begin.tid), tgid });
            return;
        }
        let mut life = Life::new(begin);
        if let Some(seed) = seed {
            life.plant(seed);
        }
        life.row.parent_tid = parent.map(|parent| parent.tid.0).filter(|_| begin.cause == cause::FORK);
        life.row.exe = program;
        if let Some(placement) = placement {
            life.place(&placement);
        }
        rows.alive(&life);
        self.threads.insert(utid, life);
    }

    fn end(&mut self, end: &End, rows: &mut impl Rows) {
        let utid = Utid(end.utid);
        if let Some(kin) = self.kin.remove(&utid) {
            self.ended(kin.tgid);
            return;
        }
        let Some(mut life) = self.threads.remove(&utid) else {
            self.counts.orphans += u64::from(self.share.has(utid));
            return;
        };
        if end.counters.at_ns != 0 {
            life.last(&end.counters);
        }
        if end.cause == cause::EXIT {
            life.last_sequence(&end.counters);
            let major = life.faults(end.counters.min_flt as u32, end.counters.maj_flt as u32);
            let row = OffCpuRow {
                ts_mono_ns: end.at_ns,
                tid: life.row.tid,
                tgid: life.row.tgid,
                state: State::Exit,
                voluntary: end.flags as u16 & flag::VOLUNTARY != 0,
                major,
                cpu_out: Some(end.cpu as u16),
                ..OffCpuRow::default()
            };
            life.count(&row);
            rows.off_cpu(row);
        }
        life.row.exit_mono_ns = Some(end.at_ns);
        life.row.end_mono_ns = end.at_ns;
        life.flush_faults(end.at_ns, rows);
        self.counts.lost_switches += life.row.lost_switches;
        self.ended(Tgid(life.row.tgid));
        rows.thread(&life);
    }

    /// A thread of that process ended; of a process without threads nothing is kept.
    fn ended(&mut self, tgid: Tgid) {
        let Some(threads) = self.processes.get_mut(&tgid) else { return };
        *threads -= 1;
        if *threads == 0 {
            self.processes.remove(&tgid);
            self.programs.remove(&tgid);
            self.placements.remove(&tgid);
        }
    }

    fn span(&mut self, span: &Span, rows: &mut impl Rows) {
        let Some(life) = self.threads.get(&Utid(span.utid)) else {
            self.counts.orphans += 1;
            return;
        };
        if span.rdev == 0 {
            rows.syscall(spans::syscall(span, &life.row));
        } else {
            rows.gpu_ioctl(spans::gpu_ioctl(span, &life.row, &self.devices));
        }
    }

    fn nvidia(&mut self, ioctl: &Ioctl, rows: &mut impl Rows) {
        let Some(life) = self.threads.get(&Utid(ioctl.span.utid)) else {
            self.counts.orphans += 1;
            return;
        };
        let (row, counts) = spans::nvidia_ioctl(ioctl, &life.row, &self.devices);
        self.nvidia += counts;
        rows.gpu_ioctl(row);
    }

    fn function(&mut self, call: &Call, rows: &mut impl Rows) {
        let Some(life) = self.threads.get(&Utid(call.utid)) else {
            self.counts.orphans += 1;
            return;
        };
        function_row(call, life, rows);
    }

    /// The calls of functions that are open when those are recorded no more, each with its thread.
    pub fn open_functions(&self, open: &[(Slot, OpenFunction)], at: MonoNs, rows: &mut impl Rows) {
        for (slot, call) in open {
            if let Some(life) = self.threads.get(&Utid(call.utid)) {
                function_row(&open_call(call, slot, at.0), life, rows);
            }
        }
    }

    fn socket(&mut self, event: &SocketEvent, rows: &mut impl Rows) {
        let thread = self.kin(event.utid).map(|kin| (kin.tid, kin.tgid));
        self.http.event(event, thread, rows);
    }

    fn counted(&mut self, counted: &Counted, rows: &mut impl Rows) {
        let Some(life) = self.threads.get_mut(&Utid(counted.utid)) else {
            self.counts.orphans += 1;
            return;
        };
        let row = tally::row(&counted.tally, life, &self.devices);
        self.counts.counted += row.episodes;
        life.count_sum(&row);
        rows.off_cpu_count(row);
    }

    /// What was counted of a thread and not handed over; its last episode is a row of its own.
    fn kept(&mut self, kept: &Tallies, rows: &mut impl Rows) {
        for &tally in kept.tallies.iter().filter(|tally| tally.episodes > 0) {
            self.counted(&Counted { utid: kept.utid, tally, ..Counted::default() }, rows);
        }
        if let Some(episode) = Event::held(&kept.last) {
            self.event(&episode, rows);
        }
    }

    #[inline]
    fn episode(&mut self, head: &Head, blocked: Option<&Blocked>, rows: &mut impl Rows) {
        let Some(life) = self.threads.get_mut(&Utid(head.utid)) else {
            self.counts.orphans += 1;
            return;
        };
        self.counts.episodes += 1;
        let mut row = if head.flags & flag::OPEN_START != 0 {
            open_start(life, blocked.is_some(), &self.devices)
        } else {
            let lost = life.row.lost_switches;
            life.sequence(head.seq);
            if life.row.lost_switches > lost {
                rows.lossy(life);
            }
            let major = life.faults(head.min_flt, head.maj_flt);
            closed(life, head, blocked, &self.devices, major)
        };
        life.waits(row.state, row.open_start);
        row.cpu_in = Some(head.cpu_in);
        let (out, into) = (row.ts_mono_ns, head.in_ns);
        match blocked {
            // A new thread has not blocked: it waits for its first CPU since it is whole.
            Some(blocked) if row.state == State::Runqueue => {
                row.ts_mono_ns = blocked.wake_ns.clamp(out, into.max(out));
                row.runqueue_ns = into.saturating_sub(row.ts_mono_ns);
                life.is_whole(row.ts_mono_ns);
            }
            Some(blocked) => {
                let woken = blocked.wake_ns >= out && blocked.wake_ns != 0;
                let wake = if woken { blocked.wake_ns.min(into) } else { into };
                self.counts.wakes_unseen += u64::from(!woken);
                row.blocked_ns = wake.saturating_sub(out);
                row.runqueue_ns = into.saturating_sub(wake);
            }
            None => row.runqueue_ns = into.saturating_sub(out),
        }
        if let Some(blocked) = blocked {
            (row.wake_source, row.waker_tid) = waker(head.flags, blocked.waker_tid);
        }
        life.row.end_mono_ns = into;
        life.count(&row);
        rows.off_cpu(row);
        life.tick_faults(head.out_ns, rows);
    }
}

/// A call of a library's function as a row of its library's table.
fn function_row(call: &Call, life: &Life, rows: &mut impl Rows) {
    if call.call < ENGINE_FIRST {
        if let Some(row) = cuda::row(call, &life.row) {
            rows.cuda_call(row);
        }
    } else if let Some(row) = engine::row(call, &life.row) {
        rows.step(row);
    }
}
