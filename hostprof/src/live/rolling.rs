//! Rows into bins: what a window can be made of, for as long as it is kept.
//!
//! Each row costs a fixed amount. What is kept is bounded: a history of a fixed length, shorter where very many
//! threads are busy.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Range,
};

use super::{
    bins::BIN_NS,
    calls::Calls,
    engines::Engines,
    gpus::Gpus,
    group::GroupBins,
    pending::Pending,
    requests::Served,
    track::{Life, Track},
};
use crate::{
    hash::IntMap,
    ledger::end_of,
    table::{
        CgroupSampleRow, CudaCallRow, EngineSampleRow, GpuIoctlRow, GpuSampleRow, HistogramRow,
        HostSampleRow, LossRow, OffCpuCountRow, OffCpuRow, PageFaultRow, ProcessSampleRow, RequestRow,
        ShedRow, SyscallRow, TokenRow,
    },
};

/// How long a live view looks back.
pub const HISTORY_NS: u64 = 60_000_000_000;

/// Bins of threads beyond which the history gets shorter: about 200 MiB.
const MOST_BINS: usize = 3 << 18;

/// Samples of a kind that are kept at most.
const MOST_SAMPLES: usize = 1 << 16;

/// Where the lives of a tid are: as a rule one.
#[derive(Debug)]
struct Places {
    last: u32,
    earlier: Vec<u32>,
}

impl Places {
    fn add(by_tid: &mut IntMap<u32, Self>, tid: u32, place: u32) {
        let places = by_tid.entry(tid);
        places
            .and_modify(|places| places.earlier.push(std::mem::replace(&mut places.last, place)))
            .or_insert(Self { last: place, earlier: Vec::new() });
    }

    fn newest_first(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::once(&self.last).chain(self.earlier.iter().rev()).map(|place| *place as usize)
    }
}

/// Rows in bins.
#[derive(Debug)]
pub struct Rolling {
    pub(super) tracks: Vec<Track>,
    /// Places in `tracks` of a tid's lives.
    by_tid: IntMap<u32, Places>,
    /// Threads of one process and role together.
    pub(super) groups: Vec<GroupBins>,
    by_group: HashMap<(u32, String), usize>,
    /// What of the rows is kept.
    kept: Range<u64>,
    /// Episodes that are in no bin yet.
    pending: Pending,
    /// Parents of processes.
    pub(super) parents: HashMap<u32, u32>,
    pub(super) calls: Calls,
    pub(super) served: Served,
    pub(super) hosts: VecDeque<HostSampleRow>,
    pub(super) processes: VecDeque<ProcessSampleRow>,
    pub(super) cgroups: VecDeque<CgroupSampleRow>,
    pub(super) gpus: Gpus,
    pub(super) engines: Engines,
    pub(super) counted: VecDeque<HistogramRow>,
    /// Steps below the ceiling.
    pub(super) shed: VecDeque<ShedRow>,
    pub(super) loss: VecDeque<LossRow>,
    /// Records lost in all, by probe.
    pub(super) lost_by_probe: Vec<(String, u64)>,
}

impl Rolling {
    /// Nothing yet; what lies outside `kept` is left out.
    pub fn new(kept: Range<u64>) -> Self {
        Self {
            tracks: Vec::new(),
            by_tid: IntMap::default(),
            groups: Vec::new(),
            by_group: HashMap::new(),
            kept,
            pending: Pending::default(),
            parents: HashMap::new(),
            calls: Calls::default(),
            served: Served::default(),
            hosts: VecDeque::new(),
            processes: VecDeque::new(),
            cgroups: VecDeque::new(),
            gpus: Gpus::default(),
            engines: Engines::default(),
            counted: VecDeque::new(),
            shed: VecDeque::new(),
            loss: VecDeque::new(),
            lost_by_probe: Vec::new(),
        }
    }

    /// From when on it is whole, and to when rows are taken.
    pub fn kept(&self) -> Range<u64> {
        self.kept.clone()
    }

