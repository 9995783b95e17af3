//! A request's phases, which tile it, and the parts of its work with where each number is from.

use super::{
    model::{States, SubPhase},
    served::Request,
};
use crate::{ledger::Window, table::RequestSource};

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

/// The parts of a request's work. `prefill` holds the states of tokenizer and engine-core threads until the first token,
/// by role.
pub fn sub_phases(request: &Request, until_first: impl Fn(&str) -> Option<States>) -> Vec<SubPhase> {
    let row = &request.row;
    let known = |name, ns, source: &str| SubPhase { name, ns: Some(ns), source: source.to_owned() };
    let unknown = |name, why: &str| SubPhase { name, ns: None, source: format!("not measured: {why}") };
    let handed = match row.source {
        RequestSource::Kernel => "the server had read its first byte",
        _ => "its first byte was sent",
    };
    let queue = match (row.queue_ns, row.send_mono_ns) {
        (Some(ns), _) => known("queue", ns, "the server's own timing"),
        (None, Some(sent)) => unknown(
            "queue",
            &format!(
                "the server tells no queue time; {handed} {} after the arrival",
                crate::humane::duration(sent.saturating_sub(row.arrival_mono_ns))
            ),
        ),
        (None, None) => unknown("queue", "the server tells no queue time"),
    };
    let role = |name, roles: [&str; 2], of: &str| {
        let ns = roles.iter().find_map(|role| until_first(role)?.get("on_cpu").copied());
        match ns {
            Some(ns) => {
                known(name, ns, &format!("{of} on a CPU until the first token, for all requests in flight"))
            }
            None => unknown(name, &format!("no {of} are told apart")),
        }
    };
    let first = row.first_token_mono_ns;
    let prefill = match first {
        _ if row.prefill_ns.is_some() => {
            known("prefill", row.prefill_ns.unwrap_or_default(), "the server's own timing")
        }
        None => unknown("prefill", "no first token was seen"),
        Some(first) => {
            let queued = row.queue_ns.map(|ns| row.arrival_mono_ns.saturating_add(ns));
            let from = queued.or(row.send_mono_ns).unwrap_or(row.arrival_mono_ns);
            let holds = if queued.is_some() { "" } else { ", which holds queue, tokenising and scheduling" };
            known("prefill", first.saturating_sub(from), &format!("until the first token was seen{holds}"))
        }
    };
    let (decode, stream) = match (first, request.last_token_ns()) {
        (Some(first), Some(last)) => (
            known("decode", last.saturating_sub(first), "from the first token seen to the last"),
            known("stream", request.end_ns.saturating_sub(last), "from the last token seen to the end"),
        ),
        _ => (unknown("decode", "no token was seen"), unknown("stream", "no token was seen")),
    };
    vec![
        queue,
        role("tokenise", ["tokenizer", "tokenizer"], "threads of role tokenizer"),
        role("schedule", ["engine_core", "scheduler"], "threads of role engine_core"),
        prefill,
        decode,
        stream,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::RequestRow;

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

    #[test]
    fn what_is_not_measured_says_why() {
        let none = |_: &str| None;
        let told = sub_phases(&request(None, Some(300)), none);
        let of = |name| told.iter().find(|phase| phase.name == name).unwrap();
        assert_eq!(of("queue").ns, None);
        assert!(of("queue").source.starts_with("not measured: the server tells no queue time"));
        assert_eq!(of("prefill").ns, Some(190));
        assert!(of("prefill").source.contains("holds queue"));
        assert_eq!((of("decode").ns, of("stream").ns), (Some(90), Some(210)));
        assert!(of("tokenise").source.contains("not measured"));
        let some = |role: &str| (role == "tokenizer").then(|| States::from([("on_cpu", 7)]));
        let told = sub_phases(&request(Some(40), None), some);
        assert_eq!((told[0].ns, told[1].ns, told[3].ns), (Some(40), Some(7), None));
    }
}
