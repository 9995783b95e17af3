//! Requests and tokens, as each of their sources saw them.

use std::collections::{HashMap, VecDeque};

use super::{bins::Window, picture::Requests};
use crate::{
    lengths::Lengths,
    request::Latencies,
    table::{RequestRow, RequestSource, TokenRow, Word as _},
};

/// Requests, and tokens, that are kept at most.
const MOST: usize = 1 << 20;

/// Requests of which the last token is remembered.
const MOST_OPEN: usize = 1 << 14;

#[derive(Debug)]
struct Request {
    source: RequestSource,
    arrival: u64,
    /// `None` where recording ended before.
    end: Option<u64>,
    failed: bool,
    latencies: Latencies,
}

#[derive(Debug)]
struct Token {
    source: RequestSource,
    at: u64,
    /// Since the request's last one; `None` for the first.
    gap: Option<u64>,
}

/// Requests and tokens.
#[derive(Debug, Default)]
pub(super) struct Served {
    requests: VecDeque<Request>,
    tokens: VecDeque<Token>,
    /// When a request's last token came.
    last: HashMap<(RequestSource, String), u64>,
    /// The sources that have seen a request, or look for some.
    sources: Vec<RequestSource>,
    /// What probe `http` has in flight now; `None` where it is off.
    in_flight: Option<u64>,
    /// Whether requests in flight become known with their rows: in a recording that has ended.
    pub whole: bool,
}

impl Served {
    pub fn request(&mut self, row: &RequestRow) {
        self.met(row.source);
        self.last.remove(&(row.source, row.request_id.clone()));
        if self.requests.len() >= MOST {
            self.requests.pop_front();
        }
        self.requests.push_back(Request {
            source: row.source,
            arrival: row.arrival_mono_ns,
            end: row.end_mono_ns,
            failed: row.error.is_some(),
            latencies: Latencies::of(row),
        });
    }

    pub fn token(&mut self, row: &TokenRow) {
        self.met(row.source);
        if self.tokens.len() >= MOST {
            self.tokens.pop_front();
        }
        if self.last.len() >= MOST_OPEN {
            self.last.clear();
        }
        let before = self.last.insert((row.source, row.request_id.clone()), row.ts_mono_ns);
        let gap = before.map(|before| row.ts_mono_ns.saturating_sub(before));
        // In the order of time, but for sources that tell of it later.
        let later = self.tokens.iter().rev().take_while(|token| token.at > row.ts_mono_ns).count();
        let place = self.tokens.len() - later;
        self.tokens.insert(place, Token { source: row.source, at: row.ts_mono_ns, gap });
    }

    /// Probe `http` looks for requests, and has that many in flight.
    pub fn in_flight(&mut self, requests: u64) {
        self.met(RequestSource::Kernel);
        self.in_flight = Some(requests);
    }

    fn met(&mut self, source: RequestSource) {
        if !self.sources.contains(&source) {
            self.sources.push(source);
        }
    }

    pub fn forget_before(&mut self, ns: u64) {
        while self.requests.front().is_some_and(|request| request.end.is_some_and(|end| end < ns)) {
            self.requests.pop_front();
        }
        while self.tokens.front().is_some_and(|token| token.at < ns) {
            self.tokens.pop_front();
        }
    }

    /// What each source saw in a window.
    pub fn window(&self, window: &Window) -> Vec<Requests> {
        let mut sources = self.sources.clone();
        sources.sort_unstable();
        sources.into_iter().map(|source| self.of(source, window)).collect()
    }

    /// The first token from then on.
    fn place(&self, ns: u64) -> usize {
        self.tokens.partition_point(|token| token.at < ns)
    }

    fn of(&self, source: RequestSource, window: &Window) -> Requests {
        let mut told = Requests { source: name(source), ..Requests::default() };
        let (mut ttft, mut itl, mut e2e) = (Lengths::new(), Lengths::new(), Lengths::new());
        let mut in_flight = 0;
        for request in self.requests.iter().filter(|request| request.source == source) {
            let is_open = request.end.is_none_or(|end| end >= window.to);
            in_flight += u64::from(request.arrival < window.to && is_open);
            if !request.end.is_some_and(|end| window.contains(end)) {
                continue;
            }
            told.ended += 1;
            told.failed += u64::from(request.failed);
            request.latencies.ttft_ns.into_iter().for_each(|ns| ttft.add(ns));
            request.latencies.e2e_ns.into_iter().for_each(|ns| e2e.add(ns));
        }
        let (from, to) = (self.place(window.from), self.place(window.to));
        for token in self.tokens.range(from..to).filter(|token| token.source == source) {
            told.tokens += 1;
            token.gap.into_iter().for_each(|ns| itl.add(ns));
        }
        told.in_flight = match source {
            _ if self.whole => Some(in_flight),
            RequestSource::Kernel => self.in_flight,
            _ => None,
        };
        (told.ttft, told.itl, told.e2e) = (ttft.latency(), itl.latency(), e2e.latency());
        told
    }
}

fn name(source: RequestSource) -> String {
    match source {
        RequestSource::Load => "hostprof load".to_owned(),
        RequestSource::Kernel => "probe http".to_owned(),
        imported => imported.word().to_owned(),
    }
}