    /// Takes what of rows lies in another stretch from now on; what was taken of others stays.
    pub(super) fn take_of(&mut self, kept: Range<u64>) {
        self.settle();
        self.kept = kept;
    }

    /// Forgets what rows of threads and calls came to; threads, samples and requests stay.
    pub(super) fn clear(&mut self) {
        self.settle();
        self.tracks.iter_mut().for_each(Track::clear);
        self.calls.forget_before(u64::MAX);
        self.groups.iter_mut().for_each(|group| group.forget_before(u64::MAX));
    }

    /// A thread began, or was met.
    pub fn begin(&mut self, life: Life) {
        self.settle();
        let place = self.tracks.len() as u32;
        Places::add(&mut self.by_tid, life.tid, place);
        let group = self.group(life.tgid, &life.role);
        self.tracks.push(Track::new(life, group));
    }

    fn group(&mut self, tgid: u32, role: &str) -> usize {
        let next = self.groups.len();
        let group = *self.by_group.entry((tgid, role.to_owned())).or_insert(next);
        if group == next {
            self.groups.push(GroupBins::new(tgid, role));
        }
        group
    }

    /// A thread has another role; `begin_ns` tells which of a tid's lives, of `None` the last.
    pub fn role(&mut self, tid: u32, begin_ns: Option<u64>, role: &str) {
        self.settle();
        let Some(places) = self.by_tid.get(&tid) else { return };
        let begun = |place: &usize| begin_ns.is_none_or(|ns| self.tracks[*place].life.begin_ns == ns);
        let Some(place) = places.newest_first().find(begun) else { return };
        if self.tracks[place].life.role == role {
            return;
        }
        role.clone_into(&mut self.tracks[place].life.role);
        let to = self.group(self.tracks[place].life.tgid, role);
        let from = std::mem::replace(&mut self.tracks[place].group, to);
        for (number, key, value) in self.tracks[place].grouped() {
            self.groups[from].take(number, key, value);
            self.groups[to].add(number, key, value);
        }
    }

    /// The last life of a tid, to be changed.
    pub fn life(&mut self, tid: u32) -> Option<&mut Life> {
        let place = self.by_tid.get(&tid)?.last as usize;
        Some(&mut self.tracks[place].life)
    }

    /// The life of a tid that began then.
    pub fn life_since(&mut self, tid: u32, begin_ns: u64) -> Option<&mut Life> {
        self.settle();
        let places = self.by_tid.get(&tid)?;
        let place = places.newest_first().find(|place| self.tracks[*place].life.begin_ns == begin_ns)?;
        Some(&mut self.tracks[place].life)
    }

    /// A process's parent.
    pub fn parent(&mut self, tgid: u32, parent: u32) {
        self.parents.insert(tgid, parent);
    }

    /// An episode ended.
    pub fn off_cpu(&mut self, row: &OffCpuRow) {
        if self.pending.push(row) {
            self.settle();
        }
    }

    /// Puts the episodes that wait into bins: before anything that they may matter to.
    pub(super) fn settle(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let rows = self.pending.by_thread();
        for row in rows {
            let Some(place) = self.begun(row.tid, row.ts_mono_ns, end_of(&row)) else { continue };
            let track = &mut self.tracks[place];
            track.episode(&row, &self.kept, &mut self.groups[track.group]);
        }
    }

    /// Episodes ended that were counted and not recorded.
    pub fn off_cpu_count(&mut self, row: &OffCpuCountRow) {
        let Some(place) = self.place(row.tid, row.ts_mono_ns, row.ts_mono_ns + row.dur_ns) else { return };
        let track = &mut self.tracks[place];
        let group = &mut self.groups[track.group];
        track.counted(row, &self.kept, group);
    }

    /// Switches of a thread have no record, before its row that comes next.
    pub fn lossy(&mut self, tid: u32) {
        self.settle();
        if let Some(places) = self.by_tid.get(&tid) {
            self.tracks[places.last as usize].lossy = true;
        }
    }

