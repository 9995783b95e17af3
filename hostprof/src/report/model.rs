//! The report as data: what `--json` prints and the text shows. Its shape is a contract: fields are added,
//! never renamed; a change of meaning raises `schema_version`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    cuda::CudaCall, gpu::Gpus, host::Host, nvidia::NvidiaCalls, requests::Requests, resemblance::Resemblance,
    shed::Shed, steps::StepCalls,
};
use crate::{
    check::Loss,
    lengths::{Bucket, Latency},
    story::{GpuBubbles, Story},
};

/// Nanoseconds, or counts, by state. Holds no zeros, but always `on_cpu` and `runqueue` where it holds times.
pub type ByState = BTreeMap<&'static str, u64>;

/// The story of a recording.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`crate::table::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What was recorded, where and how.
    pub run: RunHeader,
    /// Length of the recording.
    pub wall_ns: u64,
    /// Every thread, those first that did most other than wait for work.
    pub threads: Vec<ThreadShare>,
    /// The same by role; threads without one together, last.
    pub roles: Vec<GroupShare>,
    /// The same by process.
    pub processes: Vec<ProcessShare>,
    /// The same of all threads.
    pub totals: Totals,
    /// Off-CPU episodes by state, most time first.
    pub waits: Vec<Wait>,
    /// Threads that were off the CPU all along, in one wait.
    pub never_ran: Vec<NeverRan>,
    /// Futexes waited for, most time first.
    pub futexes: Vec<Futex>,
    /// Waits for futexes beyond the number kept.
    pub futexes_other: OtherFutexes,
    /// From runnable to running, of threads that were woken.
    pub runqueue: Latency,
    /// Context switches.
    pub switches: Switches,
    /// Who woke whom, most wakeups first.
    pub wakers: Vec<WakerPair>,
    /// Wakeups by pairs beyond the number kept.
    pub wakers_other: u64,
    /// System calls by name, most time first; those that were only counted last. Empty without their probes.
    pub system_calls: Vec<SystemCall>,
    /// Calls of CUDA's driver library by name, most time first. Empty without their probe.
    pub cuda_calls: Vec<CudaCall>,
    /// Calls of the engine's own functions: batches first, most time first. Empty without their probe.
    pub steps: Vec<StepCalls>,
    /// The NVIDIA driver's calls and errors; null where there are none.
    pub nvidia: Option<NvidiaCalls>,
    /// Page faults.
    pub page_faults: PageFaults,
    /// Requests, by who saw them. Empty where there are none.
    pub requests: Vec<Requests>,
    /// What requests waited for; null where there are none.
    pub story: Option<Story>,
    /// Where the time went in which a GPU was idle while requests were in flight. Empty without samples of probe `gpu_pm`.
    pub bubbles: Vec<GpuBubbles>,
    /// Run-queue latency of every task of the machine; null where not recorded.
    pub host_runqueue: Option<HostRunqueue>,
    /// The machine, from its samples; null where none were taken.
    pub host: Option<Host>,
    /// What was left out to keep hostprof's cost below a ceiling; null where none was set.
    pub shed: Option<Shed>,
    /// GPUs, from their samples; null where the machine has none.
    pub gpus: Option<Gpus>,
    /// The calibration pattern that it resembles most; null where its threads hardly ran.
    pub resembles: Option<Resemblance>,
    /// What was lost.
    pub loss: Loss,
    /// How far to trust it.
    pub quality: Quality,
}

/// A recording, from its `config.json`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunHeader {
    /// The run folder's name.
    pub name: String,
    /// What was recorded, in words: `--pid 4711 (llama-server)`.
    pub target: String,
    /// The engine it was taken for; null if none.
    pub engine: Option<String>,
    /// The host's name.
    pub host: String,
    /// The kernel's release.
    pub kernel: String,
    /// The NVIDIA driver's version; null where none is loaded.
    pub driver: Option<String>,
    /// CPUs online; null where not known.
    pub cpus: Option<u32>,
    /// When it began, for people: local time with its offset.
    pub started: String,
    /// When it began, `CLOCK_MONOTONIC`; null where not known.
    pub started_mono_ns: Option<u64>,
    /// When it ended, `CLOCK_MONOTONIC`; null for one that was killed or goes on.
    pub ended_mono_ns: Option<u64>,
    /// Why it ended; null as above.
    pub end_reason: Option<String>,
    /// Probes that did not run, and why.
    pub probes_off: Vec<ProbeOff>,
    /// hostprof's own CPU time; null until the end.
    pub own_cpu_ns: Option<u64>,
    /// Its greatest resident set; null until the end.
    pub own_max_rss_bytes: Option<u64>,
}

/// A probe that did not run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProbeOff {
    pub name: String,
    pub reason: String,
}

/// A thread's account.
#[derive(Clone, Debug, Serialize)]
pub struct ThreadShare {
    pub tid: u32,
    pub tgid: u32,
    pub comm: String,
    pub role: Option<String>,
    pub begin_mono_ns: u64,
    pub wall_ns: u64,
    pub states_ns: ByState,
    pub episodes: ByState,
    /// Voluntary switches between the kernel's first and last reading; null where it was not read, as below.
    pub nvcsw: Option<u64>,
    pub nivcsw: Option<u64>,
    pub min_flt: Option<u64>,
    pub maj_flt: Option<u64>,
    pub unattributed_ns: u64,
}

