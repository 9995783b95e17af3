//! The story of requests: what each one waited for, phase by phase, and what the slow ones had that the typical ones had
//! not.
//!
//! Reads what was served, then each stretch of each thread's time once, as the ledger hands them out; yields a
//! [`Story`]. It attributes time; what caused it an experiment has to show. Memory grows with requests and tokens, and with
//! the episodes of the windows looked into, not with the recording.

mod activity;
mod beside;
mod bubbles;
mod facts;
mod findings;
mod latency;
mod model;
mod path;
mod phases;
mod pick;
mod request;
mod scene;
mod scope;
mod served;
mod steps;
mod tail;
mod tell;
mod timeline;

pub use self::{
    activity::{Activity, Change, GpuActivity, PhaseActivity, PhaseFold},
    beside::{Beside, Samples},
    bubbles::{
        BlamedOn, Bubble, Bubbles, Calls, Evidence, GpuBubbles, IdleAccount, Launcher, Overlap, Streams,
        WaitedOn,
    },
    facts::{Contrast, Facts},
    findings::{Cause, Finding, Names, RULES, Rule, findings},
    latency::{Group, Latencies},
    model::{
        GapLedger, LongEpisode, PathPart, RequestLedger, RoleAccount, States, Story, SubPhase, ThreadAccount,
        Told, ToldPhase, WaitedFor, Who, WindowAccount,
    },
    path::{Episodes, Handoff, On, Path, Step, path},
    phases::phases,
    scene::{Scene, Waker},
    scope::Scope,
    served::{Flight, InFlight, Request, Served, ServedFold},
    tail::{Carried, Tail, tail},
    timeline::{Bar, Lane, Timeline},
};
use self::{
    pick::{Pick, Picked, Sets, pick},
    steps::Steps,
    timeline::STEPS_WHOLE,
};
use crate::{
    ledger::{Lives, Marks, Piece, Window},
    request::Goodput,
    table::{GpuSampleRow, OffCpuRow, StepRow, ThreadRow},
};

/// Instants of requests beyond which only those looked into are accounted for.
const MOST_INSTANTS: usize = 1 << 20;

/// What to tell.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A request to tell in full.
    pub request: Option<String>,
    /// Targets of the service.
    pub goodput: Goodput,
    /// The thread that gives GPUs their work, where it is to be another than the one found.
    pub launcher: Option<u32>,
}

/// What is known from elsewhere.
#[derive(Default)]
pub struct Around {
    pub samples: Samples,
    /// In the order of time.
    pub gpus: Vec<GpuSampleRow>,
    /// Why there are no samples of GPUs.
    pub gpu_missing: Option<String>,
    /// What the engine told of itself at a time: `(when, what)`, in the order of time.
    pub engine: Vec<(u64, String)>,
    /// Why it told nothing.
    pub engine_missing: String,
    /// When records were lost: sorted, apart.
    pub lost: Vec<(u64, u64)>,
    /// When short episodes were counted and not recorded: from the first to the last.
    pub counted: Option<(u64, u64)>,
}

/// A story under way.
pub struct Telling<'a> {
    threads: &'a [ThreadRow],
    served: Served,
    picked: Picked,
    whole: Window,
    /// Whether every request has its windows among the instants.
    all: bool,
    marks: Marks,
    scene: Scene,
    /// In the windows of requests told in full.
    steps: Steps,
    goodput: Goodput,
}

impl<'a> Telling<'a> {
    /// Begins; `whole` is the recording.
    pub fn new(threads: &'a [ThreadRow], served: Served, whole: Window, options: &Options) -> Self {
        let picked = pick(&served, options.request.as_deref());
        let looked_into: Vec<Window> = windows_of(&served, &picked).collect();
        let of_all: Vec<u64> = served.requests.iter().flat_map(edges_of).collect();
        let all = of_all.len() <= MOST_INSTANTS;
        let mut instants = if all { of_all } else { Vec::new() };
        instants.extend(looked_into.iter().flat_map(|window| [window.start_ns, window.end_ns]));
        instants.extend(picked.told.iter().flat_map(|(_, at)| edges_of(&served.requests[*at])));
        instants.extend(timeline::edges(whole, STEPS_WHOLE));
        let told = picked.told.iter().map(|(_, at)| served.requests[*at].window()).collect();
        Self {
            threads,
            picked,
            whole,
            all,
            marks: Marks::new(instants, threads.len()),
            scene: Scene::new(threads, looked_into),
            steps: Steps::new(told),
            served,
            goodput: options.goodput,
        }
    }

    /// When requests were in flight.
    pub fn scope(&self) -> Scope {
        Scope::of(&self.served, self.whole)
    }

    /// Takes a stretch of a thread's time, in the order of the thread's time.
    pub fn piece(&mut self, piece: Piece) {
        self.marks.add(piece);
    }

    /// Takes a row of a thread, in file order.
    pub fn off_cpu(&mut self, row: &OffCpuRow, thread: usize, lives: &Lives) {
        self.scene.off_cpu(row, thread, lives);
    }

    /// Takes a call of the engine's.
    pub fn step(&mut self, row: &StepRow) {
        self.steps.step(row);
    }
}

/// All windows that are looked into, whose episodes are needed.
fn windows_of<'a>(served: &'a Served, picked: &'a Picked) -> impl Iterator<Item = Window> + 'a {
    let told = picked.told.iter().map(|(_, at)| served.requests[*at].window());
    let of = |sets: &'a Sets| sets.slow.iter().chain(&sets.typical).map(|pick: &Pick| pick.window);
    told.chain(picked.kinds().into_iter().flat_map(move |(_, sets)| of(sets)))
}

fn edges_of(request: &Request) -> Vec<u64> {
    let whole = request.window();
    let mut edges = vec![whole.start_ns, whole.end_ns];
    edges.extend(phases(request).into_iter().map(|(_, window)| window.end_ns));
    edges
}
