//! Latencies of the requests told, as percentiles, and gaps between tokens by their place and by what was in flight.

use std::collections::BTreeMap;

use serde::Serialize;

use super::served::Served;
use crate::{
    lengths::{Latency, Lengths},
    request::{Goodput, itl_ns, tpot_ns},
};

/// Latencies of one source's requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Latencies {
    /// From arrival to the first token or chunk.
    pub ttft: Latency,
    /// Gaps between successive tokens or chunks.
    pub itl: Latency,
    /// Time per output token after the first; where the number of tokens is not told, per chunk.
    pub tpot: Latency,
    /// Whether `tpot` is per chunk.
    pub tpot_by_chunks: bool,
    pub e2e: Latency,
    /// From the first arrival to the last end.
    pub length_ns: u64,
    pub requests_per_second: f64,
    /// Tokens as servers count them, else chunks.
    pub tokens_per_second: f64,
    /// Requests that met every target, a second; null where no target was set.
    pub goodput_per_second: Option<f64>,
    pub goodput_ratio: Option<f64>,
    /// Gaps by the place of their second token in the response.
    pub by_position: Vec<Group>,
    /// Gaps by the requests in flight at their end: what a batched engine served at once.
    pub by_in_flight: Vec<Group>,
}

/// Gaps of a range.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// Both included.
    pub from: u64,
    pub to: u64,
    #[serde(flatten)]
    pub itl: Latency,
}

impl Latencies {
    /// Of what was served.
    pub fn of(served: &Served, goodput: &Goodput) -> Self {
        let [mut ttft, mut itl, mut tpot, mut e2e] = std::array::from_fn(|_| Lengths::new());
        let (mut position, mut in_flight) = (BTreeMap::new(), BTreeMap::new());
        let (mut tokens, mut good, mut whole) = (0_u64, 0_u64, 0_u64);
        let tpot_by_chunks = served.requests.iter().all(|request| request.row.output_tokens.is_none());
        for request in &served.requests {
            let mut of = request.latencies();
            if let (true, Some(e2e), Some(ttft)) = (tpot_by_chunks, of.e2e_ns, of.ttft_ns) {
                of.tpot_ns = tpot_ns(e2e, ttft, request.tokens.len() as u32);
            }
            of.ttft_ns.into_iter().for_each(|ns| ttft.add(ns));
            of.tpot_ns.into_iter().for_each(|ns| tpot.add(ns));
            of.e2e_ns.into_iter().for_each(|ns| e2e.add(ns));
            tokens += request.row.output_tokens.map_or(request.tokens.len() as u64, u64::from);
            whole += 1;
            good += u64::from(goodput.met(&request.row));
            for (at, ns) in itl_ns(&request.tokens).enumerate() {
                itl.add(ns);
                let of = |groups: &mut BTreeMap<u64, Lengths>, value: u64| {
                    groups.entry(value.max(1).ilog2().into()).or_default().add(ns);
                };
                of(&mut position, at as u64 + 1);
                of(&mut in_flight, served.flight.at(request.tokens[at + 1].saturating_sub(1)));
            }
        }
        let first_ns = served.requests.iter().map(|request| request.row.arrival_mono_ns).min();
        let last_ns = served.requests.iter().map(|request| request.end_ns).max();
        let length_ns = last_ns.unwrap_or(0).saturating_sub(first_ns.unwrap_or(0));
        let per_second = |number: u64| number as f64 * 1e9 / length_ns.max(1) as f64;
        let wanted = goodput.targets().next().is_some();
        Self {
            ttft: ttft.latency(),
            itl: itl.latency(),
            tpot: tpot.latency(),
            tpot_by_chunks,
            e2e: e2e.latency(),
            length_ns,
            requests_per_second: per_second(whole),
            tokens_per_second: per_second(tokens),
            goodput_per_second: wanted.then(|| per_second(good)),
            goodput_ratio: wanted.then(|| good as f64 / whole.max(1) as f64),
            by_position: groups(&position),
            by_in_flight: groups(&in_flight),
        }
    }
}

/// Groups by powers of two.
fn groups(by_power: &BTreeMap<u64, Lengths>) -> Vec<Group> {
    let group = |(power, lengths): (&u64, &Lengths)| Group {
        from: 1 << power,
        to: (2 << power) - 1,
        itl: lengths.latency(),
    };
    by_power.iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        request::Target,
        story::served::ServedFold,
        table::{RequestRow, TokenRow},
    };

    #[test]
    fn gaps_are_told_by_their_place_and_by_what_was_in_flight() {
        let mut fold = ServedFold::default();
        for (id, arrival_mono_ns, end) in [("a", 0, 2_000_000_000), ("b", 500, 1_000)] {
            fold.request(RequestRow {
                request_id: id.into(),
                arrival_mono_ns,
                first_token_mono_ns: Some(arrival_mono_ns + 100),
                end_mono_ns: Some(end),
                output_tokens: Some(4),
                ..RequestRow::default()
            });
        }
        for ts_mono_ns in [100, 200, 400, 900, 2_000] {
            let row = TokenRow { request_id: "a".into(), ts_mono_ns, ..TokenRow::default() };
            fold.token(row);
        }
        let served = fold.finish(None, 0).unwrap();
        let mut goodput = Goodput::default();
        goodput.set(Target::E2e, std::time::Duration::from_secs(1));
        let told = Latencies::of(&served, &goodput);
        assert_eq!((told.itl.count, told.itl.max_ns), (4, Some(1_100)));
        let of = |groups: &[Group]| -> Vec<_> {
            groups.iter().map(|group| (group.from, group.to, group.itl.count)).collect()
        };
        assert_eq!(of(&told.by_position), [(1, 1, 1), (2, 3, 2), (4, 7, 1)]);
        assert_eq!(of(&told.by_in_flight), [(1, 1, 3), (2, 3, 1)], "b was there at 900");
        assert_eq!((told.goodput_ratio, told.tokens_per_second), (Some(0.5), 4.0));
        assert!(!told.tpot_by_chunks);
    }
}