    /// Time of a thread that seems to have been on a CPU, of which records were lost.
    pub(super) fn lost(&mut self, tid: u32, (from, to): (u64, u64)) {
        if let Some(place) = self.place(tid, from, to) {
            self.tracks[place].lost((from, to));
        }
    }

    /// Threads' episodes that are open now; those of an earlier look are no longer.
    pub fn open(&mut self, rows: impl Iterator<Item = OffCpuRow>) {
        self.settle();
        self.tracks.iter_mut().for_each(|track| track.open = None);
        for row in rows {
            if let Some(place) = self.place(row.tid, row.ts_mono_ns, end_of(&row)) {
                self.tracks[place].open = Some(row);
            }
        }
    }

    /// A thread's faults.
    pub fn page_fault(&mut self, row: &PageFaultRow) {
        if let Some(place) = self.place(row.tid, row.ts_mono_ns, row.ts_mono_ns + row.dur_ns) {
            self.tracks[place].faults(row);
        }
    }

    /// A call returned.
    pub fn syscall(&mut self, row: &SyscallRow) {
        self.calls.syscall(row, &self.kept);
    }

    /// An ioctl on a selected device returned.
    pub fn gpu_ioctl(&mut self, row: &GpuIoctlRow) {
        self.calls.gpu_ioctl(row, &self.kept);
    }

    /// A call of CUDA's driver library returned.
    pub fn cuda_call(&mut self, row: &CudaCallRow) {
        let Some(place) = self.place(row.tid, row.ts_mono_ns, row.ts_mono_ns + row.dur_ns) else { return };
        let track = &mut self.tracks[place];
        let group = &mut self.groups[track.group];
        track.gpu_sync(row, &self.kept, group);
    }

    /// A request ended.
    pub fn request(&mut self, row: &RequestRow) {
        self.served.request(row);
    }

    /// Probe `http` looks for requests, and has that many in flight now.
    pub fn requests_in_flight(&mut self, requests: u64) {
        self.served.in_flight(requests);
    }

    /// A token came.
    pub fn token(&mut self, row: &TokenRow) {
        self.served.token(row);
    }

    /// Counted in the kernel.
    pub fn histogram(&mut self, row: HistogramRow) {
        if row.name == crate::probe::SYSCALL {
            bounded(&mut self.counted, row);
        }
    }

    /// Records were lost.
    pub fn loss(&mut self, row: LossRow) {
        match self.lost_by_probe.iter_mut().find(|(probe, _)| *probe == row.probe) {
            Some((_, sum)) => *sum += row.dropped,
            None => self.lost_by_probe.push((row.probe.clone(), row.dropped)),
        }
        bounded(&mut self.loss, row);
    }

    /// A step below the ceiling.
    pub fn shed(&mut self, row: ShedRow) {
        bounded(&mut self.shed, row);
    }

    /// A GPU was sampled.
    pub fn gpu(&mut self, row: GpuSampleRow) {
        self.gpus.sample(row);
    }

    /// An engine told of itself.
    pub fn engine(&mut self, row: EngineSampleRow) {
        self.engines.sample(row);
    }

    /// The machine was sampled.
    pub fn host(&mut self, row: HostSampleRow) {
        bounded(&mut self.hosts, row);
    }

    /// A process was sampled.
    pub fn process(&mut self, row: ProcessSampleRow) {
        bounded(&mut self.processes, row);
    }

    /// A cgroup was sampled.
    pub fn cgroup(&mut self, row: CgroupSampleRow) {
        bounded(&mut self.cgroups, row);
    }

    /// Forgets what is older than the history that ends at `now`, and more where too much is held.
    pub fn forget(&mut self, now: u64) {
        self.settle();
        let mut from = now.saturating_sub(HISTORY_NS).max(self.kept.start);
        loop {
            self.forget_before(from);
            let held: usize = self.tracks.iter().map(Track::bins).sum();
            if held <= MOST_BINS || now <= from + 10 * BIN_NS {
                break;
            }
            from += (now - from) / 4;
        }
    }

