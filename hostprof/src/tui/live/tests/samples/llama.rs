//! A llama.cpp server on CPUs.

use super::{
    FROM, Kind, MS, WINDOW, call, latency, missing, probe, process, roles, sum, target, thread, threads,
};
use crate::{
    live::{
        Call, Ceiling, CgroupMemory, Health, HostPressure, Memory, MemoryCalls, Mode, Parts, Picture,
        ProcessMemory, Recorder, Requests, Thread, Waiting,
    },
    table::State,
    units::{MonoNs, Tgid},
};

/// A llama.cpp server under load, on a machine without a GPU.
pub fn llama() -> Picture {
    let all = threads_of_it();
    Picture {
        parts: Parts::ALL,
        from: MonoNs(FROM),
        to: MonoNs(FROM + WINDOW),
        mode: Mode::Live,
        target: target("--pid 4711 (llama-server)", "llama.cpp", 8),
        all: sum(all.iter().map(|thread| &thread.share)),
        mostly: Some(Waiting {
            state: State::Futex,
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
        engines: Vec::new(),
        health: health(),
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

fn threads_of_it() -> Vec<Thread> {
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
    all
}

fn health() -> Health {
    Health {
        own_cpu_ns: Some(38 * MS),
        own_rss_bytes: Some(41_300_000),
        records: 96_400,
        recorder: Some(Recorder {
            run: "runs/run_006".into(),
            kept: false,
            bytes: 3_210_000,
            window_bytes: 402_000,
            elapsed_ns: 42_000 * MS,
        }),
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
    }
}
