//! Pictures as real targets give them: a llama.cpp server on CPUs, and a vLLM tree of 71 threads with GPUs.

use crate::{
    ledger::StateTimes,
    lengths::Latency,
    live::{
        Call, Ceiling, CgroupMemory, End, FutexWait, Gpu, Health, HostPressure, Memory, MemoryCalls, Missing,
        Mode, Picture, Playback, ProbeHealth, Process, ProcessMemory, Recorder, Requests, Role, Share, Slice,
        Target, Thread, ThreadDetail, Waiting, Waker,
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

/// A llama.cpp server under load, on a machine without a GPU.
pub fn llama() -> Picture {
    use State::{Futex, Network, Poll, Preempted, Runqueue, Sleep};
    let main = Kind {
        comm: "llama-server",
        role: "decode",
        parts: &[(Futex, 170), (Runqueue, 60), (Preempted, 31)],
        switches: 8_120,
        call: Some("futex"),
        waker: Some(("llama-server", Some(4712))),
    };
    let pool = Kind {
        comm: "llama-server",
        role: "compute_pool",
        parts: &[(Futex, 370), (Runqueue, 52), (Preempted, 74)],
        switches: 9_400,
        call: Some("futex"),
        waker: Some(("llama-server", Some(4711))),
    };
    let http = Kind {
        comm: "llama-server",
        role: "http",
        parts: &[(Futex, 820), (Network, 170), (Runqueue, 4)],
        switches: 640,
        call: Some("futex"),
        waker: Some(("llama-server", Some(4711))),
    };
    let accept = Kind { parts: &[(Network, 1000)], switches: 12, call: Some("accept4"), waker: None, ..http };
    let other = Kind {
        comm: "llama-log",
        role: "",
        parts: &[(Sleep, 400), (Poll, 590)],
        switches: 50,
        call: Some("clock_nanosleep"),
        waker: Some(("interrupt", None)),
    };
    let mut all = vec![thread(4711, 4711, &main)];
    all.extend(threads(4711, 4712, 7, &pool));
    all.push(thread(4711, 4720, &accept));
    all.extend(threads(4711, 4721, 6, &http));
    all.push(thread(4711, 4730, &other));
    Picture {
        from: MonoNs(FROM),
        to: MonoNs(FROM + WINDOW),
        mode: Mode::Live,
        target: target("--pid 4711 (llama-server)", "llama.cpp", 8),
        all: sum(all.iter().map(|thread| &thread.share)),
        mostly: Some(Waiting {
            state: Futex,
            ratio: 0.52,
            role: "compute_pool".into(),
            text: "futex 0x7f3a5c01c0 (52.0%), mostly compute_pool, woken by llama-server/4711".into(),
        }),
        pressure: Some(HostPressure {
            busy_ratio: 0.913,
            steal_ratio: 0.004,
            cpu_some_ratio: Some(0.382),
            memory_some_ratio: Some(0.0),
            memory_full_ratio: Some(0.0),
            io_some_ratio: Some(0.0121),
            io_full_ratio: Some(0.0006),
            runnable: 11,
        }),
        processes: vec![process(&all, 4711, 0, "llama-server", "compute_pool")],
        roles: roles(&all),
        threads: all,
        calls: vec![
            call("futex", 61_200, 31, 4_100, 39_800),
            call("recvfrom", 1_830, 900, 81_000, 5_100),
            call("sendto", 1_790, 14, 61, 31),
            call("accept4", 6, 610_000, 2_400_000, 4_900),
            call("clock_nanosleep", 50, 100_000, 100_900, 4_990),
            Call { errors: None, off_cpu_ns: None, ..call("sched_yield", 184_000, 1, 3, 210) },
        ],
        calls_missing: vec![missing("GPU ioctls", "no selected device is open", "")],
        memory: llama_memory(),
        gpus: Vec::new(),
        gpus_missing: Some(missing("GPUs", "NVML is not on this machine (libnvidia-ml.so.1)", "")),
        requests: vec![Requests {
            source: "probe http".into(),
            in_flight: Some(4),
            ended: 16,
            failed: 0,
            tokens: 2_061,
            ttft: latency(16, 312_000, 1_240_000, 1_310_000),
            itl: latency(2_045, 9_410, 31_200, 88_000),
            e2e: latency(16, 1_520_000, 2_980_000, 3_120_000),
        }],
        requests_missing: None,
        health: Health {
            own_cpu_ns: Some(38 * MS),
            own_rss_bytes: Some(41_300_000),
            records: 96_400,
            recorder: None,
            probes: vec![
                probe("sched", ""),
                probe("waker", ""),
                probe("futex", ""),
                probe("syscall", ""),
                probe("http", ""),
                probe("ioctl", "no selected device is open"),
                probe("page_fault", "off unless asked for (--probe page_fault)"),
            ],
            ceiling: Ceiling { limit_ratio: Some(0.01), cost_ratio: Some(0.0021), shed: String::new() },
            ring_used_bytes: Some(212_992),
            ring_bytes: 16 << 20,
        },
        detail: None,
    }
}

fn llama_memory() -> Memory {
    const GIB: u64 = 1 << 30;
    Memory {
        processes: vec![ProcessMemory {
            tgid: Tgid(4711),
            comm: "llama-server".into(),
            rss_bytes: Some(5 * GIB),
            anon_bytes: Some(GIB),
            file_bytes: Some(4 * GIB),
            shmem_bytes: Some(0),
            swap_bytes: Some(0),
            peak_bytes: Some(5 * GIB + GIB / 4),
            rss_history: (0..25).map(|at| 4 * GIB + at * GIB / 25).collect(),
            minor_faults: 1_312.0,
            major_faults: 2.4,
        }],
        cgroups: vec![CgroupMemory {
            path: "/system.slice/llama.service".into(),
            memory_bytes: Some(5 * GIB + GIB / 2),
            memory_max_bytes: Some(6 * GIB),
            events_high: Some(0),
            events_max: Some(12),
            events_oom: Some(0),
            oom_kills: Some(0),
            refaults_file: Some(420),
            throttled_periods: Some(17),
            throttled_ns: Some(812 * MS),
            quota_cpus: Some(6.0),
        }],
        calls: Some(MemoryCalls {
            by_name: vec![
                call("mmap", 214, 4, 31, 1),
                call("munmap", 201, 9, 412, 4),
                call("madvise", 1_330, 2, 9, 3),
            ],
            mapped_bytes: 214 << 20,
            unmapped_bytes: 201 << 20,
        }),
        missing: Vec::new(),
    }
}

/// A vLLM tree of 71 threads that serves with two GPUs, and is being recorded.
pub fn vllm() -> Picture {
    use State::{
        Futex, GpuIoctl, Ioctl, Memory as Mmap, Network, PageFault, Poll, Preempted, Read, Runqueue,
    };
    let none = Kind { comm: "", role: "", parts: &[], switches: 0, call: None, waker: None };
    let api = Kind {
        comm: "vllm",
        role: "api_server",
        parts: &[(Poll, 540), (Futex, 90), (Runqueue, 12)],
        switches: 4_100,
        call: Some("epoll_wait"),
        waker: Some(("ZMQbg/Reaper", Some(9012))),
    };
    let core = Kind {
        comm: "VLLM::EngineCore",
        role: "engine_core",
        parts: &[(GpuIoctl, 41), (Futex, 212), (Poll, 88), (Runqueue, 9), (Preempted, 6), (PageFault, 3)],
        switches: 14_800,
        call: Some("futex"),
        waker: Some(("cuda-EvtHandlr", Some(9130))),
    };
    let messaging = Kind {
        comm: "ZMQbg/IO/0",
        role: "messaging",
        parts: &[(Poll, 968), (Runqueue, 3)],
        switches: 2_210,
        call: Some("epoll_wait"),
        waker: Some(("interrupt", None)),
    };
    let cuda = Kind {
        comm: "cuda-EvtHandlr",
        role: "cuda_driver",
        parts: &[(Poll, 900), (GpuIoctl, 71), (Runqueue, 1)],
        switches: 980,
        call: Some("poll"),
        waker: Some(("interrupt", None)),
    };
    let rayon = Kind {
        comm: "tokenizers-rayo",
        role: "tokenizer",
        parts: &[(Futex, 981), (Runqueue, 2)],
        switches: 130,
        call: Some("futex"),
        waker: Some(("vllm", Some(9001))),
    };
    let pool = Kind {
        comm: "python3",
        role: "compute_pool",
        parts: &[(Futex, 1000)],
        switches: 0,
        call: Some("futex"),
        waker: None,
    };
    let tracker = Kind { comm: "python3", role: "resource_tracker", parts: &[(Read, 1000)], ..none };
    let idle =
        Kind { comm: "python3", parts: &[(Network, 640), (Ioctl, 300), (Mmap, 40)], switches: 41, ..none };
    let mut all = vec![thread(9001, 9001, &api), thread(9102, 9102, &core), thread(9050, 9050, &tracker)];
    all.extend(threads(9001, 9010, 4, &messaging));
    all.extend(threads(9102, 9110, 4, &messaging));
    all.extend(threads(9001, 9020, 16, &rayon));
    all.extend(threads(9102, 9130, 6, &cuda));
    all.extend(threads(9102, 9140, 32, &pool));
    all.extend(threads(9102, 9180, 6, &idle));
    let gpu = |index: u32, util: f64| Gpu {
        index,
        name: "NVIDIA H100 80GB HBM3".into(),
        util_ratio: Some(util),
        memory_used_bytes: Some(71 << 30),
        memory_total_bytes: Some(80 << 30),
        power_mw: Some(412_300),
        sm_clock_mhz: Some(1_980),
        sm_ratio: Some(util * 0.7),
        tensor_ratio: Some(util * 0.22),
        dram_ratio: Some(util * 0.51),
        util_history: (0..50).map(|at| util * f64::from((at * 7 + index * 3) % 20 + 10) / 30.0).collect(),
    };
    let ioctl = |name: &str, device: &str, count: u64, total_ms: u64| Call {
        device: Some(device.into()),
        ..call(name, count, 6, 4_900, total_ms)
    };
    let llama = llama();
    let source = |source: &str, in_flight: Option<u64>| Requests {
        source: source.into(),
        in_flight,
        ended: 61,
        failed: 2,
        tokens: 14_310,
        ttft: latency(59, 41_200, 212_000, 260_000),
        itl: latency(14_250, 7_120, 18_300, 61_000),
        e2e: latency(59, 1_820_000, 2_310_000, 2_402_000),
    };
    Picture {
        target: target("--pid 9001 --children (vllm)", "vLLM", 32),
        all: sum(all.iter().map(|thread| &thread.share)),
        mostly: Some(Waiting {
            state: Futex,
            ratio: 0.212,
            role: "engine_core".into(),
            text: "futex 0x7fe2100a40 (21.2%), mostly engine_core, woken by cuda-EvtHandlr/9130".into(),
        }),
        processes: vec![
            process(&all, 9001, 0, "vllm", "api_server"),
            process(&all, 9050, 1, "python3", "resource_tracker"),
            process(&all, 9102, 1, "VLLM::EngineCor", "compute_pool"),
        ],
        roles: roles(&all),
        threads: all,
        calls: vec![
            call("epoll_wait", 41_000, 110, 9_100, 71_000),
            call("futex", 88_100, 40, 6_300, 240_100),
            ioctl("NV_ESC_RM_CONTROL", "nvidiactl", 940, 212),
            ioctl("NV_ESC_RM_ALLOC", "nvidiactl", 12, 31),
            ioctl("UVM_MAP_EXTERNAL_ALLOCATION", "nvidia-uvm", 8, 17),
            ioctl("0xc020462a", "nvidia0", 4, 2),
        ],
        calls_missing: vec![missing(
            "system calls other than these",
            "probe syscall is off",
            "--probe syscall_count",
        )],
        memory: Memory {
            processes: [(9001, "vllm"), (9050, "python3"), (9102, "VLLM::EngineCor")]
                .map(|(tgid, comm)| ProcessMemory {
                    tgid: Tgid(tgid),
                    comm: comm.into(),
                    ..llama.memory.processes[0].clone()
                })
                .into(),
            calls: None,
            missing: vec![missing("calls of the mmap family", "probe memory is off", "--probe memory")],
            ..llama.memory
        },
        gpus: vec![gpu(0, 0.83), gpu(1, 0.61)],
        gpus_missing: None,
        requests: vec![source("probe http", Some(32)), source("hostprof load", None)],
        health: Health {
            recorder: Some(Recorder {
                run: "runs/run_007".into(),
                bytes: 48_100_000,
                window_bytes: 3_910_000,
                elapsed_ns: 61_000 * MS,
            }),
            ..llama.health
        },
        ..llama
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
                address: 0x7f3a_5c01_c0,
                waited_ns: 1_702 * MS,
                waits: 8_800,
                now: true,
                others: others.clone().take(6).collect(),
            },
            FutexWait {
                tgid: Tgid(4711),
                address: 0x7f3a_5c02_40,
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
    });
    picture.health.recorder = None;
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
    picture.health.ceiling.shed = "spans".into();
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
