//! The picture of a window: every number that the view shows, and nothing about how.
//!
//! Times are nanoseconds; instants are `CLOCK_MONOTONIC`. A window is half open, `from` to `to`. What spans its
//! edges is clipped: a thread's states sum to the part of its life that lies in the window. Counts and
//! distributions are of what *ended* in the window (an episode at its switch-in, a call at its return, a request
//! at its last token), with its whole length. `None` is what was not measured, and a [`Missing`] says what brings
//! it; zero is zero.

use serde::Serialize;

use crate::{
    ledger::StateTimes,
    lengths::Latency,
    table::State,
    units::{MonoNs, Tgid, Tid},
};

/// A window of a target's life.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Picture {
    /// Its beginning.
    pub from: MonoNs,
    /// Its end: in a live view now, less what the order of records may still change.
    pub to: MonoNs,
    /// Which of the lists below it has.
    #[serde(skip)]
    pub parts: Parts,
    /// Where the picture is from.
    pub mode: Mode,
    /// What is watched.
    pub target: Target,
    /// All threads together.
    pub all: Share,
    /// What the tree mostly waited for; `None` where it waited for nothing.
    pub mostly: Option<Waiting>,
    /// The machine's pressure; `None` before the second sample.
    pub pressure: Option<HostPressure>,
    /// By process, a parent before its children.
    pub processes: Vec<Process>,
    /// By role, most other than waiting for work first; threads without one last.
    pub roles: Vec<Role>,
    /// Every thread that lived in the window.
    pub threads: Vec<Thread>,
    /// System calls and ioctls that returned in the window, by name.
    pub calls: Vec<Call>,
    /// Which calls `calls` cannot hold, and the option that brings them.
    pub calls_missing: Vec<Missing>,
    /// Memory.
    pub memory: Memory,
    /// GPUs; empty where none is measured, for which `gpus_missing` has the reason.
    pub gpus: Vec<Gpu>,
    pub gpus_missing: Option<Missing>,
    /// Requests, by who saw them; empty where nobody looks, for which `requests_missing` has the reason.
    pub requests: Vec<Requests>,
    pub requests_missing: Option<Missing>,
    /// Engines that tell of themselves; empty where none does.
    pub engines: Vec<Engine>,
    /// hostprof itself.
    pub health: Health,
    /// The thread that was asked for, where it lives in the window.
    pub detail: Option<ThreadDetail>,
}

/// What of a picture is made where it is asked for: lists that are long, and shown on one tab each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of four")]
pub struct Parts {
    pub threads: bool,
    /// How long each thread was blocked in the call of its `top_call`: told where a picture is printed.
    pub lengths: bool,
    pub calls: bool,
    pub memory: bool,
}

impl Parts {
    /// All of them.
    pub const ALL: Self = Self { threads: true, lengths: true, calls: true, memory: true };

    /// Whether all that another asks for is there.
    pub fn has(self, other: Self) -> bool {
        (self.threads || !other.threads) && (self.calls || !other.calls) && (self.memory || !other.memory)
    }
}

impl Picture {
    /// Takes the parts it lacks from an older picture: better a moment old than none.
    pub fn keep_of(&mut self, older: Self) {
        if !self.parts.threads {
            self.threads = older.threads;
        }
        if !self.parts.calls {
            (self.calls, self.calls_missing) = (older.calls, older.calls_missing);
        }
        if !self.parts.memory {
            self.memory = older.memory;
        }
    }
}

/// Where a picture is from.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A process that is being watched.
    #[default]
    Live,
    /// A recording.
    Replay(Playback),
}

/// Where a replay is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Playback {
    /// The recording's first and last instant.
    pub begin: MonoNs,
    pub end: MonoNs,
    /// Whether time goes on.
    pub playing: bool,
    /// Seconds of the recording in one of the viewer's.
    pub speed: f64,
    /// It is of a target that was watched, and goes with the view unless it is saved.
    pub unsaved: bool,
}

/// What is watched.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Target {
    /// In words: `--pid 4711 (llama-server)`.
    pub name: String,
    /// The engine it was taken for; `None` if none.
    pub engine: Option<String>,
    /// The host's name and CPUs.
    pub host: String,
    pub cpus: u32,
    /// Since watching, or the recording, began.
    pub elapsed_ns: u64,
    /// How it ended; `None` while it lives.
    pub end: Option<End>,
}

/// The end of a target.
#[derive(Clone, Debug, Default, Serialize)]
pub struct End {
    pub at: MonoNs,
    /// `the last thread ended`, `recording ended (duration)`.
    pub reason: String,
}

/// Time by state and what was counted, of a thread or of several together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Share {
    /// Threads that lived in the window.
    pub threads: u32,
    /// The sum of their lives within it: what `times` sums to.
    pub wall_ns: u64,
    /// By state. An episode that is still open counts with what of it lies in the window. What rows contradict one
    /// another about, and what a thread did while its records were lost, is `unattributed`.
    pub times: StateTimes,
    /// Context switches; involuntary ones.
    pub switches: u64,
    pub involuntary: u64,
    /// From runnable to running, of woken threads.
    pub runqueue: Latency,
    /// Page faults, spread evenly over the interval (at most a second) in which the kernel counted them.
    pub minor_faults: f64,
    pub major_faults: f64,
}