    fn forget_before(&mut self, from: u64) {
        self.kept.start = from;
        let before = self.tracks.len();
        self.tracks.retain(|track| track.life.end_ns.is_none_or(|end| end >= from));
        if self.tracks.len() != before {
            self.place_anew();
        }
        self.tracks.iter_mut().for_each(|track| track.forget_before(from));
        self.calls.forget_before(from);
        self.groups.iter_mut().for_each(|group| group.forget_before(from));
        self.served.forget_before(from);
        self.gpus.forget_before(from.saturating_sub(HISTORY_NS));
        self.engines.forget_before(from.saturating_sub(HISTORY_NS));
        // The last sample before a window tells what the window began with.
        let sampled = from.saturating_sub(HISTORY_NS);
        let old = |ts: u64| ts < sampled;
        while self.hosts.front().is_some_and(|row| old(row.ts_mono_ns)) {
            self.hosts.pop_front();
        }
        while self.processes.front().is_some_and(|row| old(row.ts_mono_ns)) {
            self.processes.pop_front();
        }
        while self.cgroups.front().is_some_and(|row| old(row.ts_mono_ns)) {
            self.cgroups.pop_front();
        }
        while self.counted.front().is_some_and(|row| row.ts_mono_ns + row.dur_ns < from) {
            self.counted.pop_front();
        }
        while self.loss.front().is_some_and(|row| row.end_mono_ns < from) {
            self.loss.pop_front();
        }
    }

    /// Finds the places of tracks and groups anew, when some tracks are gone.
    fn place_anew(&mut self) {
        self.by_tid.clear();
        self.by_group.clear();
        let mut groups: Vec<Option<GroupBins>> =
            std::mem::take(&mut self.groups).into_iter().map(Some).collect();
        let mut places: Vec<usize> = vec![0; groups.len()];
        for (place, track) in self.tracks.iter_mut().enumerate() {
            Places::add(&mut self.by_tid, track.life.tid, place as u32);
            if let Some(group) = groups[track.group].take() {
                places[track.group] = self.groups.len();
                self.by_group.insert((group.tgid, group.role.clone()), self.groups.len());
                self.groups.push(group);
            }
            track.group = places[track.group];
        }
        let lives: HashSet<u32> = self.tracks.iter().map(|track| track.life.tgid).collect();
        self.parents.retain(|tgid, _| lives.contains(tgid));
    }

    /// The life of a tid that a row belongs to, with all that came before it.
    fn place(&mut self, tid: u32, start: u64, end: u64) -> Option<usize> {
        self.settle();
        self.begun(tid, start, end)
    }

    /// The last life of a tid that had begun.
    fn begun(&self, tid: u32, start: u64, end: u64) -> Option<usize> {
        let places = self.by_tid.get(&tid)?;
        let begun_by = |place: &usize, ns: u64| self.tracks[*place].life.begin_ns <= ns;
        let whole = places.newest_first().find(|place| begun_by(place, start));
        whole.or_else(|| places.newest_first().filter(|place| begun_by(place, end)).last())
    }

    /// The last life of a tid.
    pub(super) fn last_life(&self, tid: u32) -> Option<&Life> {
        Some(&self.tracks[self.by_tid.get(&tid)?.last as usize].life)
    }

    /// The name of a thread that lives, or did.
    pub(super) fn comm(&self, tid: u32) -> Option<&str> {
        self.last_life(tid).map(|life| &*life.comm)
    }
}

/// Keeps a sample; of too many the oldest goes.
pub(super) fn bounded<T>(rows: &mut VecDeque<T>, row: T) {
    if rows.len() >= MOST_SAMPLES {
        rows.pop_front();
    }
    rows.push_back(row);
}
