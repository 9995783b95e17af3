//! From what was read to the story.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    Around, Contrast, Facts, Names, Telling,
    findings::findings,
    latency::Latencies,
    model::{
        LongEpisode, PathPart, RequestLedger, RoleAccount, States, Story, ThreadAccount, Told, ToldPhase,
        WaitedFor, Who, WindowAccount,
    },
    path::{Path, path},
    phases::{phases, sub_phases},
    pick::{Pick, Sets},
    scene::Waker,
    served::Request,
    tail::tail,
    timeline,
};
use crate::{
    humane::{duration, percent, plural, share},
    ledger::{Gpm, Lives, Window, gpm},
    probe::syscalls,
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
    /// Ends the story. `lives` tells threads by tid and time.
    pub fn finish(mut self, lives: &Lives, around: &Around) -> Story {
        self.marks.finish();
        let told: Vec<usize> = self.picked.told.iter().map(|(_, at)| *at).collect();
        let first_token = self.contrast(&self.picked.first_token, lives, around);
        let gaps = self.contrast(&self.picked.gaps, lives, around);
        let name = |thread: usize| self.name(thread);
        let names = Names { scene: &self.scene, name: &name };
        let mut found = findings("until the first token", &first_token, &names);
        found.extend(findings("gaps between tokens", &gaps, &names));
        found.sort_by(|one, other| {
            let share = |of: &super::Finding| of.slow_ns as f64 / of.slow_length_ns.max(1) as f64;
            share(other).total_cmp(&share(one))
        });
        let role = |thread: usize| self.role(thread);
        Story {
            source: self.served.source.word(),
            requests: self.served.requests.len() as u64,
            unfinished: self.served.requests.iter().filter(|of| of.row.end_mono_ns.is_none()).count() as u64,
            latencies: Latencies::of(&self.served, &self.goodput),
            told: self.picked.told.iter().map(|&(which, at)| self.tell(which, at, lives, around)).collect(),
            tail: tail(&gaps, role),
            findings: found,
            compared: self.compared(&first_token, &gaps),
            path_missing: self.path_missing(lives),
            ledger: self.ledger(around),
            timeline: timeline::of_marks(&self.marks, &self.served, &told, self.whole),
            threads: (0..self.threads.len()).map(|thread| self.who(thread)).collect(),
        }
    }

    fn compared(&self, first_token: &Contrast, gaps: &Contrast) -> Vec<String> {
        let of = |what: &str, picked: &Sets, of: &Contrast| {
            let withheld = picked.slow.len() + picked.typical.len() - of.slow.len() - of.typical.len();
            let lost = match withheld {
                0 => String::new(),
                more => format!("; {} withheld, since records were lost in them", plural(more as u64, "window")),
            };
            match of.slow.len() {
                0 => format!("{what}: {} are too few to compare{lost}", plural(of.all as u64, "window")),
                slow => format!(
                    "{what}: the slowest {slow} of {} beside {} about the median{lost}",
                    of.all,
                    of.typical.len()
                ),
            }
        };
        vec![
            of("until the first token", &self.picked.first_token, first_token),
            of("gaps between tokens", &self.picked.gaps, gaps),
        ]
    }

    fn path_missing(&self, lives: &Lives) -> Option<String> {
        let any = self.served.requests.iter().any(|request| self.served_by(request, lives).is_some());
        (!any).then(|| {
            format!(
                "source {} does not tell which thread answered (record with --probe auto,http)",
                self.served.source
            )
        })
    }

    /// The thread that read a request: servers of every kind known answer from the thread that reads.
    fn served_by(&self, request: &Request, lives: &Lives) -> Option<usize> {
        let at = request.row.send_mono_ns.unwrap_or(request.row.arrival_mono_ns);
        lives.at(request.row.tid?, at, at)
    }

    fn contrast(&self, sets: &Sets, lives: &Lives, around: &Around) -> Contrast {
        let facts = |picks: &[Pick]| {
            let whole = picks.iter().filter(|pick| withheld(around, pick.window).is_none());
            whole
                .map(|pick| {
                    let request = &self.served.requests[pick.request];
                    self.facts(request, pick.window, lives, around)
                })
                .collect()
        };
        Contrast { slow: facts(&sets.slow), typical: facts(&sets.typical), all: sets.all }
    }

    fn facts(&self, request: &Request, window: Window, lives: &Lives, around: &Around) -> Facts {
        Facts {
            window,
            path: self.path(request, window, lives),
            threads: (0..self.threads.len())
                .map(|thread| (thread, self.marks.window(thread, window)))
                .filter(|(_, parts)| !parts.is_empty())
                .collect(),
            in_flight: self.served.flight.during(window),
            prefills: self.served.prefills.during(window),
            beside: around.samples.about(window),
        }
    }

    fn path(&self, request: &Request, window: Window, lives: &Lives) -> Option<Path> {
        let thread = self.served_by(request, lives)?;
        self.scene.holds(window).then(|| path(&self.scene, thread, window))
    }

    fn who(&self, thread: usize) -> Who {
        let row = &self.threads[thread];
        Who { tid: row.tid, comm: row.comm.clone(), role: row.role.clone() }
    }

    fn name(&self, thread: usize) -> String {
        let row = &self.threads[thread];
        let role = row.role.as_ref().map(|role| format!(" ({role})")).unwrap_or_default();
        format!("{} {}{role}", row.comm, row.tid)
    }

    fn role(&self, thread: usize) -> String {
        let row = &self.threads[thread];
        row.role.clone().unwrap_or_else(|| format!("{} (no role)", row.comm))
    }

    fn ledger(&self, around: &Around) -> Vec<RequestLedger> {
        let told: Vec<usize> = self.picked.told.iter().map(|(_, at)| *at).collect();
        let requests = self.served.requests.iter().enumerate();
        requests
            .filter(|(at, _)| self.all || told.contains(at))
            .map(|(_, request)| {
                let windows = std::iter::once(("request", request.window())).chain(phases(request));
                RequestLedger {
                    request_id: request.row.request_id.clone(),
                    windows: windows.map(|(kind, window)| self.account(kind, window, around)).collect(),
                }
            })
            .collect()
    }

    fn account(&self, kind: &'static str, window: Window, around: &Around) -> WindowAccount {
        let withheld = withheld(around, window);
        let mut roles: BTreeMap<Option<&str>, RoleAccount> = BTreeMap::new();
        for thread in (0..self.threads.len()).filter(|_| withheld.is_none()) {
            let parts = self.marks.window(thread, window);
            if parts.is_empty() {
                continue;
            }
            let role = self.threads[thread].role.as_deref();
            let sum = roles.entry(role).or_default();
            sum.role = role.map(str::to_owned);
            sum.threads += 1;
            for (part, ns) in parts {
                sum.wall_ns += ns;
                *sum.states_ns.entry(part.word()).or_default() += ns;
            }
        }
        WindowAccount {
            kind,
            start_mono_ns: window.start_ns,
            end_mono_ns: window.end_ns,
            in_flight: self.served.flight.during(window),
            withheld,
            roles: roles.into_values().collect(),
        }
    }

    fn tell(&self, which: &'static str, at: usize, lives: &Lives, around: &Around) -> Told {
        let request = &self.served.requests[at];
        let latencies = request.latencies();
        let arrival_ns = request.row.arrival_mono_ns;
        let phases: Vec<ToldPhase> = phases(request)
            .into_iter()
            .map(|(kind, window)| self.phase(kind, window, request, lives, around))
            .collect();
        let until_first = |role: &str| {
            let mut states = States::new();
            for account in phases.iter().filter(|phase| !matches!(phase.account.kind, "decode" | "stream")) {
                let of = |of: &&RoleAccount| of.role.as_deref() == Some(role);
                for (state, ns) in account.account.roles.iter().find(of)?.states_ns.iter() {
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
            sub_phases: sub_phases(request, until_first),
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
        let mut parts: Vec<PathPart> = Facts { path: path.clone(), ..facts.clone() }
            .path_sums()
            .into_iter()
            .map(|((thread, part), ns)| PathPart { who: self.who(thread), state: part.word(), ns })
            .collect();
        parts.sort_by_key(|part| Reverse(part.ns));
        ToldPhase {
            threads,
            path: parts,
            waited_for: path.as_ref().map(|path| self.waited_for(path)).unwrap_or_default(),
            episodes: path.as_ref().map(|path| self.episodes(path, window)).unwrap_or_default(),
            gpus: gpus(around, window),
            beside: facts.beside,
            account,
        }
    }

    fn waited_for(&self, path: &Path) -> Vec<WaitedFor> {
        let mut pairs: BTreeMap<(usize, usize, &'static str), (u64, u64)> = BTreeMap::new();
        for handoff in &path.handoffs {
            let (times, ns) =
                pairs.entry((handoff.waiter, handoff.waker, handoff.state.word())).or_default();
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

/// Why nothing is said of a window.
fn withheld(around: &Around, window: Window) -> Option<String> {
    let after = around.lost.partition_point(|span| span.1 < window.start_ns);
    if around.lost.get(after).is_some_and(|span| span.0 <= window.end_ns) {
        return Some("records were lost in this window".to_owned());
    }
    let counted = around.counted.filter(|span| span.0 < window.end_ns && span.1 > window.start_ns);
    counted.map(|_| "a ceiling on hostprof's cost had short episodes counted, not recorded, in this window".to_owned())
}

/// The median gap in each part of a response.
fn trend(tokens: &[u64]) -> Vec<u64> {
    let mut gaps: Vec<u64> = crate::request::itl_ns(tokens).collect();
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
    type Column = (&'static str, fn(&GpuSampleRow) -> Option<f64>);
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
                .map(|(name, column)| {
                    match gpm(rows(), (window.start_ns, window.end_ns), column) {
                        Gpm::NotMeasured => format!("{name} not measured: not offered"),
                        Gpm::NotResolvable => format!("{name} not resolvable in {}", duration(len(window))),
                        Gpm::Of { mean, max } => {
                            format!("{name} {} on average, {} at most", percent(mean), percent(max))
                        }
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
        let held: u64 =
            phase.path.iter().filter(|part| ["preempted", "runqueue", "throttled"].contains(&part.state)).map(|part| part.ns).sum();
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
            let told = states.iter().take(3).map(|(state, ns)| {
                format!("{state} {}", share(*ns, phase.account.len_ns()))
            });
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