/// What a tree mostly waited for: attribution, not cause.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Waiting {
    /// The state off the CPU with the most time, of threads that are not idle pools; `runqueue` included.
    pub state: State,
    /// Its part of those threads' time.
    pub ratio: f64,
    /// Whose most of it is; empty for none.
    pub role: String,
    /// In one line: `futex 0x7f…c0 (63 %), mostly compute_pool, woken by llama-server/4711`.
    pub text: String,
}

/// Pressure of the machine between the samples nearest to the window's edges: shares of that time, 0 to 1.
/// `None` where the kernel does not tell it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HostPressure {
    pub busy_ratio: f64,
    pub steal_ratio: f64,
    pub cpu_some_ratio: Option<f64>,
    pub memory_some_ratio: Option<f64>,
    pub memory_full_ratio: Option<f64>,
    pub io_some_ratio: Option<f64>,
    pub io_full_ratio: Option<f64>,
    /// Tasks that ran or were runnable, at the last sample.
    pub runnable: u64,
}

/// A process of the target.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Process {
    pub tgid: Tgid,
    /// How far below a root of the tree, 0 for a root.
    pub depth: u16,
    /// The main thread's name.
    pub comm: String,
    /// The role of its main thread; where that has none the one most of its threads have; empty for none.
    pub role: String,
    pub share: Share,
}

/// Threads that share a role.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Role {
    /// Empty for threads without one.
    pub name: String,
    pub share: Share,
    /// Its states over the window in equal slices, oldest first: a bar each.
    pub slices: Vec<Slice>,
}

/// A slice of the window.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Slice {
    pub from: MonoNs,
    pub to: MonoNs,
    pub times: StateTimes,
}

/// A thread.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Thread {
    pub tid: Tid,
    pub tgid: Tgid,
    pub comm: String,
    /// Empty for none.
    pub role: String,
    /// The CPU it ran on last; `None` where no switch was seen.
    pub cpu: Option<u16>,
    pub share: Share,
    /// Its state at the window's end; `None` on a CPU.
    pub now: Option<State>,
    /// The system call it was off the CPU in for the longest time; `None` where in none.
    pub top_call: Option<Call>,
    /// Who woke it most; `None` where nobody did.
    pub top_waker: Option<Waker>,
}

/// System calls of a name, or waits in one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Call {
    /// `futex`, `ioctl`; for an ioctl on a selected device the request's name or number.
    pub name: String,
    /// The device; `None` for other calls.
    pub device: Option<String>,
    /// Lengths of those that returned in the window. In a thread's `top_call`: of its blocked episodes.
    pub latency: Latency,
    /// Their time within the window (a call longer than it counts with its part), and of that off the CPU;
    /// `None` where only counted.
    pub total_ns: u64,
    pub off_cpu_ns: Option<u64>,
    /// Those that returned an error; `None` where only counted.
    pub errors: Option<u64>,
}

/// Who ended waits.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Waker {
    /// `None` for an interrupt.
    pub tid: Option<Tid>,
    /// Its name; `interrupt`, or `not recorded` for a thread outside the target.
    pub comm: String,
    pub wakeups: u64,
}

/// A list or a number that is not measured, and what brings it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What is missing: `system calls other than GPU ioctls`.
    pub what: String,
    /// Why: `probe syscall is off`.
    pub why: String,
    /// What brings it: `--probe syscall_count`; empty where nothing does.
    pub remedy: String,
}

/// Memory of the target.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Memory {
    pub processes: Vec<ProcessMemory>,
    pub cgroups: Vec<CgroupMemory>,
    /// Calls that change the address space; `None` where probe `memory` is off.
    pub calls: Option<MemoryCalls>,
    pub missing: Vec<Missing>,
}

/// A process's memory at the last sample in or before the window, and what it did since the one before the
/// window began.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProcessMemory {
    pub tgid: Tgid,
    pub comm: String,
    pub rss_bytes: Option<u64>,
    pub anon_bytes: Option<u64>,
    pub file_bytes: Option<u64>,
    pub shmem_bytes: Option<u64>,
    pub swap_bytes: Option<u64>,
    pub peak_bytes: Option<u64>,
    /// Resident set at each sample of the window, oldest first: a sparkline.
    pub rss_history: Vec<u64>,
    /// Faults of its threads in the window, as in [`Share`].
    pub minor_faults: f64,
    pub major_faults: f64,
}

/// A cgroup of the target, at the same samples. Counts are between those.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CgroupMemory {
    pub path: String,
    pub memory_bytes: Option<u64>,
    /// Its limit; `None` where there is none.
    pub memory_max_bytes: Option<u64>,
    pub events_high: Option<u64>,
    pub events_max: Option<u64>,
    pub events_oom: Option<u64>,
    pub oom_kills: Option<u64>,
    pub refaults_file: Option<u64>,
    pub throttled_periods: Option<u64>,
    pub throttled_ns: Option<u64>,
    /// CPU allowed, in CPUs; `None` where there is no quota.
    pub quota_cpus: Option<f64>,
}

