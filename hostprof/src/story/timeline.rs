//! Threads' states and requests on one time axis, as fine as a drawing shows.

use super::{path::Episodes as _, scene::Scene, served::Served};
use crate::ledger::{Marks, Part, Window};

/// How many steps the axis of one window has.
pub const STEPS: u64 = 1200;
/// How many that of the recording has.
pub const STEPS_WHOLE: u64 = 800;
/// Threads drawn at most, those that did most.
const MOST_THREADS: usize = 24;
/// Requests drawn at most.
const MOST_REQUESTS: usize = 120;

/// A drawing.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    pub start_ns: u64,
    pub end_ns: u64,
    pub lanes: Vec<Lane>,
    /// Threads that are not drawn.
    pub more_threads: usize,
    pub bars: Vec<Bar>,
    pub more_requests: usize,
}

/// A thread.
#[derive(Clone, Debug)]
pub struct Lane {
    pub thread: usize,
    /// What it mostly did from when to when.
    pub spans: Vec<(u64, u64, Part)>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Bar {
    pub id: String,
    pub start_ns: u64,
    pub first_token_ns: Option<u64>,
    pub end_ns: u64,
    pub told: bool,
}

/// The edges of the steps of a window.
pub fn edges(window: Window, steps: u64) -> Vec<u64> {
    let length = u128::from(window.end_ns.saturating_sub(window.start_ns));
    let at = |step: u64| window.start_ns + (length * u128::from(step) / u128::from(steps)) as u64;
    let mut edges: Vec<u64> = (0..=steps).map(at).collect();
    edges.dedup();
    edges
}

/// A window of which the scene holds all episodes.
pub fn of_scene(scene: &Scene, served: &Served, told: &[usize], window: Window) -> Timeline {
    let edges = edges(window, STEPS);
    let lanes = (0..scene.threads()).map(|thread| {
        let mut steps: Vec<Vec<(Part, u64)>> = vec![Vec::new(); edges.len().saturating_sub(1)];
        pieces(scene, thread, window, |part, from, to| {
            let first = edges.partition_point(|&edge| edge <= from).saturating_sub(1);
            for (step, edge) in steps.iter_mut().zip(edges.windows(2)).skip(first) {
                if edge[0] >= to {
                    break;
                }
                add(step, part, to.min(edge[1]) - from.max(edge[0]));
            }
        });
        (thread, steps)
    });
    timeline(lanes, &edges, served, told, window)
}

/// A window whose steps' edges were among the instants of the marks.
pub fn of_marks(marks: &Marks, served: &Served, told: &[usize], window: Window) -> Timeline {
    let edges = edges(window, STEPS_WHOLE);
    let lanes = (0..marks.threads()).map(|thread| {
        let window = |edge: &[u64]| Window { start_ns: edge[0], end_ns: edge[1] };
        (thread, edges.windows(2).map(|edge| marks.window(thread, window(edge))).collect())
    });
    timeline(lanes, &edges, served, told, window)
}

/// A thread's stretches in a window, in the order of time.
fn pieces(scene: &Scene, thread: usize, window: Window, mut each: impl FnMut(Part, u64, u64)) {
    let (begin_ns, end_ns) = scene.life(thread);
    let (from, to) = (begin_ns.max(window.start_ns), end_ns.min(window.end_ns));
    let mut at = from;
    let mut emit = |part, until: u64, at: &mut u64| {
        let until = until.min(to);
        if until > *at {
            each(part, *at, until);
            *at = until;
        }
    };
    for episode in scene.within(thread, window) {
        emit(Part::OnCpu, episode.start_ns, &mut at);
        emit(Part::Off(episode.state), episode.wake_ns, &mut at);
        emit(episode.runnable(), episode.end_ns, &mut at);
    }
    emit(Part::OnCpu, to, &mut at);
}

fn add(step: &mut Vec<(Part, u64)>, part: Part, ns: u64) {
    match step.iter_mut().find(|(of, _)| *of == part) {
        Some((_, sum)) => *sum += ns,
        None => step.push((part, ns)),
    }
}

fn timeline(
    lanes: impl Iterator<Item = (usize, Vec<Vec<(Part, u64)>>)>,
    edges: &[u64],
    served: &Served,
    told: &[usize],
    window: Window,
) -> Timeline {
    let active = |steps: &[Vec<(Part, u64)>]| {
        let busy = |part: Part| match part {
            Part::OnCpu | Part::GpuSync => true,
            Part::Off(state) => state.is_runnable(),
            Part::Unattributed => false,
        };
        steps.iter().flatten().filter(|(part, _)| busy(*part)).map(|(_, ns)| ns).sum::<u64>()
    };
    let mut lanes: Vec<_> = lanes.map(|(thread, steps)| (active(&steps), thread, steps)).collect();
    lanes.sort_by_key(|(active, thread, _)| (std::cmp::Reverse(*active), *thread));
    let more_threads = lanes.len().saturating_sub(MOST_THREADS);
    lanes.truncate(MOST_THREADS);
    let lanes = lanes.into_iter().map(|(_, thread, steps)| {
        let mut spans: Vec<(u64, u64, Part)> = Vec::new();
        for (step, edge) in steps.iter().zip(edges.windows(2)) {
            let Some(&(part, _)) = step.iter().max_by_key(|(_, ns)| *ns) else { continue };
            match spans.last_mut() {
                Some((_, end, before)) if *before == part && *end == edge[0] => *end = edge[1],
                _ => spans.push((edge[0], edge[1], part)),
            }
        }
        Lane { thread, spans }
    });
    let within = |request: &super::served::Request| {
        request.row.arrival_mono_ns < window.end_ns && request.end_ns > window.start_ns
    };
    let mut bars: Vec<(usize, Bar)> = served
        .requests
        .iter()
        .enumerate()
        .filter(|(_, request)| within(request))
        .map(|(at, request)| {
            let bar = Bar {
                id: request.row.request_id.clone(),
                start_ns: request.row.arrival_mono_ns,
                first_token_ns: request.row.first_token_mono_ns,
                end_ns: request.end_ns,
                told: told.contains(&at),
            };
            (at, bar)
        })
        .collect();
    let more_requests = bars.len().saturating_sub(MOST_REQUESTS);
    // Those told stay, and of the others the longest.
    bars.sort_by_key(|(at, bar)| (!bar.told, std::cmp::Reverse(bar.end_ns - bar.start_ns), *at));
    bars.truncate(MOST_REQUESTS);
    bars.sort_by_key(|(at, _)| *at);
    Timeline {
        start_ns: window.start_ns,
        end_ns: window.end_ns,
        lanes: lanes.collect(),
        more_threads,
        bars: bars.into_iter().map(|(_, bar)| bar).collect(),
        more_requests,
    }
}
