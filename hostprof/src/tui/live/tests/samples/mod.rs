//! Pictures as real targets give them: a llama.cpp server on CPUs, and a vLLM tree of 71 threads with GPUs.

mod llama;
mod vllm;

pub use self::{llama::llama, vllm::vllm};
use crate::{
    ledger::StateTimes,
    lengths::Latency,
    live::{
        Call, End, FutexWait, Memory, Missing, Mode, Parts, Picture, Playback, ProbeHealth, Process, Role,
        Share, Slice, Target, Thread, ThreadDetail, Waker,
    },
    table::{State, Word as _},
    units::{MonoNs, Tgid, Tid},
};

const MS: u64 = 1_000_000;
/// The window.
pub const FROM: u64 = 812_345 * MS;
pub const WINDOW: u64 = 5_000 * MS;
const SLICES: u64 = 50;

/// Time by state, in thousandths of a wall clock; what they leave is on the CPU.
fn times(wall_ns: u64, parts: &[(State, u64)]) -> StateTimes {
    let mut times = StateTimes::default();
    for (state, permille) in parts {
        times.off_ns[state.index()] = wall_ns / 1000 * permille;
    }
    times.on_cpu_ns = wall_ns - times.total_ns();
    times
}

fn latency(count: u64, p50_us: u64, p99_us: u64, max_us: u64) -> Latency {
    let some = |us: u64| Some(us * 1000);
    Latency {
        count,
        p50_ns: some(p50_us),
        p90_ns: some(p50_us + (p99_us - p50_us) / 4),
        p95_ns: some(p50_us + (p99_us - p50_us) / 2),
        p99_ns: some(p99_us),
        max_ns: some(max_us),
    }
}

fn share(parts: &[(State, u64)], switches: u64) -> Share {
    let times = times(WINDOW, parts);
    let waits = switches * 9 / 10;
    Share {
        threads: 1,
        wall_ns: WINDOW,
        times,
        switches,
        involuntary: switches / 12,
        runqueue: if waits == 0 { Latency::default() } else { latency(waits, 11, 1_240, 8_130) },
        minor_faults: switches as f64 / 40.0,
        major_faults: 0.0,
    }
}

fn sum<'a>(shares: impl Iterator<Item = &'a Share>) -> Share {
    let mut all = Share::default();
    for share in shares {
        all.threads += share.threads;
        all.wall_ns += share.wall_ns;
        all.times.add(&share.times);
        all.switches += share.switches;
        all.involuntary += share.involuntary;
        all.minor_faults += share.minor_faults;
        all.major_faults += share.major_faults;
        all.runqueue.count += share.runqueue.count;
    }
    if all.runqueue.count > 0 {
        all.runqueue = latency(all.runqueue.count, 12, 1_410, 9_870);
    }
    all
}

/// Slices of a wall clock whose mix comes and goes, as batches do.
fn slices(whole: &StateTimes, phase: u64) -> Vec<Slice> {
    let each = WINDOW / SLICES;
    (0..SLICES)
        .map(|at| {
            // A saw tooth: more on the CPU, then less.
            let tooth = (at * 7 + phase * 13) % 20;
            let on_cpu = whole.on_cpu_ns / SLICES * (tooth + 2) / 12;
            let mut times = StateTimes::default();
            for &state in State::ALL {
                times.off_ns[state.index()] = whole.off(state) / SLICES * (22 - tooth) / 12;
            }
            times.on_cpu_ns = on_cpu;
            times.unattributed_ns = whole.unattributed_ns / SLICES;
            let from = FROM + at * each;
            Slice { from: MonoNs(from), to: MonoNs(from + each), times }
        })
        .collect()
}

/// Threads of one kind.
struct Kind<'a> {
    comm: &'a str,
    role: &'a str,
    parts: &'a [(State, u64)],
    switches: u64,
    call: Option<&'a str>,
    waker: Option<(&'a str, Option<u32>)>,
}

fn thread(tgid: u32, tid: u32, kind: &Kind<'_>) -> Thread {
    // None is just like its neighbour.
    let parts: Vec<(State, u64)> =
        kind.parts.iter().map(|&(state, part)| (state, part - part * u64::from(tid % 7) / 100)).collect();
    let switches = kind.switches + kind.switches * u64::from(tid % 5) / 10;
    let top = parts.iter().copied().max_by_key(|part| part.1);
    let call = |name: &str| Call {
        name: name.into(),
        latency: latency(switches, 180, 4_100, 21_000),
        total_ns: top.map_or(0, |(_, part)| WINDOW / 1000 * part),
        ..Call::default()
    };
    Thread {
        tid: Tid(tid),
        tgid: Tgid(tgid),
        comm: kind.comm.into(),
        role: kind.role.into(),
        cpu: Some((tid % 16) as u16),
        share: share(&parts, switches),
        now: if tid.is_multiple_of(3) { None } else { top.map(|(state, _)| state) },
        top_call: kind.call.map(call),
        top_waker: kind.waker.map(|(comm, tid)| Waker {
            tid: tid.map(Tid),
            comm: comm.into(),
            wakeups: switches / 2,
        }),
    }
}

fn threads(tgid: u32, first: u32, count: u32, kind: &Kind<'_>) -> Vec<Thread> {
    (first..first + count).map(|tid| thread(tgid, tid, kind)).collect()
}

fn roles(threads: &[Thread]) -> Vec<Role> {
    let mut names: Vec<&str> = threads.iter().map(|thread| thread.role.as_str()).collect();
    names.sort_by_key(|name| name.is_empty());
    let mut seen = Vec::new();
    names.retain(|name| !seen.contains(name) && (seen.push(*name), true).1);
    let role = |(at, name): (usize, &&str)| {
        let all = sum(threads.iter().filter(|thread| thread.role == **name).map(|thread| &thread.share));
        Role { name: (*name).to_owned(), slices: slices(&all.times, at as u64), share: all }
    };
    names.iter().enumerate().map(role).collect()
}

