//! From what was read to the story.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    Around, Contrast, Facts, Names, Telling,
    findings::{findings, in_order},
    latency::Latencies,
    model::{GapLedger, PathPart, RequestLedger, RoleAccount, Story, Who, WindowAccount},
    path::{Path, path},
    phases::phases,
    pick::{Pick, Sets},
    served::Request,
    tail::tail,
    timeline,
};
use crate::{
    humane::plural,
    ledger::{Lives, Window},
    table::Word as _,
};

impl Telling<'_> {
    /// Ends the story. `lives` tells threads by tid and time.
    pub fn finish(mut self, lives: &Lives, around: &Around) -> Story {
        self.marks.finish();
        let told: Vec<usize> = self.picked.told.iter().map(|(_, at)| *at).collect();
        let name = |thread: usize| self.name(thread);
        let names = Names { scene: &self.scene, name: &name };
        let kinds =
            self.picked.kinds().map(|(windows, sets)| (windows, sets, self.contrast(sets, lives, around)));
        let found =
            kinds.iter().flat_map(|(windows, _, contrast)| findings(windows, contrast, &names)).collect();
        let [_, (_, _, gaps), _] = &kinds;
        let role = |thread: usize| self.role(thread);
        let mut join_tiers = BTreeMap::new();
        for request in &self.served.requests {
            *join_tiers.entry(request.row.join_tier.word()).or_default() += 1;
        }
        let errors = self.served.requests.iter().map(|request| request.row.join_error_ns);
        Story {
            join_tiers,
            join_error_max_ns: errors.collect::<Option<Vec<_>>>().and_then(|errors| errors.into_iter().max()),
            source: self.served.source.word(),
            requests: self.served.requests.len() as u64,
            unfinished: self.served.requests.iter().filter(|of| of.row.end_mono_ns.is_none()).count() as u64,
            latencies: Latencies::of(&self.served, &self.goodput),
            told: self.picked.told.iter().map(|&(which, at)| self.tell(which, at, lives, around)).collect(),
            tail: tail(gaps, role),
            findings: in_order(found),
            compared: kinds.iter().map(|(windows, sets, of)| compared(windows, sets, of)).collect(),
            path_missing: self.path_missing(lives),
            ledger: self.ledger(around),
            slow_gaps: self.slow_gaps(lives, around),
            timeline: timeline::of_marks(&self.marks, &self.served, &told, self.whole),
            threads: (0..self.threads.len()).map(|thread| self.who(thread)).collect(),
        }
    }

    fn path_missing(&self, lives: &Lives) -> Option<String> {
        let any = self.served.requests.iter().any(|request| Self::served_by(request, lives).is_some());
        (!any).then(|| {
            format!(
                "source {} does not tell which thread answered (record with --probe auto,http)",
                self.served.source
            )
        })
    }

    /// The thread that read a request: servers of every kind known answer from the thread that reads.
    fn served_by(request: &Request, lives: &Lives) -> Option<usize> {
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

    pub(super) fn facts(&self, request: &Request, window: Window, lives: &Lives, around: &Around) -> Facts {
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

    pub(super) fn path(&self, request: &Request, window: Window, lives: &Lives) -> Option<Path> {
        let thread = Self::served_by(request, lives)?;
        self.scene.holds(window).then(|| path(&self.scene, thread, window))
    }

    pub(super) fn who(&self, thread: usize) -> Who {
        let row = &self.threads[thread];
        Who { tid: row.tid, comm: row.comm.clone(), role: row.role.clone() }
    }

    pub(super) fn name(&self, thread: usize) -> String {
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

    fn slow_gaps(&self, lives: &Lives, around: &Around) -> Vec<GapLedger> {
        let gaps = self.picked.gaps.slow.iter();
        gaps.map(|pick| {
            let request = &self.served.requests[pick.request];
            let account = self.account("gap", pick.window, around);
            let path = self.path(request, pick.window, lives).filter(|_| account.withheld.is_none());
            GapLedger {
                request_id: request.row.request_id.clone(),
                index: pick.index.unwrap_or_default() as u64,
                path: path.map(|path| self.path_parts(&path)).unwrap_or_default(),
                account,
            }
        })
        .collect()
    }

    /// A path by thread and state, most first.
    pub(super) fn path_parts(&self, path: &Path) -> Vec<PathPart> {
        let sums = path.sums().into_iter();
        let mut parts: Vec<PathPart> = sums
            .map(|((thread, part), ns)| PathPart { who: self.who(thread), state: part.word(), ns })
            .collect();
        parts.sort_by_key(|part| Reverse(part.ns));
        parts
    }

    pub(super) fn account(&self, kind: &'static str, window: Window, around: &Around) -> WindowAccount {
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
}

/// What of a kind was compared, in words.
fn compared(windows: &str, picked: &Sets, of: &Contrast) -> String {
    let withheld = picked.slow.len() + picked.typical.len() - of.slow.len() - of.typical.len();
    let lost = match withheld {
        0 => String::new(),
        more => format!("; {} withheld, since records were lost in them", plural(more as u64, "window")),
    };
    match of.slow.len() {
        0 => format!("{windows}: {} are too few to compare{lost}", plural(of.all as u64, "window")),
        slow => {
            format!(
                "{windows}: the slowest {slow} of {} beside {} about the median{lost}",
                of.all,
                of.typical.len()
            )
        }
    }
}

/// Why nothing is said of a window.
fn withheld(around: &Around, window: Window) -> Option<String> {
    let after = around.lost.partition_point(|span| span.1 < window.start_ns);
    if around.lost.get(after).is_some_and(|span| span.0 <= window.end_ns) {
        return Some("records were lost in this window".to_owned());
    }
    let counted = around.counted.filter(|span| span.0 < window.end_ns && span.1 > window.start_ns);
    counted.map(|_| {
        "a ceiling on hostprof's cost had short episodes counted, not recorded, in this window".to_owned()
    })
}
