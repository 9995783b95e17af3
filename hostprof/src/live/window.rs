//! What rows in bins come to in a window: threads, and what they are together.

use std::collections::{BTreeMap, HashMap};

use super::{
    bins::{Slices, Window},
    counters::{IRQ, Kind, Lengths, OTHERS, latency, of_kind},
    detail, memory,
    mostly::mostly,
    picture::{Call, Health, Picture, ProbeHealth, Process, Role, Share, Slice, Thread, Waker},
    rolling::Rolling,
    track::{Sum, Track},
};
use crate::{
    lengths::Latency,
    probe::syscalls,
    table::{LossRow, State},
    units::{MonoNs, Tgid, Tid},
};

/// Slices of a role's bar, and of a thread's timeline.
const ROLE_SLICES: u64 = 20;
const THREAD_SLICES: u64 = 60;

/// Threads added up.
#[derive(Default)]
pub(super) struct Group {
    share: Share,
    lengths: Lengths,
    slices: Vec<Slice>,
}

impl Group {
    fn new(slices: Option<&Slices>) -> Self {
        Self { slices: slices.map(empty_slices).unwrap_or_default(), ..Self::default() }
    }

    fn add(&mut self, share: &Share) {
        let sum = &mut self.share;
        sum.threads += share.threads;
        sum.wall_ns += share.wall_ns;
        sum.times.add(&share.times);
        sum.switches += share.switches;
        sum.involuntary += share.involuntary;
        sum.minor_faults += share.minor_faults;
        sum.major_faults += share.major_faults;
        self.lengths.most(share.runqueue.max_ns.unwrap_or(0));
    }

    fn share(&mut self) -> Share {
        self.share.runqueue = self.lengths.latency();
        std::mem::take(&mut self.share)
    }
}

/// A thread and its sum.
pub(super) struct Summed<'a> {
    pub track: &'a Track,
    pub sum: Sum,
}

impl Rolling {
    /// The picture of a window, with `detail` in depth; what is not told by rows is left for others to fill in.
    /// Percentiles of single threads are told where `exact`, and of the one in depth.
    pub fn picture(&mut self, window: &Window, detail: Option<Tid>, exact: bool) -> Picture {
        self.tracks.iter_mut().for_each(|track| track.slide(window));
        self.told(window, detail, exact)
    }

    fn told(&self, window: &Window, detail: Option<Tid>, exact: bool) -> Picture {
        let slices = window.slices(ROLE_SLICES);
        let (mut roles, mut processes) = (BTreeMap::<&str, Group>::new(), BTreeMap::<u32, Group>::new());
        let mut all = Group::new(None);
        let (mut threads, mut summed) = (Vec::new(), Vec::new());
        for track in self.tracks.iter().filter(|track| track.lives_in(window)) {
            let role = roles.entry(&track.life.role).or_insert_with(|| Group::new(Some(&slices)));
            let exact = exact || detail == Some(Tid(track.life.tid));
            let sum = track.sum(window, exact, |state, from, to| {
                add_open(&mut role.slices, &slices, state, from, to);
            });
            on_cpu(&mut role.slices, track);
            let share = share(&sum, exact);
            role.add(&share);
            processes.entry(track.life.tgid).or_insert_with(|| Group::new(None)).add(&share);
            all.add(&share);
            threads.push(self.thread(track, &sum, share));
            summed.push(Summed { track, sum });
        }
        for group in &self.groups {
            let Some(role) = roles.get_mut(&*group.role) else { continue };
            let mut lengths = Lengths::default();
            group.window(window, &mut lengths, |spent, at, ns| {
                spent.add(&mut role.slices[slices.of(at)].times, ns);
            });
            role.lengths.add(&lengths);
            if let Some(process) = processes.get_mut(&group.tgid) {
                process.lengths.add(&lengths);
            }
            all.lengths.add(&lengths);
        }
        let rows: u64 = summed.iter().map(|summed| summed.sum.count(Kind::Rows)).sum();
        let (calls, calls_rows) = self.calls.window(window, &self.counted);
        let mut roles: Vec<Role> = roles
            .into_iter()
            .map(|(name, mut group)| {
                settle(&mut group.slices);
                Role {
                    name: name.to_owned(),
                    slices: std::mem::take(&mut group.slices),
                    share: group.share(),
                }
            })
            .collect();
        let busy = |role: &Role| role.share.times.on_cpu_ns + role.share.times.off(State::Runqueue);
        roles.sort_by_key(|role| (role.name.is_empty(), std::cmp::Reverse(busy(role))));
        Picture {
            from: MonoNs(window.from),
            to: MonoNs(window.to),
            all: all.share(),
            mostly: mostly(self, &summed),
            pressure: memory::pressure(&self.hosts, window),
            processes: self.processes(processes, &threads),
            roles,
            calls,
            memory: memory::memory(self, window, &summed),
            requests: self.served.window(window),
            health: Health { records: rows + calls_rows, probes: self.lossy(window), ..Health::default() },
            detail: detail
                .and_then(|tid| detail::detail(self, window, &window.slices(THREAD_SLICES), tid, &summed)),
            threads,
            ..Picture::default()
        }
    }