/// The account of threads that share a role.
#[derive(Clone, Debug, Serialize)]
pub struct GroupShare {
    /// The role; null for threads without.
    pub role: Option<String>,
    pub threads: usize,
    /// The threads' wall clocks together.
    pub wall_ns: u64,
    pub states_ns: ByState,
    pub episodes: ByState,
    pub unattributed_ns: u64,
}

/// The account of a process.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessShare {
    pub tgid: u32,
    /// The main thread's name, or any thread's where that was not seen.
    pub comm: String,
    pub exe: Option<String>,
    pub threads: usize,
    pub wall_ns: u64,
    pub states_ns: ByState,
    pub episodes: ByState,
    pub unattributed_ns: u64,
}

/// The account of all threads.
#[derive(Clone, Debug, Serialize)]
pub struct Totals {
    pub wall_ns: u64,
    pub states_ns: ByState,
    pub episodes: ByState,
    pub unattributed_ns: u64,
}

/// Off-CPU episodes in one state.
#[derive(Clone, Debug, Serialize)]
pub struct Wait {
    pub state: &'static str,
    pub total_ns: u64,
    /// Episodes that were counted and not recorded: in `total_ns`, not among those whose lengths are told.
    pub counted: u64,
    /// Episodes open when recording began or ended: they were longer.
    pub open: u64,
    #[serde(flatten)]
    pub latency: Latency,
}

/// A thread that was off the CPU from before its recording began to its end, in one wait. An idle pool is,
/// and so is a deadlock.
#[derive(Clone, Debug, Serialize)]
pub struct NeverRan {
    pub tid: u32,
    pub tgid: u32,
    pub comm: String,
    pub state: &'static str,
    pub syscall_nr: Option<i32>,
    /// The call's first argument, in hexadecimal: a futex's address, an fd.
    pub arg0: Option<String>,
}

/// A thread's part in something counted.
#[derive(Clone, Debug, Serialize)]
pub struct Participant {
    /// Null for what is no thread, and for threads beyond the number kept.
    pub tid: Option<u32>,
    /// Its name; for others what they are: `interrupt`, `not recorded`, `others`.
    pub comm: String,
    pub count: u64,
}

/// Waits for one futex.
#[derive(Clone, Debug, Serialize)]
pub struct Futex {
    pub tgid: u32,
    pub address: String,
    pub waits: u64,
    pub total_ns: u64,
    /// Waits open at the end of the recording.
    pub open_end: u64,
    /// Who waited, how often.
    pub waiters: Vec<Participant>,
    /// Who ended a wait, how often.
    pub wakers: Vec<Participant>,
}

/// Waits for futexes beyond the number kept.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OtherFutexes {
    pub waits: u64,
    pub total_ns: u64,
}

/// Context switches.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Switches {
    pub voluntary: u64,
    pub involuntary: u64,
    /// How long threads stayed on a CPU at a time.
    pub on_cpu: Latency,
}

/// Wakeups of one thread by another.
#[derive(Clone, Debug, Serialize)]
pub struct WakerPair {
    /// Null for an interrupt.
    pub waker_tid: Option<u32>,
    pub waker_comm: String,
    pub tid: u32,
    pub comm: String,
    pub wakeups: u64,
    /// What the woken thread then waited for a CPU.
    pub runqueue_ns: u64,
}

/// System calls of one name.
#[derive(Clone, Debug, Serialize)]
pub struct SystemCall {
    /// The call's; for an ioctl on a selected device the request's, or its number in hexadecimal; for an RM control the
    /// command's.
    pub name: String,
    /// The device; null for other calls.
    pub device: Option<String>,
    /// Counted in the kernel (`syscall_count`), with percentiles the upper ends of their buckets; else traced
    /// one by one.
    pub counted: bool,
    pub total_ns: u64,
    /// Of that, time off the CPU; null where only counted.
    pub off_cpu_ns: Option<u64>,
    /// Calls that returned an error, or that the NVIDIA driver answered with one; null where only counted.
    pub errors: Option<u64>,
    #[serde(flatten)]
    pub latency: Latency,
}

/// Page faults.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PageFaults {
    pub minor: u64,
    pub major: u64,
    /// Threads that had any, most first.
    pub threads: Vec<ThreadFaults>,
}

/// A thread's page faults.
#[derive(Clone, Debug, Serialize)]
pub struct ThreadFaults {
    pub tid: u32,
    pub comm: String,
    pub minor: u64,
    pub major: u64,
}

/// Run-queue latency of the machine.
#[derive(Clone, Debug, Serialize)]
pub struct HostRunqueue {
    /// Of the waits that have a length; percentiles are the upper ends of their buckets.
    #[serde(flatten)]
    pub latency: Latency,
    /// Waits to which the kernel gives no length: most were wakeups onto an idle CPU, at which it does not
    /// read its clock anew.
    pub without_length: u64,
    /// Those with a length.
    pub buckets: Vec<Bucket>,
}

/// How far to trust a report.
#[derive(Clone, Debug, Serialize)]
pub struct Quality {
    /// Nothing was lost.
    pub lossless: bool,
    /// Unattributed time over all threads' wall clock.
    pub unattributed_ratio: f64,
    /// Rows of tids that have no thread row: in no account.
    pub rows_without_thread: u64,
    /// Probes that did not run.
    pub probes_off: Vec<ProbeOff>,
    pub own_cpu_ns: Option<u64>,
    pub own_max_rss_bytes: Option<u64>,
}
