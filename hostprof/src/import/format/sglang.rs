//! What an SGLang server writes with `--export-metrics-to-file`: a request a line, its `meta_info` beside the parameters
//! or within. Times are seconds since the epoch, and there only with `--enable-metrics`; else durations alone.

use serde::{Deserialize, de::IgnoredAny};

use super::{Reason, parse};
use crate::{
    import::{
        Clock, Found, Place, Told,
        number::{id, rounding_ns, seconds, tokens},
    },
    table::{Endpoint, RequestError, RequestRow, RequestSource},
};

#[derive(Deserialize)]
struct Line {
    request_parameters: Option<IgnoredAny>,
    meta_info: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    id: Option<String>,
    prompt_tokens: Option<f64>,
    completion_tokens: Option<f64>,
    cached_tokens: Option<f64>,
    e2e_latency: Option<f64>,
    queue_time: Option<f64>,
    inference_time: Option<f64>,
    request_received_ts: Option<f64>,
    #[serde(alias = "prefill_finished_time")]
    prefill_finished_ts: Option<f64>,
    forward_entry_time: Option<f64>,
    request_finished_ts: Option<f64>,
    finish_reason: Option<Reason>,
}

/// Reads a line.
pub fn read(json: &[u8], place: Place, found: &mut Found) -> Result<(), String> {
    let line: Line = parse(json)?;
    if line.request_parameters.is_none() {
        return Err("no request_parameters".to_owned());
    }
    let meta = match line.meta_info {
        Some(meta) => meta,
        None => parse(json)?,
    };
    let e2e = match meta.e2e_latency {
        Some(latency) => Some(seconds(latency).ok_or("e2e_latency is no time")?),
        None => None,
    };
    let (clock, arrival, rounding_ns) = match meta.request_received_ts {
        Some(at) => (Clock::Wall, seconds(at).ok_or("request_received_ts is no time")?, rounding_ns(at)),
        None => (Clock::None, 0, rounding_ns(1.0)),
    };
    let finished = meta.request_finished_ts.filter(|_| clock == Clock::Wall).and_then(seconds);
    let end = finished
        .or(e2e.and_then(|ns| arrival.checked_add(ns)))
        .ok_or("no e2e_latency and no request_finished_ts")?;
    let prefilled = meta.prefill_finished_ts.and_then(seconds);
    // Versions differ in the clock of this one: it counts where it lies within the request.
    let first = prefilled.filter(|&at| clock == Clock::Wall && arrival <= at && at <= end);
    let entered = meta.forward_entry_time.and_then(seconds);
    let prefill = prefilled
        .zip(entered)
        .and_then(|(end, start)| end.checked_sub(start))
        .filter(|&ns| ns <= end - arrival.min(end));
    let inference = meta.inference_time.and_then(seconds);
    let aborted = meta.finish_reason.as_ref().and_then(Reason::word).is_some_and(|word| word == "abort");
    let row = RequestRow {
        request_id: meta.id.as_deref().and_then(id).unwrap_or_default(),
        arrival_mono_ns: arrival,
        first_token_mono_ns: first,
        end_mono_ns: Some(end),
        queue_ns: meta.queue_time.and_then(seconds),
        prefill_ns: prefill,
        decode_ns: prefill.zip(inference).and_then(|(prefill, all)| all.checked_sub(prefill)),
        input_tokens: meta.prompt_tokens.and_then(tokens),
        output_tokens: meta.completion_tokens.and_then(tokens),
        cached_tokens: meta.cached_tokens.and_then(tokens),
        endpoint: Endpoint::Other,
        streamed: first.is_some(),
        finish_reason: meta.finish_reason.as_ref().and_then(Reason::word),
        error: aborted.then_some(RequestError::Cancelled),
        source: RequestSource::Sglang,
        ..RequestRow::default()
    };
    found.take(Told { place, clock, rounding_ns, row, token_ns: Vec::new() });
    Ok(())
}
