//! What is kept of requests that are over: counts and histograms, whose size does not grow with their number.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{failure::Failure, log::LogRow};
use crate::{
    request::{Goodput, Latencies, itl_ns},
    table::{RequestError, Word as _},
};

/// Longer ones count as this: an hour.
const MOST_NS: u64 = 3_600_000_000_000;

/// A histogram of nanoseconds, of three significant figures.
pub fn histogram() -> Histogram<u64> {
    // The arguments are constants that are sound.
    Histogram::new_with_bounds(1, MOST_NS, 3).unwrap_or_else(|_| unreachable!("bounds of a histogram"))
}

/// A distribution, nanoseconds. Absent where nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// Values.
    pub count: u64,
    /// Mean.
    pub mean_ns: f64,
    /// Least.
    pub min_ns: u64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// Greatest.
    pub max_ns: u64,
}

impl Distribution {
    /// That of a histogram; of none where it is empty.
    pub fn of(histogram: &Histogram<u64>) -> Option<Self> {
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            mean_ns: histogram.mean(),
            min_ns: histogram.min(),
            p50_ns: histogram.value_at_quantile(0.5),
            p90_ns: histogram.value_at_quantile(0.9),
            p99_ns: histogram.value_at_quantile(0.99),
            p999_ns: histogram.value_at_quantile(0.999),
            max_ns: histogram.max(),
        })
    }
}

/// Failures of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failures {
    /// How many.
    pub count: u64,
    /// What the first of them was.
    pub first: String,
}

/// Requests that are over.
#[derive(Debug)]
pub struct Stats {
    /// All of them.
    pub requests: u64,
    /// Those that were answered in full.
    pub succeeded: u64,
    /// Those that met every target.
    pub good: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Tokens of prompts and responses, as told; of requests that succeeded.
    pub input_tokens: u64,
    /// As above.
    pub output_tokens: u64,
    /// Tokens of prompts that were cached, as told; `None` where no server told.
    pub cached_tokens: Option<u64>,
    /// Successes whose tokens the server did not tell.
    pub untold: u64,
    /// Successes whose response has another length than was asked for.
    pub other_length: u64,
    /// When the last was over, CLOCK_MONOTONIC nanoseconds.
    pub last_end: u64,
    /// Latencies of requests that succeeded.
    pub ttft_ns: Histogram<u64>,
    /// As above.
    pub itl_ns: Histogram<u64>,
    /// As above.
    pub tpot_ns: Histogram<u64>,
    /// As above.
    pub e2e_ns: Histogram<u64>,
    /// How late requests were started, all of them.
    pub start_late_ns: Histogram<u64>,
    /// The client's own delay in each request.
    pub client_delay_ns: Histogram<u64>,
    goodput: Goodput,
    failures: Vec<Failures>,
}

impl Stats {
    /// None yet.
    pub fn new(goodput: Goodput) -> Self {
        Self {
            requests: 0,
            succeeded: 0,
            good: 0,
            retries: 0,
            input_tokens: 0,
            output_tokens: 0,
            cached_tokens: None,
            untold: 0,
            other_length: 0,
            last_end: 0,
            ttft_ns: histogram(),
            itl_ns: histogram(),
            tpot_ns: histogram(),
            e2e_ns: histogram(),
            start_late_ns: histogram(),
            client_delay_ns: histogram(),
            goodput,
            failures: vec![Failures::default(); RequestError::ALL.len()],
        }
    }

    /// Takes a request that is over, started that late.
    pub fn take(&mut self, row: &LogRow, start_late_ns: u64, failure: Option<&Failure>) {
        let request = &row.request;
        self.requests += 1;
        self.retries += u64::from(row.retries);
        self.last_end = self.last_end.max(request.end_mono_ns.unwrap_or_default());
        self.start_late_ns.saturating_record(start_late_ns);
        if let Some(delay) = request.client_delay_ns {
            self.client_delay_ns.saturating_record(delay);
        }
        if let Some(failure) = failure {
            let failures = &mut self.failures[failure.kind.index()];
            if failures.count == 0 {
                failures.first.clone_from(&failure.text);
            }
            failures.count += 1;
            return;
        }
        self.succeeded += 1;
        self.good += u64::from(self.goodput.met(request));
        self.input_tokens += u64::from(request.input_tokens.unwrap_or_default());
        self.output_tokens += u64::from(request.output_tokens.unwrap_or_default());
        if let Some(cached) = request.cached_tokens {
            *self.cached_tokens.get_or_insert(0) += u64::from(cached);
        }
        match request.output_tokens {
            None => self.untold += 1,
            Some(tokens) => self.other_length += u64::from(tokens != row.wanted_output_tokens),
        }
        let latencies = Latencies::of(request);
        for (histogram, value) in [
            (&mut self.ttft_ns, latencies.ttft_ns),
            (&mut self.tpot_ns, latencies.tpot_ns),
            (&mut self.e2e_ns, latencies.e2e_ns),
        ] {
            if let Some(ns) = value {
                histogram.saturating_record(ns);
            }
        }
        for gap in itl_ns(&row.token_mono_ns) {
            self.itl_ns.saturating_record(gap);
        }
    }

    /// Failures by kind, those that there were.
    pub fn failures(&self) -> impl Iterator<Item = (RequestError, &Failures)> {
        RequestError::ALL.iter().copied().zip(&self.failures).filter(|(_, failures)| failures.count > 0)
    }

    /// Failures of a kind.
    pub fn count_of(&self, kind: RequestError) -> u64 {
        self.failures[kind.index()].count
    }
}
