//! `profile_export.jsonl` of AIPerf: a request a line, times in nanoseconds since the epoch, durations with their unit.

use serde::Deserialize;

use super::{error_kind, parse};
use crate::{
    import::{
        Clock, Found, Place, Told,
        number::{chunks, id, scaled, tokens},
    },
    table::{RequestError, RequestRow, RequestSource},
};

#[derive(Deserialize)]
struct Line {
    metadata: Metadata,
    metrics: Metrics,
    error: Option<Failure>,
}

#[derive(Deserialize)]
struct Metadata {
    x_request_id: Option<String>,
    request_start_ns: u64,
    request_end_ns: Option<u64>,
    #[serde(default)]
    was_cancelled: bool,
}

#[derive(Deserialize)]
struct Metrics {
    time_to_first_token: Option<Measure<f64>>,
    inter_chunk_latency: Option<Measure<Vec<f64>>>,
    request_latency: Option<Measure<f64>>,
    input_sequence_length: Option<Measure<f64>>,
    output_sequence_length: Option<Measure<f64>>,
    usage_prompt_tokens: Option<Measure<f64>>,
    usage_completion_tokens: Option<Measure<f64>>,
    usage_prompt_cache_read_tokens: Option<Measure<f64>>,
}

#[derive(Deserialize)]
struct Measure<T> {
    value: T,
    unit: Option<String>,
}

impl<T> Measure<T> {
    /// Nanoseconds of one of its unit.
    fn unit_ns(&self) -> Option<f64> {
        match self.unit.as_deref() {
            Some("ns") => Some(1.0),
            Some("us") => Some(1e3),
            None | Some("ms") => Some(1e6),
            Some("s" | "sec") => Some(1e9),
            Some(_) => None,
        }
    }
}

impl Measure<f64> {
    fn ns(&self) -> Option<u64> {
        scaled(self.value, self.unit_ns()?)
    }
}

#[derive(Deserialize)]
struct Failure {
    code: Option<u16>,
    r#type: Option<String>,
    message: Option<String>,
}

/// Reads a line.
pub fn read(json: &[u8], place: Place, found: &mut Found) -> Result<(), String> {
    let Line { metadata, metrics, error } = parse(json)?;
    let arrival = metadata.request_start_ns;
    let first = match &metrics.time_to_first_token {
        Some(ttft) => {
            Some(ttft.ns().and_then(|ns| arrival.checked_add(ns)).ok_or("time_to_first_token is no time")?)
        }
        None => None,
    };
    let token_ns = match (first, &metrics.inter_chunk_latency) {
        (Some(first), Some(gaps)) => {
            let unit = gaps.unit_ns();
            let gaps = gaps.value.iter().map(|&gap| scaled(gap, unit?));
            chunks(first, gaps).ok_or("inter_chunk_latency is no list of times")?
        }
        (Some(first), None) => vec![first],
        (None, _) => Vec::new(),
    };
    let latency = metrics.request_latency.as_ref().and_then(Measure::ns);
    let end = latency.and_then(|ns| arrival.checked_add(ns)).or(metadata.request_end_ns);
    let count = |measures: [&Option<Measure<f64>>; 2]| {
        measures.into_iter().flatten().next().and_then(|measure| tokens(measure.value))
    };
    let error = match error {
        _ if metadata.was_cancelled => Some(RequestError::Cancelled),
        Some(error) => Some(kind(&error)),
        None => None,
    };
    let row = RequestRow {
        request_id: metadata.x_request_id.as_deref().and_then(id).unwrap_or_default(),
        arrival_mono_ns: arrival,
        first_token_mono_ns: first,
        end_mono_ns: end.or(Some(arrival)),
        input_tokens: count([&metrics.usage_prompt_tokens, &metrics.input_sequence_length]),
        output_tokens: count([&metrics.usage_completion_tokens, &metrics.output_sequence_length]),
        cached_tokens: count([&metrics.usage_prompt_cache_read_tokens, &None]),
        chunks: token_ns.len() as u32,
        streamed: first.is_some(),
        error,
        source: RequestSource::Aiperf,
        ..RequestRow::default()
    };
    // Durations are in milliseconds to six decimals and more, times whole.
    found.take(Told { place, clock: Clock::Wall, rounding_ns: 1, row, token_ns });
    Ok(())
}

fn kind(error: &Failure) -> RequestError {
    match error.code {
        Some(499) => RequestError::Cancelled,
        Some(400..) => RequestError::Status,
        _ => error_kind(error.r#type.as_deref().or(error.message.as_deref()).unwrap_or_default()),
    }
}