/// Traffic of the mmap family that returned in the window.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MemoryCalls {
    pub by_name: Vec<Call>,
    /// Bytes that successful mmap calls mapped, and munmap calls unmapped.
    pub mapped_bytes: u64,
    pub unmapped_bytes: u64,
}

/// A GPU, or an instance of one that is divided, at its last sample before the window's end.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Gpu {
    pub index: u32,
    /// The instance, of one that is divided: `1`, with its compute instance `1/0`; `None` for a whole GPU.
    pub instance: Option<String>,
    pub name: String,
    pub util_ratio: Option<f64>,
    pub memory_used_bytes: Option<u64>,
    pub memory_total_bytes: Option<u64>,
    pub power_mw: Option<u64>,
    pub power_limit_mw: Option<u64>,
    pub sm_clock_mhz: Option<u32>,
    pub mem_clock_mhz: Option<u32>,
    pub temperature_c: Option<u32>,
    /// Why its clocks are lower than they could be, joined by `+`; empty for no reason.
    pub throttle_reasons: Option<String>,
    pub sm_ratio: Option<f64>,
    pub tensor_ratio: Option<f64>,
    pub dram_ratio: Option<f64>,
    /// `util_ratio` at each sample of the window, oldest first.
    pub util_history: Vec<f64>,
}

/// Requests that one source saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Requests {
    /// `probe http`, `hostprof load`.
    pub source: String,
    /// At the window's end; `None` where the source tells a request at its end only.
    pub in_flight: Option<u64>,
    /// That ended in the window, and of those that failed.
    pub ended: u64,
    pub failed: u64,
    /// Tokens (or chunks, where the source sees no tokens) that came in the window.
    pub tokens: u64,
    pub ttft: Latency,
    pub itl: Latency,
    pub e2e: Latency,
}

/// An inference engine, at its last sample before the window's end. What it does not tell is `None`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Engine {
    /// vLLM, SGLang, llama.cpp.
    pub engine: String,
    /// Host and port that were asked.
    pub server: String,
    pub running: Option<u64>,
    pub waiting: Option<u64>,
    pub kv_used_ratio: Option<f64>,
    /// The time in which the counts below grew: since the last sample before the window, or the first in it.
    pub counted_ns: u64,
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub preemptions: Option<u64>,
    pub prefix_hits: Option<u64>,
    pub prefix_queries: Option<u64>,
}

/// hostprof itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Health {
    /// Its CPU time in the window; for a recording, its mean over the whole, in the window's proportion.
    pub own_cpu_ns: Option<u64>,
    /// Resident set now; for a recording, the greatest.
    pub own_rss_bytes: Option<u64>,
    /// Rows of `off_cpu`, `syscall` and `gpu_ioctl` that ended in the window.
    pub records: u64,
    /// The recording under way.
    pub recorder: Option<Recorder>,
    pub probes: Vec<ProbeHealth>,
    /// The overhead ceiling.
    pub ceiling: Ceiling,
    /// Bytes of the rings that were in use when they were emptied (50 times a second), the most since the last
    /// picture, and all; `None` for a recording.
    pub ring_used_bytes: Option<u64>,
    pub ring_bytes: u64,
}

/// The state of the overhead ceiling, in words.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ceiling {
    /// `1 %` of the target's CPU; `None` where none is set.
    pub limit_ratio: Option<f64>,
    /// What hostprof cost in the second before the window's end, of the target's CPU; `None` where not measured.
    pub cost_ratio: Option<f64>,
    /// What is recorded to stay below, in the words of table `shed`; empty where nothing is left out.
    pub shed: String,
}

/// A recording that is being written.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recorder {
    /// The run folder.
    pub run: String,
    /// Whether it stays when the view is left.
    pub kept: bool,
    /// Bytes written, and in the window.
    pub bytes: u64,
    pub window_bytes: u64,
    /// Since it began.
    pub elapsed_ns: u64,
}

/// A probe.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProbeHealth {
    pub name: String,
    pub on: bool,
    /// Why not, and what it could not do.
    pub reason: String,
    /// Records lost in loss intervals that overlap the window, and since the beginning.
    pub dropped: u64,
    pub dropped_in_all: u64,
}

/// One thread, in depth.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ThreadDetail {
    pub tid: Tid,
    /// Its states over the window in equal slices, oldest first.
    pub slices: Vec<Slice>,
    /// Calls it was off the CPU in, most time first.
    pub calls: Vec<Call>,
    /// Who woke it, most often first.
    pub wakers: Vec<Waker>,
    /// Futexes it waited for, most time first.
    pub futexes: Vec<FutexWait>,
}

/// Waits for a futex.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FutexWait {
    pub tgid: Tgid,
    pub address: u64,
    /// Time the thread waited for it in the window.
    pub waited_ns: u64,
    pub waits: u64,
    /// Whether it waits for it at the window's end.
    pub now: bool,
    /// Other threads that waited for it in the window, or do.
    pub others: Vec<Tid>,
}
