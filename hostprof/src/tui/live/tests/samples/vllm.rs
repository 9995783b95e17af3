//! A vLLM tree that serves with two GPUs.

use super::{Kind, MS, call, latency, llama, missing, process, roles, sum, target, thread, threads};
use crate::{
    live::{Call, Engine, Gpu, Health, Memory, Picture, ProcessMemory, Recorder, Requests, Thread, Waiting},
    table::State,
    units::Tgid,
};

/// A vLLM tree of 71 threads that serves with two GPUs, and is being recorded.
pub fn vllm() -> Picture {
    let all = threads_of_it();
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
            state: State::Futex,
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
        engines: vec![Engine {
            engine: "vLLM".into(),
            server: "127.0.0.1:8000".into(),
            running: Some(24),
            waiting: Some(8),
            kv_used_ratio: Some(0.873),
            counted_ns: 5_000 * MS,
            input_tokens: Some(61_440),
            output_tokens: Some(9_210),
            preemptions: Some(3),
            prefix_hits: Some(20_480),
            prefix_queries: Some(61_440),
        }],
        health: Health {
            recorder: Some(Recorder {
                run: "runs/run_007".into(),
                kept: true,
                bytes: 48_100_000,
                window_bytes: 3_910_000,
                elapsed_ns: 61_000 * MS,
            }),
            ..llama.health
        },
        ..llama
    }
}

fn threads_of_it() -> Vec<Thread> {
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
    all
}

fn gpu(index: u32, util: f64) -> Gpu {
    Gpu {
        index,
        instance: None,
        name: "NVIDIA H100 80GB HBM3".into(),
        util_ratio: Some(util),
        memory_used_bytes: Some(71 << 30),
        memory_total_bytes: Some(80 << 30),
        power_mw: Some(412_300),
        power_limit_mw: Some(700_000),
        sm_clock_mhz: Some(1_980),
        mem_clock_mhz: Some(2_619),
        temperature_c: Some(54),
        throttle_reasons: Some(if index == 0 { "sw_power_cap" } else { "" }.into()),
        sm_ratio: Some(util * 0.7),
        tensor_ratio: Some(util * 0.22),
        dram_ratio: Some(util * 0.51),
        util_history: (0..50).map(|at| util * f64::from((at * 7 + index * 3) % 20 + 10) / 30.0).collect(),
    }
}
