//! A request's phases, which tile it, and the parts of its work with where each number is from.

use super::{
    model::{States, SubPhase},
    served::Request,
    steps::{Steps, Sum},
};
use crate::{
    humane::{duration, plural},
    ledger::Window,
    table::{RequestSource, State, StepKind, Word as _},
};

/// The phases of a request, in the order of time: windows that meet, from its arrival to its end. Those that are not told
/// apart are one.
pub fn phases(request: &Request) -> Vec<(&'static str, Window)> {
    let row = &request.row;
    let whole = request.window();
    let mut edges = vec![("handover", row.send_mono_ns)];
    edges.push(("queue", row.queue_ns.map(|ns| row.arrival_mono_ns.saturating_add(ns))));
    match row.first_token_mono_ns {
        Some(first_ns) => edges.extend([
            ("prefill", Some(first_ns)),
            ("decode", request.last_token_ns()),
            ("stream", Some(whole.end_ns)),
        ]),
        None => edges.push(("answer", Some(whole.end_ns))),
    }
    let mut at = whole.start_ns;
    let mut phases = Vec::new();
    for (kind, edge) in edges {
        let Some(end_ns) = edge.map(|ns| ns.clamp(at, whole.end_ns)) else { continue };
        if end_ns > at {
            phases.push((kind, Window { start_ns: at, end_ns }));
        }
        at = end_ns;
    }
    phases
}

/// The parts of a request's work, in the order in which a request passes through them. `until_first` has the states of
/// threads until the first token, by role.
pub fn sub_phases(
    request: &Request,
    steps: &Steps,
    until_first: impl Fn(&str) -> Option<States>,
) -> Vec<SubPhase> {
    let parts = Parts { request, steps };
    let whole = request.window();
    let first = request.row.first_token_mono_ns;
    let last = request.last_token_ns();
    let until =
        |end_ns: Option<u64>| Window { end_ns: end_ns.unwrap_or(whole.end_ns).max(whole.start_ns), ..whole };
    let from_first = first.zip(last).map(|(first, last)| Window { start_ns: first, end_ns: last.max(first) });
    let role = |name, role: &str| {
        let states = until_first(role).unwrap_or_default();
        // Whoever yields spins: what for, its time on a CPU does not tell.
        let spins =
            if states.contains_key(State::Yield.word()) { ", spins in sched_yield among it" } else { "" };
        match states.get("on_cpu") {
            Some(ns) => known(
                name,
                *ns,
                format!(
                    "threads of role {role} on a CPU until the first token{spins}, for all requests in flight"
                ),
            ),
            None => unknown(name, &format!("no threads of role {role} are told apart")),
        }
    };
    let (decode, stream) = match (first, last) {
        (Some(first), Some(last)) => (
            known("decode", last.saturating_sub(first), "from the first token seen to the last".to_owned()),
            known(
                "stream",
                request.end_ns.saturating_sub(last),
                "from the last token seen to the end".to_owned(),
            ),
        ),
        _ => (unknown("decode", "no token was seen"), unknown("stream", "no token was seen")),
    };
    let mut computed = match from_first {
        Some(window) => {
            vec![parts.compute("prefill_compute", until(first)), parts.compute("decode_compute", window)]
        }
        // Where no token was seen the two are not told apart.
        None => vec![parts.compute("compute", whole)],
    };
    let decode_compute = computed.split_off(1);
    let mut told = vec![
        parts.queue(),
        parts.tokenise(until(first)).unwrap_or_else(|| role("tokenise", "tokenizer")),
        parts.schedule(until(first)).unwrap_or_else(|| role("schedule", "engine_core")),
        parts.cache_lookup(),
        parts.prefill(),
    ];
    told.extend(computed);
    told.push(decode);
    told.extend(decode_compute);
    told.extend([
        parts.shared("sample", until(last), StepKind::Sample),
        parts.shared("detokenise", until(last), StepKind::Detokenise),
        stream,
    ]);
    told
}

fn known(name: &'static str, ns: u64, source: String) -> SubPhase {
    SubPhase { name, ns: Some(ns), source }
}

fn unknown(name: &'static str, why: &str) -> SubPhase {
    SubPhase { name, ns: None, source: format!("not measured: {why}") }
}

