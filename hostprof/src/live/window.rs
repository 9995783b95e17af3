//! What rows in bins come to in a window: threads, and what they are together.

use std::collections::BTreeMap;

use super::{
    bins::{Slices, Window},
    counters::{IRQ, Kind, OTHERS, Sums, latency, of_kind},
    detail,
    group::GroupBins,
    memory,
    mostly::mostly,
    picture::{
        Call, Ceiling, Health, Parts, Picture, ProbeHealth, Process, Role, Share, Slice, Thread, Waker,
    },
    rolling::Rolling,
    sums::Sum,
    track::Track,
};
use crate::{
    ledger::{Part, StateTimes, merged},
    lengths::Latency,
    probe::syscalls,
    table::{LossRow, ShedStep, State},
    units::{MonoNs, Tgid, Tid},
};

/// Slices of a role's bar, and of a thread's timeline.
const ROLE_SLICES: u64 = 20;
const THREAD_SLICES: u64 = 60;

/// Threads added up.
#[derive(Default)]
pub(super) struct Group {
    share: Share,
    waits: Sums,
    most_ns: u64,
}

impl Group {
    fn add(&mut self, sum: &Sum) {
        let share = &mut self.share;
        share.threads += 1;
        share.wall_ns += sum.wall_ns;
        share.times.add(&sum.times);
        share.switches += sum.counts.switches;
        share.involuntary += sum.counts.involuntary;
        share.minor_faults += sum.minor_faults;
        share.major_faults += sum.major_faults;
        self.most_ns = self.most_ns.max(sum.most_ns);
    }

    /// Adds another, whose waits are these.
    fn merge(&mut self, other: &Self, waits: &[(u64, u64)]) {
        let (share, more) = (&mut self.share, &other.share);
        share.threads += more.threads;
        share.wall_ns += more.wall_ns;
        share.times.add(&more.times);
        share.switches += more.switches;
        share.involuntary += more.involuntary;
        share.minor_faults += more.minor_faults;
        share.major_faults += more.major_faults;
        self.most_ns = self.most_ns.max(other.most_ns);
        self.waits.extend(waits);
    }

    fn share(mut self) -> Share {
        self.share.runqueue = waited(&self.waits.take(), self.most_ns);
        self.share
    }
}

/// The groups of a process together.
#[derive(Default)]
struct GroupsOf<'a> {
    all: Group,
    /// The role that most of its threads have, with how many; of several the last by name.
    role: Option<(u32, &'a str)>,
}

impl<'a> GroupsOf<'a> {
    fn add(&mut self, role: &'a str, group: &Group, waits: &[(u64, u64)]) {
        self.all.merge(group, waits);
        if !role.is_empty() {
            self.role = self.role.max(Some((group.share.threads, role)));
        }
    }
}

/// Waits for a CPU, of counters.
fn waited(counters: &[(u64, u64)], most_ns: u64) -> Latency {
    let buckets: Vec<(u64, u64)> =
        of_kind(counters, Kind::Runqueue).filter(|(_, count)| *count > 0).collect();
    latency(&buckets, most_ns)
}

/// A thread and its sum.
pub(super) struct Summed<'a> {
    pub track: &'a Track,
    pub sum: Sum,
}

impl Rolling {
    /// The picture of a window, with the parts that are asked for, and `detail` in depth; what is not told by rows is
    /// left for others to fill in.
    pub fn picture(&mut self, window: &Window, detail: Option<Tid>, parts: Parts) -> Picture {
        self.settle();
        self.tracks.iter_mut().for_each(|track| track.slide(window));
        self.groups.iter_mut().for_each(|group| group.slide(window));
        if parts.threads {
            self.tracks.iter_mut().for_each(|track| track.slide_waits(window));
        }
        self.told(window, detail, parts)
    }