fn process(threads: &[Thread], tgid: u32, depth: u16, comm: &str, role: &str) -> Process {
    let own = threads.iter().filter(|thread| thread.tgid == Tgid(tgid));
    Process {
        tgid: Tgid(tgid),
        depth,
        comm: comm.into(),
        role: role.into(),
        share: sum(own.map(|thread| &thread.share)),
    }
}

fn call(name: &str, count: u64, p50_us: u64, p99_us: u64, total_ms: u64) -> Call {
    Call {
        name: name.into(),
        device: None,
        latency: latency(count, p50_us, p99_us, p99_us * 4),
        total_ns: total_ms * MS,
        off_cpu_ns: Some(total_ms * MS * 97 / 100),
        errors: Some(count / 90),
    }
}

fn probe(name: &str, reason: &str) -> ProbeHealth {
    ProbeHealth { name: name.into(), on: reason.is_empty(), reason: reason.into(), ..ProbeHealth::default() }
}

fn missing(what: &str, why: &str, remedy: &str) -> Missing {
    Missing { what: what.into(), why: why.into(), remedy: remedy.into() }
}

fn target(name: &str, engine: &str, cpus: u32) -> Target {
    Target {
        name: name.into(),
        engine: Some(engine.into()),
        host: "inference-3".into(),
        cpus,
        elapsed_ns: 72_400 * MS,
        end: None,
    }
}

/// The llama.cpp server, with one thread in depth.
pub fn detailed(tid: u32) -> Picture {
    let mut picture = llama();
    let thread = picture.threads.iter().find(|thread| thread.tid == Tid(tid)).cloned().unwrap();
    let others = picture.threads.iter().map(|thread| thread.tid).filter(|other| *other != thread.tid);
    picture.detail = Some(ThreadDetail {
        tid: Tid(tid),
        slices: slices(&thread.share.times, u64::from(tid)),
        calls: vec![
            call("futex", 9_100, 42, 3_900, 1_840),
            call("write", 31, 9, 61, 1),
            call("madvise", 4, 120, 410, 1),
        ],
        wakers: vec![
            Waker { tid: Some(Tid(4711)), comm: "llama-server".into(), wakeups: 6_210 },
            Waker { tid: Some(Tid(4713)), comm: "llama-server".into(), wakeups: 1_044 },
            Waker { tid: None, comm: "interrupt".into(), wakeups: 61 },
        ],
        futexes: vec![
            FutexWait {
                tgid: Tgid(4711),
                address: 0x007f_3a5c_01c0,
                waited_ns: 1_702 * MS,
                waits: 8_800,
                now: true,
                others: others.clone().take(6).collect(),
            },
            FutexWait {
                tgid: Tgid(4711),
                address: 0x007f_3a5c_0240,
                waited_ns: 138 * MS,
                waits: 300,
                now: false,
                others: Vec::new(),
            },
        ],
    });
    picture
}

/// The vLLM tree as a replay that stands still.
pub fn replayed() -> Picture {
    let mut picture = vllm();
    picture.mode = Mode::Replay(Playback {
        begin: MonoNs(FROM - 31_200 * MS),
        end: MonoNs(FROM + 58_800 * MS),
        playing: false,
        speed: 1.0,
        unsaved: false,
    });
    picture.health.recorder.iter_mut().for_each(|recorder| recorder.kept = true);
    picture.health.ring_used_bytes = None;
    picture.target.end =
        Some(End { at: MonoNs(FROM + 58_800 * MS), reason: "recording ended (duration)".into() });
    picture
}

/// A picture from which records are missing.
pub fn lossy() -> Picture {
    let mut picture = vllm();
    let probe = &mut picture.health.probes[0];
    (probe.dropped, probe.dropped_in_all) = (1_204, 88_012);
    picture.health.ring_used_bytes = Some(15 << 20);
    picture.health.ceiling.shed = "no system calls one by one".into();
    let lost = |times: &mut StateTimes| {
        let ns = times.on_cpu_ns / 3;
        times.on_cpu_ns -= ns;
        times.unattributed_ns += ns;
    };
    lost(&mut picture.all.times);
    for thread in &mut picture.threads {
        lost(&mut thread.share.times);
    }
    for role in &mut picture.roles {
        lost(&mut role.share.times);
        role.slices.iter_mut().for_each(|slice| lost(&mut slice.times));
    }
    picture
}

/// A target that has ended, 12 s before.
pub fn ended() -> Picture {
    let mut picture = llama();
    let at = MonoNs(picture.to.0 - 12_000 * MS);
    picture.target.end = Some(End { at, reason: "the last thread ended".into() });
    picture
}

/// A window in which nothing lived.
pub fn empty() -> Picture {
    Picture {
        from: MonoNs(FROM),
        to: MonoNs(FROM + WINDOW),
        parts: Parts::ALL,
        target: target("--pid 4711 (llama-server)", "llama.cpp", 8),
        calls_missing: vec![missing("system calls", "probe syscall is off", "--probe syscall_count")],
        memory: Memory {
            missing: vec![missing("calls of the mmap family", "probe memory is off", "--probe memory")],
            ..Memory::default()
        },
        gpus_missing: Some(missing("GPUs", "NVML is not on this machine (libnvidia-ml.so.1)", "")),
        requests_missing: Some(missing("requests", "probe http is off", "--probe http, or hostprof load")),
        ..Picture::default()
    }
}
