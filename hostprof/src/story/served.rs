//! Requests with their tokens, as one source saw them, and what else was in flight at any time.

use std::collections::{BTreeMap, HashMap};

use crate::{
    ledger::Window,
    request::Latencies,
    table::{RequestRow, RequestSource, TokenRow},
};

/// A request and when its tokens were.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub row: RequestRow,
    /// `CLOCK_MONOTONIC`, in order.
    pub tokens: Vec<u64>,
    /// When it ended, or the recording did.
    pub end_ns: u64,
}

impl Request {
    /// Its latencies.
    pub fn latencies(&self) -> Latencies {
        Latencies::of(&self.row)
    }

    /// From its arrival to its end.
    pub fn window(&self) -> Window {
        let start_ns = self.row.arrival_mono_ns;
        Window { start_ns, end_ns: self.end_ns.max(start_ns) }
    }

    /// When its last token was.
    pub fn last_token_ns(&self) -> Option<u64> {
        self.tokens.last().copied().or(self.row.first_token_mono_ns)
    }
}

/// A source's requests, and when the tokens of each came.
type Rows = (Vec<RequestRow>, HashMap<String, Vec<u64>>);

/// Rows of `request` and `token` under way.
#[derive(Default)]
pub struct ServedFold {
    sources: BTreeMap<RequestSource, Rows>,
}

impl ServedFold {
    /// Takes a row.
    pub fn request(&mut self, row: RequestRow) {
        self.sources.entry(row.source).or_default().0.push(row);
    }

    /// Takes a row; those of a request come in order.
    pub fn token(&mut self, row: TokenRow) {
        let tokens = &mut self.sources.entry(row.source).or_default().1;
        tokens.entry(row.request_id).or_default().push(row.ts_mono_ns);
    }

    /// The requests of the source that tells most: the kernel's, which knows the thread that served each, else the one
    /// with most requests. A source that has the request asked for comes before all. `end_ns` is when recording ended.
    pub fn finish(self, chosen: Option<&str>, end_ns: u64) -> Option<Served> {
        let has_id =
            |row: &RequestRow, id: &str| row.request_id == id || row.client_id.as_deref() == Some(id);
        let rank = |(source, (rows, _)): &(RequestSource, Rows)| {
            let has = chosen.is_some_and(|id| rows.iter().any(|row| has_id(row, id)));
            (has, rows.iter().any(|row| row.tid.is_some()), rows.len(), *source == RequestSource::Kernel)
        };
        let mut sources: Vec<_> =
            self.sources.into_iter().filter(|(_, (rows, _))| !rows.is_empty()).collect();
        sources.sort_by_key(rank);
        let (source, (mut rows, mut tokens)) = sources.pop()?;
        complete(&mut rows, sources.iter().flat_map(|(_, (rows, _))| rows));
        let mut requests: Vec<Request> = rows
            .into_iter()
            .map(|row| {
                let tokens = tokens.remove(&row.request_id).unwrap_or_default();
                let last = tokens.last().copied().unwrap_or(row.arrival_mono_ns);
                let end_ns = row.end_mono_ns.unwrap_or_else(|| end_ns.max(last)).max(row.arrival_mono_ns);
                Request { row, tokens, end_ns }
            })
            .collect();
        requests.sort_by(|one, other| {
            let key = |of: &Request| (of.row.arrival_mono_ns, of.end_ns);
            key(one).cmp(&key(other)).then_with(|| one.row.request_id.cmp(&other.row.request_id))
        });
        let flight = Flight::new(requests.iter().map(Request::window));
        let prefills = Flight::new(requests.iter().filter_map(|request| {
            let start_ns = request.row.arrival_mono_ns;
            Some(Window { start_ns, end_ns: request.row.first_token_mono_ns?.max(start_ns) })
        }));
        Some(Served { source, requests, flight, prefills })
    }
}

/// Fills what rows do not tell, the server's own numbers above all, from rows of other sources that are of one request.
fn complete<'a>(rows: &mut [RequestRow], others: impl Iterator<Item = &'a RequestRow>) {
    let mut by_id: HashMap<&str, Vec<&RequestRow>> = HashMap::new();
    for other in others {
        let ids = [Some(other.request_id.as_str()), other.kernel_id.as_deref()];
        ids.into_iter().flatten().for_each(|id| by_id.entry(id).or_default().push(other));
    }
    for row in rows {
        let ids = [Some(row.request_id.as_str()), row.client_id.as_deref()];
        let of_row = ids.into_iter().flatten().filter_map(|id| by_id.get(id)).flatten().copied();
        for other in of_row.collect::<Vec<_>>() {
            row.queue_ns = row.queue_ns.or(other.queue_ns);
            row.prefill_ns = row.prefill_ns.or(other.prefill_ns);
            row.decode_ns = row.decode_ns.or(other.decode_ns);
            row.input_tokens = row.input_tokens.or(other.input_tokens);
            row.output_tokens = row.output_tokens.or(other.output_tokens);
            row.cached_tokens = row.cached_tokens.or(other.cached_tokens);
        }
    }
}