    fn told(&self, window: &Window, detail: Option<Tid>, parts: Parts) -> Picture {
        let slices = window.slices(ROLE_SLICES);
        let lost = if self.loss.is_empty() { Vec::new() } else { merged(&self.loss) };
        let mut groups: Vec<Group> = self.groups.iter().map(|_| Group::default()).collect();
        let mut names: Vec<&str> = self.groups.iter().map(|group| &*group.role).collect();
        names.sort_unstable();
        names.dedup();
        let role_of = |group: &GroupBins| names.partition_point(|name| *name < &*group.role);
        let role_of: Vec<usize> = self.groups.iter().map(role_of).collect();
        let mut bars: Vec<Bars> = names.iter().map(|_| Bars::new(&slices)).collect();
        let mut summed = Vec::with_capacity(self.tracks.len());
        for track in self.tracks.iter().filter(|track| track.lives_in(window)) {
            let bars = &mut bars[role_of[track.group]];
            let sum = track.sum(window, &lost, |part, from, to| bars.add_open(part, from, to));
            bars.live(track, window);
            groups[track.group].add(&sum);
            summed.push(Summed { track, sum });
        }
        let mut roles: Vec<Group> = names.iter().map(|_| Group::default()).collect();
        let mut processes = BTreeMap::<u32, GroupsOf>::new();
        let mut all = Group::default();
        for (place, (bins, group)) in self.groups.iter().zip(&groups).enumerate() {
            if group.share.threads == 0 {
                continue;
            }
            let role = role_of[place];
            bins.parts(window, |part, at, ns| bars[role].add(part, at, ns));
            roles[role].merge(group, bins.waits());
            processes.entry(bins.tgid).or_default().add(&bins.role, group, bins.waits());
            all.merge(group, bins.waits());
        }
        let roles = names.iter().zip(roles).zip(bars).filter(|((_, group), _)| group.share.threads > 0);
        let mut roles: Vec<Role> = roles
            .map(|((name, group), bars)| Role {
                name: (*name).to_owned(),
                slices: bars.finish(),
                share: group.share(),
            })
            .collect();
        let busy = |role: &Role| role.share.times.on_cpu_ns + role.share.times.off(State::Runqueue);
        roles.sort_by_key(|role| (role.name.is_empty(), std::cmp::Reverse(busy(role))));
        let rows: u64 = summed.iter().map(|summed| summed.sum.counts.rows).sum();
        let mut picture = Picture {
            from: MonoNs(window.from),
            to: MonoNs(window.to),
            parts,
            all: all.share(),
            mostly: mostly(self, &summed),
            pressure: memory::pressure(&self.hosts, window),
            processes: self.processes(processes),
            roles,
            gpus: self.gpus.window(window),
            requests: self.served.window(window),
            engines: self.engines.window(window),
            health: Health {
                records: rows + self.calls.rows(window),
                probes: self.lossy_probes(window),
                ceiling: self.ceiling(window),
                ..Health::default()
            },
            detail: detail.and_then(|tid| {
                detail::detail(self, window, &window.slices(THREAD_SLICES), tid, (&summed, &lost))
            }),
            ..Picture::default()
        };
        if parts.threads {
            picture.threads =
                summed.iter().map(|summed| self.thread(summed, window, parts.lengths)).collect();
        }
        if parts.calls || parts.memory {
            let sums = self.calls.sums(window);
            if parts.calls {
                picture.calls = self.calls.told(&sums, window, &self.counted);
            }
            if parts.memory {
                picture.memory = memory::memory(self, window, &summed, self.calls.memory(&sums));
            }
        }
        picture
    }