    /// The probes that lost records.
    fn lossy(&self, window: &Window) -> Vec<ProbeHealth> {
        let overlaps = |row: &&LossRow| row.start_mono_ns < window.to && row.end_mono_ns > window.from;
        self.lost
            .iter()
            .map(|(name, dropped_in_all)| {
                let rows = self.loss.iter().filter(|row| row.probe == *name).filter(overlaps);
                ProbeHealth {
                    name: name.clone(),
                    on: true,
                    dropped: rows.map(|row| row.dropped).sum(),
                    dropped_in_all: *dropped_in_all,
                    ..ProbeHealth::default()
                }
            })
            .collect()
    }

    fn thread(&self, track: &Track, sum: &Sum, share: Share) -> Thread {
        let life = &track.life;
        Thread {
            tid: Tid(life.tid),
            tgid: Tgid(life.tgid),
            comm: life.comm.clone(),
            role: life.role.clone(),
            cpu: sum.cpu,
            share,
            now: sum.now,
            top_call: top(&sum.counters, Kind::CallTime).map(|(nr, ns)| call(&sum.counters, nr, ns)),
            top_waker: top(&sum.counters, Kind::Waker).map(|(waker, wakeups)| self.waker(waker, wakeups)),
        }
    }

    /// Processes, a parent before its children.
    fn processes(&self, mut groups: BTreeMap<u32, Group>, threads: &[Thread]) -> Vec<Process> {
        let mut roles: HashMap<u32, BTreeMap<&str, usize>> = HashMap::new();
        for thread in threads.iter().filter(|thread| !thread.role.is_empty()) {
            *roles.entry(thread.tgid.0).or_default().entry(&thread.role).or_default() += 1;
        }
        let mut ordered = Vec::new();
        let met: Vec<u32> = groups.keys().copied().collect();
        let parent = |tgid: &u32| self.parents.get(tgid).filter(|parent| met.binary_search(parent).is_ok());
        let mut waiting: Vec<(u32, u16)> =
            met.iter().rev().filter(|tgid| parent(tgid).is_none()).map(|tgid| (*tgid, 0)).collect();
        while let Some((tgid, depth)) = waiting.pop() {
            // A loop of parents cannot come to be: what was taken is not there again.
            let Some(mut group) = groups.remove(&tgid) else { continue };
            let role = roles.get(&tgid).and_then(|roles| roles.iter().max_by_key(|(_, count)| **count));
            ordered.push(Process {
                tgid: Tgid(tgid),
                depth,
                comm: self.process_comm(tgid),
                role: role.map(|(role, _)| (*role).to_owned()).unwrap_or_default(),
                share: group.share(),
            });
            let children = met.iter().rev().filter(|child| parent(child) == Some(&tgid));
            waiting.extend(children.map(|child| (*child, depth + 1)));
        }
        ordered
    }

    /// The name of a process's main thread, or of a thread of it.
    pub(super) fn process_comm(&self, tgid: u32) -> String {
        let any = || self.tracks.iter().find(|track| track.life.tgid == tgid).map(|track| &*track.life.comm);
        self.comm(tgid).or_else(any).unwrap_or_default().to_owned()
    }

