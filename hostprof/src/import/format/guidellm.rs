//! JSON of guidellm: requests in lists by how they ended, times in seconds since the epoch.
//!
//! It keeps the first and the last token's time of each request, and none between.

use serde::Deserialize;

use super::{error_kind, parse};
use crate::{
    import::{
        Clock, Found, Place, Told,
        number::{Maybe, id, rounding_ns, seconds, tokens},
    },
    table::{RequestError, RequestRow, RequestSource},
};

#[derive(Deserialize)]
struct Report {
    benchmarks: Vec<Benchmark>,
}

#[derive(Deserialize)]
struct Benchmark {
    requests: Option<Requests>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Requests {
    successful: Option<Vec<Maybe<Request>>>,
    errored: Option<Vec<Maybe<Request>>>,
    incomplete: Option<Vec<Maybe<Request>>>,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names are guidellm's")]
struct Request {
    request_id: Option<String>,
    request_start_time: Option<f64>,
    request_end_time: Option<f64>,
    time_to_first_token_ms: Option<f64>,
    prompt_tokens: Option<f64>,
    output_tokens: Option<f64>,
    cached_tokens: Option<f64>,
    info: Option<Info>,
}

#[derive(Deserialize)]
struct Info {
    error: Option<String>,
    timings: Option<Timings>,
}

#[derive(Deserialize)]
struct Timings {
    first_token_iteration: Option<f64>,
}

/// Reads a report.
pub fn read(json: &[u8], place: Place, found: &mut Found) -> Result<(), String> {
    let report: Report = parse(json)?;
    let mut entry = 0;
    for requests in report.benchmarks.into_iter().filter_map(|benchmark| benchmark.requests) {
        let lists = [
            (requests.successful, None),
            (requests.errored, Some(RequestError::Other)),
            (requests.incomplete, Some(RequestError::Cancelled)),
        ];
        for (list, ended) in lists {
            for request in list.unwrap_or_default() {
                entry += 1;
                let place = Place { entry, ..place };
                match request.0.as_ref().and_then(|request| told(request, ended, place)) {
                    Some(told) => found.take(told),
                    None => found.bad(place, "request_start_time is missing, or no time"),
                }
            }
        }
    }
    Ok(())
}

fn told(request: &Request, ended: Option<RequestError>, place: Place) -> Option<Told> {
    let start = request.request_start_time?;
    let arrival = seconds(start)?;
    let timings = request.info.as_ref().and_then(|info| info.timings.as_ref());
    let first = match timings.and_then(|timings| timings.first_token_iteration) {
        Some(at) => Some(seconds(at)?),
        None => match request.time_to_first_token_ms {
            Some(ms) => Some(arrival.checked_add(seconds(ms / 1e3)?)?),
            None => None,
        },
    };
    let end = match request.request_end_time {
        Some(at) => seconds(at)?,
        None => first.unwrap_or(arrival),
    };
    let error = ended.map(|ended| {
        let text = request.info.as_ref().and_then(|info| info.error.as_deref());
        text.map_or(ended, error_kind)
    });
    let row = RequestRow {
        request_id: request.request_id.as_deref().and_then(id).unwrap_or_default(),
        arrival_mono_ns: arrival,
        first_token_mono_ns: first,
        end_mono_ns: Some(end),
        input_tokens: request.prompt_tokens.and_then(tokens),
        output_tokens: request.output_tokens.and_then(tokens),
        cached_tokens: request.cached_tokens.and_then(tokens),
        streamed: first.is_some(),
        error,
        source: RequestSource::Guidellm,
        ..RequestRow::default()
    };
    Some(Told { place, clock: Clock::Wall, rounding_ns: rounding_ns(start), row, token_ns: Vec::new() })
}