/// The requests of one source, by arrival.
pub struct Served {
    pub source: RequestSource,
    pub requests: Vec<Request>,
    /// Requests in flight.
    pub flight: Flight,
    /// Requests that waited for their first token.
    pub prefills: Flight,
}

/// How many of some windows were open at any time.
pub struct Flight {
    /// When the number changed, and to what.
    steps: Vec<(u64, u64)>,
    /// Open windows × time, up to each step.
    area: Vec<u128>,
}

/// How many windows were open in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct InFlight {
    pub mean: f64,
    pub max: u64,
}

impl Flight {
    /// Counts windows.
    pub fn new(windows: impl Iterator<Item = Window>) -> Self {
        let mut changes: BTreeMap<u64, i64> = BTreeMap::new();
        for window in windows {
            *changes.entry(window.start_ns).or_default() += 1;
            *changes.entry(window.end_ns).or_default() -= 1;
        }
        let (mut steps, mut area): (Vec<(u64, u64)>, Vec<u128>) = (Vec::new(), Vec::new());
        let (mut open, mut sum) = (0_i64, 0_u128);
        for (at, change) in changes {
            if let Some((before, open)) = steps.last() {
                sum += u128::from(at - before) * u128::from(*open);
            }
            open += change;
            steps.push((at, open.max(0) as u64));
            area.push(sum);
        }
        Self { steps, area }
    }

    /// How many were open at an instant, those that open then included.
    pub fn at(&self, ns: u64) -> u64 {
        let after = self.steps.partition_point(|(at, _)| *at <= ns);
        after.checked_sub(1).map_or(0, |step| self.steps[step].1)
    }

    /// How many were open during a window.
    pub fn during(&self, window: Window) -> InFlight {
        let first = self.steps.partition_point(|(at, _)| *at <= window.start_ns);
        let last = self.steps.partition_point(|(at, _)| *at < window.end_ns);
        let within = self.steps[first..last.max(first)].iter().map(|(_, open)| *open).max();
        let max = within.unwrap_or(0).max(self.at(window.start_ns));
        let length = window.end_ns.saturating_sub(window.start_ns);
        let mean = match length {
            0 => self.at(window.start_ns) as f64,
            length => (self.area_to(window.end_ns) - self.area_to(window.start_ns)) as f64 / length as f64,
        };
        InFlight { mean, max }
    }

    fn area_to(&self, ns: u64) -> u128 {
        let after = self.steps.partition_point(|(at, _)| *at <= ns);
        let Some(step) = after.checked_sub(1) else { return 0 };
        let (at, open) = self.steps[step];
        self.area[step] + u128::from(ns - at) * u128::from(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start_ns: u64, end_ns: u64) -> Window {
        Window { start_ns, end_ns }
    }

    #[test]
    fn what_is_in_flight_is_told_at_an_instant_and_over_a_window() {
        let flight = Flight::new([window(10, 30), window(20, 40), window(20, 20)].into_iter());
        assert_eq!([5, 10, 25, 30, 40].map(|at| flight.at(at)), [0, 1, 2, 1, 0]);
        assert_eq!(flight.during(window(10, 40)), InFlight { mean: 40.0 / 30.0, max: 2 });
        assert_eq!(flight.during(window(0, 20)), InFlight { mean: 0.5, max: 1 });
        assert_eq!(flight.during(window(25, 25)), InFlight { mean: 2.0, max: 2 });
        assert_eq!(flight.during(window(50, 60)), InFlight { mean: 0.0, max: 0 });
    }

    #[test]
    fn the_source_that_knows_the_serving_threads_is_told_unless_another_has_the_request_asked_for() {
        let row = |id: &str, source, tid| RequestRow {
            request_id: id.to_owned(),
            arrival_mono_ns: 5,
            source,
            tid,
            ..RequestRow::default()
        };
        let rows = [
            row("a", RequestSource::Load, None),
            row("b", RequestSource::Load, None),
            row("k", RequestSource::Kernel, Some(7)),
        ];
        let of = |chosen| {
            let mut fold = ServedFold::default();
            for row in &rows {
                fold.request(row.clone());
            }
            let token = TokenRow { request_id: "b".into(), ts_mono_ns: 9, ..TokenRow::default() };
            fold.token(token);
            fold.finish(chosen, 100).unwrap()
        };
        assert_eq!(of(None).source, RequestSource::Kernel);
        let load = of(Some("b"));
        assert_eq!((load.source, load.requests.len()), (RequestSource::Load, 2));
        assert_eq!((&load.requests[1].tokens[..], load.requests[1].end_ns), (&[9][..], 100), "goes on");
        assert!(ServedFold::default().finish(None, 0).is_none());
    }
}