    /// The probes that lost records.
    fn lossy_probes(&self, window: &Window) -> Vec<ProbeHealth> {
        let overlaps = |row: &&LossRow| row.start_mono_ns < window.to && row.end_mono_ns > window.from;
        self.lost_by_probe
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

    /// The step below the ceiling that held at the window's end.
    fn ceiling(&self, window: &Window) -> Ceiling {
        let Some(step) = self.shed.iter().rfind(|row| row.ts_mono_ns < window.to) else {
            return Ceiling::default();
        };
        let shed = if step.step == ShedStep::Everything { String::new() } else { step.what.clone() };
        Ceiling { limit_ratio: Some(step.max_overhead_ratio), cost_ratio: None, shed }
    }

    fn thread(&self, Summed { track, sum }: &Summed<'_>, window: &Window, exact: bool) -> Thread {
        let life = &track.life;
        let lengths = if exact { track.lengths(window) } else { Vec::new() };
        Thread {
            tid: Tid(life.tid),
            tgid: Tgid(life.tgid),
            comm: life.comm.clone(),
            role: life.role.clone(),
            cpu: sum.cpu,
            share: Share {
                threads: 1,
                wall_ns: sum.wall_ns,
                times: sum.times,
                switches: sum.counts.switches,
                involuntary: sum.counts.involuntary,
                runqueue: waited(track.waits(), sum.most_ns),
                minor_faults: sum.minor_faults,
                major_faults: sum.major_faults,
            },
            now: sum.now,
            top_call: top(track.of_kind(sum, Kind::CallTime)).map(|(nr, ns)| call(&lengths, nr, ns)),
            top_waker: top(track.of_kind(sum, Kind::Waker))
                .map(|(waker, wakeups)| self.waker(waker, wakeups)),
        }
    }

    /// Processes, a parent before its children.
    fn processes(&self, mut groups: BTreeMap<u32, GroupsOf<'_>>) -> Vec<Process> {
        let mut ordered = Vec::new();
        let met: Vec<u32> = groups.keys().copied().collect();
        let parent = |tgid: &u32| self.parents.get(tgid).filter(|parent| met.binary_search(parent).is_ok());
        let mut waiting: Vec<(u32, u16)> =
            met.iter().rev().filter(|tgid| parent(tgid).is_none()).map(|tgid| (*tgid, 0)).collect();
        while let Some((tgid, depth)) = waiting.pop() {
            // A loop of parents cannot come to be: what was taken is not there again.
            let Some(group) = groups.remove(&tgid) else { continue };
            let most = group.role.map(|(_, role)| role);
            ordered.push(Process {
                tgid: Tgid(tgid),
                depth,
                comm: self.process_comm(tgid),
                role: self.main_role(tgid).or(most).unwrap_or_default().to_owned(),
                share: group.all.share(),
            });
            let children = met.iter().rev().filter(|child| parent(child) == Some(&tgid));
            waiting.extend(children.map(|child| (*child, depth + 1)));
        }
        ordered
    }

    /// The role of a process's main thread, where it has one.
    fn main_role(&self, tgid: u32) -> Option<&str> {
        self.last_life(tgid).map(|life| &*life.role).filter(|role| !role.is_empty())
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

/// What is most; of several the one with the least key.
fn top(counters: impl Iterator<Item = (u64, u64)>) -> Option<(u64, u64)> {
    counters.filter(|(_, value)| *value > 0).max_by_key(|(key, value)| (*value, std::cmp::Reverse(*key)))
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

/// States in slices of a window.
pub(super) struct Bars {
    slices: Slices,
    /// Threads that lived throughout.
    whole: u64,
    told: Vec<Slice>,
}

impl Bars {
    pub fn new(slices: &Slices) -> Self {
        let told = (0..slices.count).map(|slice| {
            let window = slices.window(slice);
            Slice { from: MonoNs(window.from), to: MonoNs(window.to), ..Slice::default() }
        });
        Self { slices: *slices, whole: 0, told: told.collect() }
    }

    /// Adds time that lies in one slice.
    pub fn add(&mut self, part: Part, at: u64, ns: u64) {
        add(&mut self.told[self.slices.of(at)].times, part, ns);
    }

    /// Adds a stretch to the slices it lies in.
    pub fn add_open(&mut self, part: Part, from: u64, to: u64) {
        for slice in &mut self.told[self.slices.of(from)..=self.slices.of(to - 1)] {
            let window = Window { from: slice.from.0, to: slice.to.0 };
            add(&mut slice.times, part, window.overlap(from, to));
        }
    }

    /// Adds a thread's life, as time on a CPU: what it was off the CPU is taken away at the end.
    pub fn live(&mut self, track: &Track, window: &Window) {
        let (from, to) = (track.life.begin_ns, track.life.end_ns.unwrap_or(u64::MAX));
        if from <= window.from && to >= window.to {
            self.whole += 1;
            return;
        }
        for slice in &mut self.told {
            let window = Window { from: slice.from.0, to: slice.to.0 };
            slice.times.on_cpu_ns += window.overlap(from, to);
        }
    }

    pub fn finish(mut self) -> Vec<Slice> {
        for slice in &mut self.told {
            let times = &mut slice.times;
            let off = times.unattributed_ns + times.off_ns.iter().sum::<u64>();
            let lived = times.on_cpu_ns + self.whole * (slice.to.0 - slice.from.0);
            times.on_cpu_ns = lived.saturating_sub(off);
            let waits = std::mem::take(&mut times.gpu_sync_ns);
            times.carve_gpu_sync(waits);
        }
        self.told
    }
}

fn add(times: &mut StateTimes, part: Part, ns: u64) {
    match part {
        Part::OnCpu => times.on_cpu_ns += ns,
        Part::GpuSync => times.gpu_sync_ns += ns,
        Part::Unattributed => times.unattributed_ns += ns,
        Part::Off(state) => times.off_ns[state as usize] += ns,
    }
}
