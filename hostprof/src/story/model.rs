//! The story as data: part of what `report --json` prints.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    activity::GpuActivity, beside::Beside, findings::Finding, latency::Latencies, served::InFlight,
    tail::Tail, timeline::Timeline,
};
use crate::table::RequestRow;

/// Nanoseconds by state, without zeros.
pub type States = BTreeMap<&'static str, u64>;

/// What requests waited for.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// Who saw the requests.
    pub source: &'static str,
    pub requests: u64,
    /// Those that were in flight when recording ended: told up to then.
    pub unfinished: u64,
    /// How requests' times were put on the recording's clock, by the number of requests.
    pub join_tiers: BTreeMap<&'static str, u64>,
    /// How far they may be off for that, at most; null where it is not known of all.
    pub join_error_max_ns: Option<u64>,
    pub latencies: Latencies,
    /// Requests told in full: one chosen, a typical one, the slowest.
    pub told: Vec<Told>,
    /// The slowest gaps between tokens; null where there are too few.
    pub tail: Option<Tail>,
    /// Most of the slow windows' time first. Empty: nothing that is looked for was found.
    pub findings: Vec<Finding>,
    /// Windows that were set against one another, in words.
    pub compared: Vec<String>,
    /// Why there is no critical path; null where there is one.
    pub path_missing: Option<String>,
    /// The states of each role in each request and each of its phases.
    pub ledger: Vec<RequestLedger>,
    /// The slowest gaps between tokens, longest first, at most 200.
    pub slow_gaps: Vec<GapLedger>,
    /// The threads, for the drawings.
    #[serde(skip)]
    pub threads: Vec<Who>,
    /// All threads and requests over the recording, for a drawing.
    #[serde(skip)]
    pub timeline: Timeline,
}

/// A request's windows.
#[derive(Clone, Debug, Serialize)]
pub struct RequestLedger {
    pub request_id: String,
    /// The request as a whole, then its phases, which tile it.
    pub windows: Vec<WindowAccount>,
}

/// A gap between tokens.
#[derive(Clone, Debug, Serialize)]
pub struct GapLedger {
    pub request_id: String,
    /// Of its first token in the response.
    pub index: u64,
    #[serde(flatten)]
    pub account: WindowAccount,
    /// The critical path by thread and state, most first.
    pub path: Vec<PathPart>,
}

/// A window's account. All threads' states: an engine that batches serves the others in flight with the same time, which
/// nothing divides among them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowAccount {
    /// `request`, `gap`, or a phase: `handover`, `queue`, `prefill`, `decode`, `stream`, `answer`.
    pub kind: &'static str,
    pub start_mono_ns: u64,
    pub end_mono_ns: u64,
    /// Requests in flight.
    pub in_flight: InFlight,
    /// Why nothing is said of it: records were lost. Null where it is.
    pub withheld: Option<String>,
    pub roles: Vec<RoleAccount>,
}

impl WindowAccount {
    /// Its length.
    pub fn len_ns(&self) -> u64 {
        self.end_mono_ns.saturating_sub(self.start_mono_ns)
    }
}

/// The threads of a role in a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RoleAccount {
    /// Null for threads without one.
    pub role: Option<String>,
    pub threads: u64,
    /// What the window has of their lives, together: `states_ns` sums to it.
    pub wall_ns: u64,
    pub states_ns: States,
}

/// A request told in full.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// `chosen`, `typical` or `slowest`.
    pub which: &'static str,
    pub request: RequestRow,
    /// When it ended, or the recording did.
    pub end_mono_ns: u64,
    pub ttft_ns: Option<u64>,
    pub tpot_ns: Option<u64>,
    pub e2e_ns: Option<u64>,
    /// Requests in flight when it arrived, itself not among them.
    pub in_flight_at_arrival: u64,
    /// The engine's own state then, or why it is not known.
    pub engine_at_arrival: Vec<String>,
    pub sub_phases: Vec<SubPhase>,
    pub phases: Vec<ToldPhase>,
    /// The median gap in each eighth of the response, where it has enough.
    pub itl_trend_ns: Vec<u64>,
    pub observations: Vec<String>,
    #[serde(skip)]
    pub timeline: Timeline,
}

/// A part of a request's work.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubPhase {
    /// `queue`, `tokenise`, `schedule`, `cache_lookup`, `prefill`, `prefill_compute`, `decode`, `decode_compute`, `sample`,
    /// `detokenise`, `stream`; `compute` for both where no token was seen.
    pub name: &'static str,
    /// Null where it is not measured.
    pub ns: Option<u64>,
    /// Where the number is from, or why there is none.
    pub source: String,
}

/// A phase told in full.
#[derive(Clone, Debug, Serialize)]
pub struct ToldPhase {
    #[serde(flatten)]
    pub account: WindowAccount,
    /// Each thread, those first that did most other than wait.
    pub threads: Vec<ThreadAccount>,
    /// The critical path by thread and state, most first; sums to the window.
    pub path: Vec<PathPart>,
    /// Who waited for whom on it, most time first.
    pub waited_for: Vec<WaitedFor>,
    /// Episodes over 1 ms of threads on the path, longest first.
    pub episodes: Vec<LongEpisode>,
    /// GPUs in the window, or why not.
    pub gpus: Vec<String>,
    /// What PM sampling counted in it, by GPU; empty where it was not asked for.
    pub gpu_pm: Vec<GpuActivity>,
    pub beside: Beside,
}

/// A thread, as told.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Who {
    pub tid: u32,
    pub comm: String,
    pub role: Option<String>,
}

/// A thread in a window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThreadAccount {
    #[serde(flatten)]
    pub who: Who,
    pub wall_ns: u64,
    pub states_ns: States,
}

/// A thread's time in one state on the critical path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PathPart {
    #[serde(flatten)]
    pub who: Who,
    pub state: &'static str,
    pub ns: u64,
}

/// Waits of one thread that another ended, on the critical path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WaitedFor {
    pub waiter: Who,
    pub waker: Who,
    pub state: &'static str,
    pub times: u64,
    pub blocked_ns: u64,
}

/// An episode off the CPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LongEpisode {
    #[serde(flatten)]
    pub who: Who,
    pub state: &'static str,
    /// The system call; null where there was none.
    pub call: Option<String>,
    pub start_mono_ns: u64,
    /// Until it ran again, of this window.
    pub ns: u64,
    /// Of that, runnable.
    pub runqueue_ns: u64,
    /// Who woke it; null where nobody is known to have.
    pub woken_by: Option<String>,
}
