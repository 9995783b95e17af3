//! One request told in full.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    Around, Telling,
    model::{LongEpisode, PathPart, RoleAccount, States, ThreadAccount, Told, ToldPhase, WaitedFor, Who},
    path::Path,
    phases::{phases, sub_phases},
    scene::Waker,
    served::Request,
    timeline,
};
use crate::{
    humane::{duration, percent, share},
    ledger::{Gpm, Lives, Window, gpm},
    probe::syscalls,
    request::itl_ns,
    table::{GpuSampleRow, State, Word as _},
};

/// From which length on an episode is told by name, and how many of a phase at most.
const LONG_NS: u64 = 1_000_000;
const MOST_EPISODES: usize = 20;
/// Waits of pairs told of a phase at most.
const MOST_PAIRS: usize = 12;
/// Into so many parts a response is cut for its trend, of so many gaps each at least.
const TREND: usize = 8;
const TREND_GAPS: usize = 2;

impl Telling<'_> {
    pub(super) fn tell(&self, which: &'static str, at: usize, lives: &Lives, around: &Around) -> Told {
        let request = &self.served.requests[at];
        let latencies = request.latencies();
        let arrival_ns = request.row.arrival_mono_ns;
        let phases: Vec<ToldPhase> = phases(request)
            .into_iter()
            .map(|(kind, window)| self.phase(kind, window, request, lives, around))
            .collect();
        let until_first = |role: &str| {
            let mut states = States::new();
            for phase in phases.iter().filter(|phase| !matches!(phase.account.kind, "decode" | "stream")) {
                let of = |of: &&RoleAccount| of.role.as_deref() == Some(role);
                for (state, ns) in &phase.account.roles.iter().find(of)?.states_ns {
                    *states.entry(*state).or_default() += ns;
                }
            }
            (!states.is_empty()).then_some(states)
        };
        let before = around.engine.partition_point(|(at, _)| *at <= arrival_ns);
        let engine_at_arrival = match before.checked_sub(1).map(|at| &around.engine[at]) {
            Some((at, told)) => vec![format!("{told} ({} before)", duration(arrival_ns - at))],
            None if around.engine.is_empty() => vec![format!("not measured: {}", around.engine_missing)],
            None => vec!["not measured: it arrived before the first scrape".to_owned()],
        };
        let itl_trend_ns = trend(&request.tokens);
        Told {
            which,
            request: request.row.clone(),
            end_mono_ns: request.end_ns,
            ttft_ns: latencies.ttft_ns,
            tpot_ns: latencies.tpot_ns,
            e2e_ns: latencies.e2e_ns,
            in_flight_at_arrival: self.served.flight.at(arrival_ns).saturating_sub(1),
            engine_at_arrival,
            sub_phases: sub_phases(request, &self.steps, until_first),
            observations: observations(&phases, &itl_trend_ns),
            phases,
            itl_trend_ns,
            timeline: timeline::of_scene(&self.scene, &self.served, &[at], request.window()),
        }
    }

    fn phase(
        &self,
        kind: &'static str,
        window: Window,
        request: &Request,
        lives: &Lives,
        around: &Around,
    ) -> ToldPhase {
        let account = self.account(kind, window, around);
        let path = self.path(request, window, lives).filter(|_| account.withheld.is_none());
        let facts = self.facts(request, window, lives, around);
        let mut threads: Vec<ThreadAccount> = facts
            .threads
            .iter()
            .filter(|_| account.withheld.is_none())
            .map(|(thread, parts)| ThreadAccount {
                who: self.who(*thread),
                wall_ns: parts.iter().map(|(_, ns)| ns).sum(),
                states_ns: parts.iter().map(|(part, ns)| (part.word(), *ns)).collect(),
            })
            .collect();
        threads.sort_by_key(|thread| Reverse(wanted_ns(&thread.states_ns)));
        ToldPhase {
            threads,
            path: path.as_ref().map(|path| self.path_parts(path)).unwrap_or_default(),
            waited_for: path.as_ref().map(|path| self.waited_for(path)).unwrap_or_default(),
            episodes: path.as_ref().map(|path| self.episodes(path, window)).unwrap_or_default(),
            gpus: gpus(around, window),
            gpu_pm: Vec::new(),
            beside: facts.beside,
            account,
        }
    }

    fn waited_for(&self, path: &Path) -> Vec<WaitedFor> {
        let mut pairs: BTreeMap<(usize, usize, &'static str), (u64, u64)> = BTreeMap::new();
        for handoff in &path.handoffs {
            let (times, ns) = pairs.entry((handoff.waiter, handoff.waker, handoff.state.word())).or_default();
            *times += 1;
            *ns += handoff.blocked_ns;
        }
        let mut pairs: Vec<WaitedFor> = pairs
            .into_iter()
            .map(|((waiter, waker, state), (times, blocked_ns))| WaitedFor {
                waiter: self.who(waiter),
                waker: self.who(waker),
                state,
                times,
                blocked_ns,
            })
            .collect();
        pairs.sort_by_key(|pair| Reverse(pair.blocked_ns));
        pairs.truncate(MOST_PAIRS);
        pairs
    }

    /// Long episodes of the threads on a path.
    fn episodes(&self, path: &Path, window: Window) -> Vec<LongEpisode> {
        let mut threads: Vec<usize> = path.steps.iter().map(|step| step.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        let mut long: Vec<LongEpisode> = threads
            .into_iter()
            .flat_map(|thread| self.scene.within(thread, window).map(move |episode| (thread, episode)))
            .filter_map(|(thread, episode)| {
                let start_ns = episode.start_ns.max(window.start_ns);
                let ns = episode.end_ns.min(window.end_ns).saturating_sub(start_ns);
                let woken_by = match episode.waker {
                    Waker::Thread(waker) => Some(self.name(waker)),
                    Waker::Stranger(tid) => Some(format!("thread {tid}, not recorded")),
                    Waker::Interrupt => Some("an interrupt".to_owned()),
                    Waker::Unknown => None,
                };
                (ns >= LONG_NS).then(|| LongEpisode {
                    who: self.who(thread),
                    state: episode.state.word(),
                    call: episode.syscall_nr.map(|nr| syscalls::name(nr).into_owned()),
                    start_mono_ns: start_ns,
                    ns,
                    runqueue_ns: episode
                        .end_ns
                        .min(window.end_ns)
                        .saturating_sub(episode.wake_ns.max(window.start_ns)),
                    woken_by,
                })
            })
            .collect();
        long.sort_by_key(|episode| (Reverse(episode.ns), episode.start_mono_ns));
        long.truncate(MOST_EPISODES);
        long
    }
}

/// Time in which a thread ran or wanted to.
fn wanted_ns(states: &States) -> u64 {
    let wanted = ["on_cpu", State::Runqueue.word(), State::Preempted.word(), State::Throttled.word()];
    wanted.iter().filter_map(|state| states.get(state)).sum()
}

/// The median gap in each part of a response.
fn trend(tokens: &[u64]) -> Vec<u64> {
    let mut gaps: Vec<u64> = itl_ns(tokens).collect();
    if gaps.len() < TREND * TREND_GAPS {
        return Vec::new();
    }
    let length = gaps.len().div_ceil(TREND);
    gaps.chunks_mut(length)
        .map(|part| {
            part.sort_unstable();
            part[part.len() / 2]
        })
        .collect()
}

/// A value of a sample, by its name.
type Column = (&'static str, fn(&GpuSampleRow) -> Option<f64>);

fn gpus(around: &Around, window: Window) -> Vec<String> {
    let mut units: Vec<(u32, Option<u32>, Option<u32>)> =
        around.gpus.iter().map(|row| (row.gpu, row.gpu_instance, row.compute_instance)).collect();
    units.sort_unstable();
    units.dedup();
    let of_target = |unit: &(u32, Option<u32>, Option<u32>)| {
        around.gpus.iter().any(|row| is_of(row, *unit) && row.target_by.is_some())
    };
    if units.iter().any(of_target) {
        units.retain(of_target);
    }
    if units.is_empty() {
        let why = around.gpu_missing.as_deref().unwrap_or("the machine has no GPU that was sampled");
        return vec![format!("not measured: {why}")];
    }
    let columns: [Column; 4] = [
        ("SM", |row| row.sm_util),
        ("occupancy", |row| row.sm_occupancy),
        ("tensor", |row| row.tensor_util),
        ("HBM", |row| row.dram_util),
    ];
    units
        .into_iter()
        .map(|unit| {
            let rows = || around.gpus.iter().filter(|row| is_of(row, unit));
            let told: Vec<String> = columns
                .iter()
                .map(|(name, column)| match gpm(rows(), (window.start_ns, window.end_ns), column) {
                    Gpm::NotMeasured => format!("{name} not measured: not offered"),
                    Gpm::NotResolvable => format!("{name} not resolvable in {}", duration(len(window))),
                    Gpm::Of { mean, max } => {
                        format!("{name} {} on average, {} at most", percent(mean), percent(max))
                    }
                })
                .collect();
            let within = rows().filter(|row| (window.start_ns..=window.end_ns).contains(&row.ts_mono_ns));
            let clocks: Vec<u32> = within.filter_map(|row| row.sm_clock_mhz).collect();
            let clock = match (clocks.iter().min(), clocks.iter().max()) {
                (Some(least), Some(most)) => format!(" · SM clock {least} to {most} MHz"),
                _ => String::new(),
            };
            format!("GPU {}: {}{clock}", unit.0, told.join(" · "))
        })
        .collect()
}

fn is_of(row: &GpuSampleRow, unit: (u32, Option<u32>, Option<u32>)) -> bool {
    (row.gpu, row.gpu_instance, row.compute_instance) == unit
}

fn len(window: Window) -> u64 {
    window.end_ns.saturating_sub(window.start_ns)
}

/// The thread that a path was most in, on a CPU, where it called `sched_yield` meanwhile.
fn spins(path: &[PathPart]) -> Option<&Who> {
    let most = path.first().filter(|most| most.state == "on_cpu")?;
    let yields = |part: &PathPart| part.who == most.who && part.state == State::Yield.word();
    path.iter().any(yields).then_some(&most.who)
}

/// What stands out, each with what it rests on.
fn observations(phases: &[ToldPhase], trend: &[u64]) -> Vec<String> {
    let mut said = Vec::new();
    for phase in phases {
        let length = phase.account.len_ns();
        if let Some(most) = phase.path.first() {
            let who = most.who.role.as_deref().unwrap_or(&most.who.comm);
            said.push(format!(
                "{}: {} of it was {} {} in {} on the critical path",
                phase.account.kind,
                share(most.ns, length),
                who,
                most.who.tid,
                most.state,
            ));
        }
        if let Some(spins) = spins(&phase.path) {
            let who = spins.role.as_deref().unwrap_or(&spins.comm);
            said.push(format!(
                "{}: {who} {} spins in sched_yield: its time on a CPU may be a wait for another thread, which no wakeup tells",
                phase.account.kind, spins.tid,
            ));
        }
        let held: u64 = phase
            .path
            .iter()
            .filter(|part| ["preempted", "runqueue", "throttled"].contains(&part.state))
            .map(|part| part.ns)
            .sum();
        if held * 10 >= length && held > LONG_NS {
            said.push(format!(
                "{}: for {} of it what was waited for could run and did not ({})",
                phase.account.kind,
                share(held, length),
                duration(held),
            ));
        }
    }
    let of = |kind: &str| phases.iter().find(|phase| phase.account.kind == kind);
    if let (Some(prefill), Some(decode)) = (of("prefill"), of("decode")) {
        let shares = |phase: &ToldPhase| {
            let mut states: BTreeMap<&str, u64> = BTreeMap::new();
            for part in &phase.path {
                *states.entry(part.state).or_default() += part.ns;
            }
            let mut states: Vec<_> = states.into_iter().collect();
            states.sort_by_key(|(_, ns)| Reverse(*ns));
            let told = states
                .iter()
                .take(3)
                .map(|(state, ns)| format!("{state} {}", share(*ns, phase.account.len_ns())));
            told.collect::<Vec<_>>().join(", ")
        };
        if !prefill.path.is_empty() && !decode.path.is_empty() {
            said.push(format!("prefill → decode: critical path {} → {}", shares(prefill), shares(decode)));
        }
    }
    if let (Some(first), Some(last)) = (trend.first(), trend.last()) {
        said.push(format!(
            "decode: median gap {} in the first eighth of the response, {} in the last",
            duration(*first),
            duration(*last)
        ));
    }
    said
}
