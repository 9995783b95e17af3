//! Results of `vllm bench serve` and of SGLang's `bench_serving`: an object a run, with a list for each measure.
//!
//! vLLM's times are of Python's `time.perf_counter`, which is CLOCK_MONOTONIC; SGLang has written no starts so far.

use serde::{Deserialize, de::IgnoredAny};

use super::{endpoint, error_kind, parse};
use crate::{
    import::{
        Clock, Found, Place, Told,
        number::{Maybe, chunks, rounding_ns, seconds, tokens},
    },
    table::{RequestError, RequestRow, RequestSource},
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Columns {
    endpoint_type: Option<IgnoredAny>,
    backend: Maybe<String>,
    input_lens: Vec<Maybe<f64>>,
    output_lens: Vec<Maybe<f64>>,
    ttfts: Vec<Maybe<f64>>,
    itls: Vec<Maybe<Vec<f64>>>,
    latencies: Vec<Maybe<f64>>,
    start_times: Vec<Maybe<f64>>,
    errors: Vec<Maybe<Failure>>,
}

/// What a text of an error says of its kind; none where it is empty.
struct Failure(Option<RequestError>);

impl<'de> Deserialize<'de> for Failure {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self((!text.is_empty()).then(|| error_kind(&text))))
    }
}

/// Reads a run of vLLM's.
pub fn read_vllm(json: &[u8], place: Place, found: &mut Found) -> Result<(), String> {
    let columns: Columns = parse(json)?;
    if columns.endpoint_type.is_none() {
        return Err("no endpoint_type".to_owned());
    }
    columns.requests(RequestSource::VllmBench, place, found)
}

/// Reads a run of SGLang's.
pub fn read_sglang(json: &[u8], place: Place, found: &mut Found) -> Result<(), String> {
    let columns: Columns = parse(json)?;
    if columns.endpoint_type.is_some() {
        return Err("has endpoint_type, which SGLang does not write".to_owned());
    }
    columns.requests(RequestSource::SglangBench, place, found)
}

impl Columns {
    fn requests(&self, source: RequestSource, place: Place, found: &mut Found) -> Result<(), String> {
        if self.ttfts.is_empty() {
            return Err("no requests (they are written with --save-detailed, or --output-details)".to_owned());
        }
        let longest = [
            self.ttfts.len(),
            self.itls.len(),
            self.input_lens.len(),
            self.output_lens.len(),
            self.errors.len(),
            self.start_times.len(),
            self.latencies.len(),
        ]
        .into_iter()
        .max()
        .unwrap_or(0);
        for index in 0..longest {
            let place = Place { entry: index as u64 + 1, ..place };
            match self.request(index, source, place) {
                Ok(told) => found.take(told),
                Err(missing) => found.bad(place, format!("{missing} is missing, or no time")),
            }
        }
        Ok(())
    }

    fn request(&self, index: usize, source: RequestSource, place: Place) -> Result<Told, &'static str> {
        let number = |list: &[Maybe<f64>]| list.get(index).and_then(|value| value.0);
        let error = self.errors.get(index).and_then(|error| error.0.as_ref()).and_then(|failure| failure.0);
        let (clock, arrival, rounding_ns) = if self.start_times.is_empty() {
            (Clock::None, 0, rounding_ns(1.0))
        } else {
            let start = number(&self.start_times).ok_or("start_times")?;
            (Clock::Monotonic(None), seconds(start).ok_or("start_times")?, rounding_ns(start))
        };
        let after = |ns: u64| arrival.checked_add(ns);
        let ttft = number(&self.ttfts).and_then(seconds).ok_or("ttfts")?;
        let gaps = self.itls.get(index).and_then(|gaps| gaps.0.as_ref()).ok_or("itls")?;
        // Of a request that failed before its first token all is 0.
        let has_token = ttft > 0 || error.is_none();
        let token_ns = if has_token {
            let first = after(ttft).ok_or("ttfts")?;
            chunks(first, gaps.iter().map(|&gap| seconds(gap))).ok_or("itls")?
        } else {
            Vec::new()
        };
        let last = token_ns.last().copied().unwrap_or(arrival);
        let end = match number(&self.latencies) {
            Some(latency) if latency > 0.0 => seconds(latency).and_then(after).ok_or("latencies")?,
            _ => last,
        };
        let row = RequestRow {
            arrival_mono_ns: arrival,
            first_token_mono_ns: token_ns.first().copied(),
            end_mono_ns: Some(end),
            input_tokens: number(&self.input_lens).and_then(tokens),
            output_tokens: number(&self.output_lens).and_then(tokens),
            chunks: token_ns.len() as u32,
            endpoint: self.backend.0.as_deref().map(endpoint).unwrap_or_default(),
            streamed: true,
            error,
            source,
            ..RequestRow::default()
        };
        Ok(Told { place, clock, rounding_ns, row, token_ns })
    }
}