/// What sub-phases are made of.
struct Parts<'a> {
    request: &'a Request,
    steps: &'a Steps,
}

impl Parts<'_> {
    fn queue(&self) -> SubPhase {
        let row = &self.request.row;
        let handed = match row.source {
            RequestSource::Kernel => "the server had read its first byte",
            _ => "its first byte was sent",
        };
        match (row.queue_ns, row.send_mono_ns) {
            (Some(ns), _) => known("queue", ns, "the server's own timing".to_owned()),
            (None, Some(sent)) => unknown(
                "queue",
                &format!(
                    "the server tells no queue time; {handed} {} after the arrival",
                    duration(sent.saturating_sub(row.arrival_mono_ns))
                ),
            ),
            (None, None) => unknown("queue", "the server tells no queue time"),
        }
    }

    fn prefill(&self) -> SubPhase {
        let row = &self.request.row;
        match row.first_token_mono_ns {
            _ if row.prefill_ns.is_some() => {
                known("prefill", row.prefill_ns.unwrap_or_default(), "the server's own timing".to_owned())
            }
            None => unknown("prefill", "no first token was seen"),
            Some(first) => {
                let queued = row.queue_ns.map(|ns| row.arrival_mono_ns.saturating_add(ns));
                let from = queued.or(row.send_mono_ns).unwrap_or(row.arrival_mono_ns);
                let holds =
                    if queued.is_some() { "" } else { ", which holds queue, tokenising and scheduling" };
                let source = format!("until the first token was seen{holds}");
                known("prefill", first.saturating_sub(from), source)
            }
        }
    }

    /// By the thread that read the request, or else by any; `None` where no step tells.
    fn tokenise(&self, window: Window) -> Option<SubPhase> {
        if self.steps.missing(window).is_some() {
            return None;
        }
        let of = |tid| self.steps.sum(self.request, window, tid, &[StepKind::Tokenise]);
        let told = |sum: &Sum, whose: &str| {
            known("tokenise", sum.ns, format!("{}, {}, {whose}", sum.calls(), plural(sum.tokens, "token")))
        };
        let own = self.request.row.tid.map(|tid| of(Some(tid))).filter(|sum| sum.calls > 0);
        let any = of(None);
        Some(match own {
            Some(own) => told(&own, "by the thread that read it"),
            None if any.calls > 0 => told(&any, "for all requests in flight"),
            None => unknown("tokenise", "the engine tokenised nothing until the first token"),
        })
    }

    /// `None` where no round of the engine's loop tells.
    fn schedule(&self, window: Window) -> Option<SubPhase> {
        let rounds = self.steps.planning(self.request, window);
        (rounds.calls > 0).then(|| {
            let source = format!(
                "{} until the first token, less the calls within, for all requests in flight",
                rounds.calls()
            );
            known("schedule", rounds.ns, source)
        })
    }

    fn cache_lookup(&self) -> SubPhase {
        let had = match self.request.row.cached_tokens {
            Some(tokens) => format!(
                "; {} of the prompt came from it, as the server tells",
                plural(tokens.into(), "token")
            ),
            None => String::new(),
        };
        unknown("cache_lookup", &format!("no engine has a function for it that is probed{had}"))
    }

    /// Batches that were computed in a window.
    fn compute(&self, name: &'static str, window: Window) -> SubPhase {
        const BATCHES: [StepKind; 5] =
            [StepKind::Decode, StepKind::Prefill, StepKind::Mixed, StepKind::Batch, StepKind::Encode];
        if let Some(why) = self.steps.missing(window) {
            return unknown(name, why);
        }
        let sum = self.steps.sum(self.request, window, None, &BATCHES);
        match sum.calls {
            0 => unknown(name, "the engine computed no batch in it"),
            _ => known(name, sum.ns, sum.batches()),
        }
    }

    /// Calls of a kind, which tell nothing of whose they are.
    fn shared(&self, name: &'static str, window: Window, kind: StepKind) -> SubPhase {
        if let Some(why) = self.steps.missing(window) {
            return unknown(name, why);
        }
        let sum = self.steps.sum(self.request, window, None, &[kind]);
        match sum.calls {
            0 => unknown(name, "no call of a function for it was seen"),
            _ => known(name, sum.ns, format!("{}, for all requests in flight", sum.calls())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{RequestRow, StepRow};

    fn request(queue_ns: Option<u64>, first: Option<u64>) -> Request {
        Request {
            row: RequestRow {
                arrival_mono_ns: 100,
                send_mono_ns: Some(110),
                queue_ns,
                first_token_mono_ns: first,
                ..RequestRow::default()
            },
            tokens: first.map(|first| vec![first, first + 50, first + 90]).unwrap_or_default(),
            end_ns: 600,
        }
    }

    fn lengths(request: &Request) -> Vec<(&'static str, u64)> {
        let phases = phases(request);
        assert!(phases.windows(2).all(|pair| pair[0].1.end_ns == pair[1].1.start_ns), "{phases:?}");
        phases.into_iter().map(|(kind, window)| (kind, window.end_ns - window.start_ns)).collect()
    }

    #[test]
    fn phases_tile_a_request() {
        let whole = request(Some(40), Some(300));
        assert_eq!(
            lengths(&whole),
            [("handover", 10), ("queue", 30), ("prefill", 160), ("decode", 90), ("stream", 210)]
        );
        assert_eq!(lengths(&request(None, None)), [("handover", 10), ("answer", 490)]);
        let odd = request(Some(9_000), Some(300));
        assert_eq!(lengths(&odd), [("handover", 10), ("queue", 490)], "a server's odd word");
    }

    fn of<'a>(told: &'a [SubPhase], name: &str) -> &'a SubPhase {
        told.iter().find(|phase| phase.name == name).unwrap()
    }

    #[test]
    fn what_is_not_measured_says_why() {
        let none = |_: &str| None;
        let told = sub_phases(&request(None, Some(300)), &Steps::default(), none);
        assert_eq!(of(&told, "queue").ns, None);
        assert!(of(&told, "queue").source.starts_with("not measured: the server tells no queue time"));
        assert_eq!(of(&told, "prefill").ns, Some(190));
        assert!(of(&told, "prefill").source.contains("holds queue"));
        assert_eq!((of(&told, "decode").ns, of(&told, "stream").ns), (Some(90), Some(210)));
        for name in ["tokenise", "cache_lookup", "prefill_compute", "decode_compute", "sample", "detokenise"]
        {
            assert!(of(&told, name).source.starts_with("not measured: "), "{name}");
        }
        let some = |role: &str| (role == "tokenizer").then(|| States::from([("on_cpu", 7)]));
        let told = sub_phases(&request(Some(40), None), &Steps::default(), some);
        assert_eq!([0, 1, 4].map(|at: usize| told[at].ns), [Some(40), Some(7), None]);
        assert!(of(&told, "compute").source.contains("--probe auto,http,engine"));
    }

    #[test]
    fn the_engines_calls_tell_what_was_computed_until_the_first_token_and_after_it() {
        let mut request = request(None, Some(300));
        request.row.tid = Some(5);
        let mut steps = Steps::new(vec![request.window()]);
        for (kind, tid, ts_mono_ns, dur_ns) in [
            (StepKind::Tokenise, 5, 115, 5),
            (StepKind::Tokenise, 6, 120, 50),
            (StepKind::Prefill, 9, 130, 100),
            (StepKind::Sample, 9, 230, 10),
            (StepKind::Round, 9, 125, 120),
            (StepKind::Decode, 9, 310, 30),
            (StepKind::Decode, 9, 395, 30),
        ] {
            let name = "called".into();
            steps.step(&StepRow { ts_mono_ns, tid, name, kind, dur_ns, ..StepRow::default() });
        }
        let told = sub_phases(&request, &steps, |_| None);
        let ns = |name| of(&told, name).ns;
        assert_eq!((ns("tokenise"), ns("schedule")), (Some(5), Some(120 - 100 - 10)));
        assert!(of(&told, "tokenise").source.ends_with("by the thread that read it"));
        let last = request.last_token_ns().unwrap();
        assert_eq!((ns("prefill_compute"), ns("decode_compute")), (Some(100), Some(30)), "to {last}");
        assert_eq!((ns("sample"), ns("detokenise")), (Some(10), None));
    }
}