    /// A waker by its key.
    pub(super) fn waker(&self, waker: u64, wakeups: u64) -> Waker {
        let tid = (waker != IRQ && waker != OTHERS).then_some(waker as u32);
        let comm = match (waker, tid) {
            (IRQ, _) => "interrupt",
            (OTHERS, _) => "others",
            (_, tid) => tid.and_then(|tid| self.comm(tid)).unwrap_or("not recorded"),
        };
        Waker { tid: tid.map(Tid), comm: comm.to_owned(), wakeups }
    }
}

fn share(sum: &Sum, exact: bool) -> Share {
    let (count, most) = (sum.count(Kind::Waits), sum.count(Kind::RunqueueMost));
    let runqueue = if exact {
        let buckets: Vec<(u64, u64)> = of_kind(&sum.counters, Kind::Runqueue).collect();
        latency(&buckets, most)
    } else {
        Latency { count, max_ns: (count > 0).then_some(most), ..Latency::default() }
    };
    Share {
        threads: 1,
        wall_ns: sum.wall_ns,
        times: sum.times,
        switches: sum.count(Kind::Switches),
        involuntary: sum.count(Kind::Involuntary),
        runqueue,
        minor_faults: sum.minor_faults,
        major_faults: sum.major_faults,
    }
}

/// What of one kind is most; of several the one with the least key.
fn top(counters: &[(u64, u64)], kind: Kind) -> Option<(u64, u64)> {
    of_kind(counters, kind)
        .filter(|(_, value)| *value > 0)
        .max_by_key(|(key, value)| (*value, std::cmp::Reverse(*key)))
}

/// Waits of a thread in a system call.
pub(super) fn call(counters: &[(u64, u64)], nr: u64, total_ns: u64) -> Call {
    let buckets: Vec<(u64, u64)> = of_kind(counters, Kind::CallLength)
        .filter(|(sub, _)| sub >> 16 == nr)
        .map(|(sub, count)| (sub & 0xffff, count))
        .collect();
    let most = of_kind(counters, Kind::CallMost).find(|(sub, _)| *sub == nr).map_or(0, |(_, most)| most);
    Call {
        name: syscalls::name(nr as i32).into_owned(),
        device: None,
        latency: if buckets.is_empty() { Latency::default() } else { latency(&buckets, most) },
        total_ns,
        off_cpu_ns: Some(total_ns),
        errors: None,
    }
}

/// Adds a stretch off the CPU to the slices it lies in.
pub(super) fn add_open(into: &mut [Slice], slices: &Slices, state: State, from: u64, to: u64) {
    for slice in &mut into[slices.of(from)..=slices.of(to - 1)] {
        let window = Window { from: slice.from.0, to: slice.to.0 };
        slice.times.off_ns[state as usize] += window.overlap(from, to);
    }
}

/// The slices, with no time in them.
pub(super) fn empty_slices(slices: &Slices) -> Vec<Slice> {
    (0..slices.count)
        .map(|slice| {
            let window = slices.window(slice);
            Slice { from: MonoNs(window.from), to: MonoNs(window.to), ..Slice::default() }
        })
        .collect()
}

/// Adds a thread's life to the slices, as time on a CPU: what it was off the CPU is taken away at the end.
pub(super) fn on_cpu(slices: &mut [Slice], track: &Track) {
    for slice in slices {
        let window = Window { from: slice.from.0, to: slice.to.0 };
        slice.times.on_cpu_ns += window.overlap(track.life.begin_ns, track.life.end_ns.unwrap_or(u64::MAX));
    }
}

/// Takes time off the CPU, and waits for the GPU on it, from what [`on_cpu`] added.
pub(super) fn settle(slices: &mut [Slice]) {
    for slice in slices {
        let off: u64 = slice.times.off_ns.iter().sum();
        slice.times.on_cpu_ns = slice.times.on_cpu_ns.saturating_sub(off);
        let waits = std::mem::take(&mut slice.times.gpu_sync_ns);
        slice.times.carve_gpu_sync(waits);
    }
}
