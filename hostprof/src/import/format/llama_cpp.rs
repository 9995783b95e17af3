//! Responses of llama.cpp, which end with `timings`: how long the prompt and the tokens took. When, they tell only by
//! the second in which they were made (`created`), and llama.cpp's own endpoint not at all.

use serde::{Deserialize, de::IgnoredAny};

use super::{Reason, parse};
use crate::{
    import::{
        Clock, Found, Place, Told,
        number::{id, millis, tokens},
    },
    table::{Endpoint, RequestRow, RequestSource},
};

/// `created` is the end, cut to a second.
const SECOND_NS: u64 = 1_000_000_000;

#[derive(Deserialize)]
struct Response {
    id: Option<String>,
    object: Option<String>,
    created: Option<u64>,
    timings: Option<Timings>,
    stop: Option<bool>,
    stop_type: Option<Reason>,
    usage: Option<IgnoredAny>,
    #[serde(default)]
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    finish_reason: Option<Reason>,
}

#[derive(Deserialize)]
struct Timings {
    cache_n: Option<f64>,
    prompt_n: Option<f64>,
    prompt_ms: f64,
    predicted_n: Option<f64>,
    predicted_ms: f64,
}

/// Reads a response, or an event of one: the last of them has the timings of all.
pub fn read(json: &[u8], place: Place, found: &mut Found) -> Result<(), String> {
    let response: Response = parse(json)?;
    let reason = response.choices.iter().find_map(|choice| choice.finish_reason.as_ref());
    let is_usage = response.choices.is_empty() && response.usage.is_some();
    let is_last = response.stop == Some(true) || reason.is_some() || is_usage;
    let Some(timings) = response.timings.filter(|_| is_last) else { return Ok(()) };
    let prefill = millis(timings.prompt_ms).ok_or("prompt_ms is no time")?;
    let decode = millis(timings.predicted_ms).ok_or("predicted_ms is no time")?;
    let length = prefill.checked_add(decode).ok_or("timings are no times")?;
    let (clock, arrival, rounding_ns) = match response.created {
        Some(created) => {
            let end = created.checked_mul(SECOND_NS).and_then(|ns| ns.checked_add(SECOND_NS / 2));
            let arrival = end.and_then(|end| end.checked_sub(length)).ok_or("created is no time")?;
            (Clock::Wall, arrival, SECOND_NS / 2)
        }
        None => (Clock::None, 0, 0),
    };
    let cached = timings.cache_n.and_then(tokens);
    let row = RequestRow {
        request_id: response.id.as_deref().and_then(id).unwrap_or_default(),
        arrival_mono_ns: arrival,
        end_mono_ns: Some(arrival.checked_add(length).ok_or("created is no time")?),
        prefill_ns: Some(prefill),
        decode_ns: Some(decode),
        input_tokens: timings.prompt_n.and_then(|n| tokens(n + f64::from(cached.unwrap_or(0)))),
        output_tokens: timings.predicted_n.and_then(tokens),
        cached_tokens: cached,
        endpoint: match response.object.as_deref() {
            Some(object) if object.starts_with("chat") => Endpoint::Chat,
            Some("text_completion") => Endpoint::Completions,
            Some(_) => Endpoint::Other,
            None => Endpoint::Native,
        },
        streamed: response.object.is_some_and(|object| object.rsplit('.').next() == Some("chunk")),
        finish_reason: reason.or(response.stop_type.as_ref()).and_then(Reason::word),
        source: RequestSource::LlamaCpp,
        ..RequestRow::default()
    };
    found.take(Told { place, clock, rounding_ns, row, token_ns: Vec::new() });
    Ok(())
}
