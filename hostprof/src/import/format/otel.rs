//! OTLP spans as JSON (`resourceSpans`), those of requests to a model: with `gen_ai.` attributes, and no such span below.
//!
//! Times are nanoseconds since the epoch, durations seconds, as vLLM's attributes (`gen_ai.latency.…`) have them.

use std::collections::HashSet;

use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::parse;
use crate::{
    import::{
        Clock, Found, Place, Told,
        number::{id, seconds, tokens, word},
    },
    table::{Endpoint, RequestError, RequestRow, RequestSource},
};

const PREFIX: &str = "gen_ai.";
/// A span's status, that it failed.
const FAILED: u64 = 2;

#[derive(Deserialize)]
struct Export {
    #[serde(rename = "resourceSpans")]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default, rename = "scopeSpans")]
    scopes: Vec<Scope>,
}

#[derive(Deserialize)]
struct Scope {
    #[serde(default)]
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    #[serde(default, rename = "spanId")]
    id: String,
    #[serde(default, rename = "parentSpanId")]
    parent: String,
    #[serde(rename = "startTimeUnixNano", deserialize_with = "whole", default)]
    start: Option<u64>,
    #[serde(rename = "endTimeUnixNano", deserialize_with = "whole", default)]
    end: Option<u64>,
    #[serde(default)]
    attributes: Vec<Attribute>,
    status: Option<Status>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "whole")]
    code: Option<u64>,
}

#[derive(Deserialize)]
struct Attribute {
    #[serde(default)]
    key: String,
    value: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Value {
    #[serde(rename = "stringValue")]
    text: Option<String>,
    #[serde(rename = "intValue", deserialize_with = "whole")]
    int: Option<u64>,
    #[serde(rename = "doubleValue")]
    double: Option<f64>,
    #[serde(rename = "arrayValue")]
    array: Option<Array>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Array {
    values: Vec<Value>,
}

/// A whole number, which JSON of protobuf writes as a text; a status also as a name.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Whole {
        Number(u64),
        Text(String),
        Other(IgnoredAny),
    }
    Ok(match Whole::deserialize(deserializer)? {
        Whole::Number(number) => Some(number),
        Whole::Text(text) if text == "STATUS_CODE_ERROR" => Some(FAILED),
        Whole::Text(text) => text.parse().ok(),
        Whole::Other(_) => None,
    })
}

/// Reads an export.
pub fn read(json: &[u8], place: Place, found: &mut Found) -> Result<(), String> {
    let export: Export = parse(json)?;
    let spans: Vec<&Span> = export
        .resources
        .iter()
        .flat_map(|resource| &resource.scopes)
        .flat_map(|scope| &scope.spans)
        .filter(|span| span.is_request())
        .collect();
    // A client's span of a request has the server's below it: one request, told by who worked on it.
    let parents: HashSet<&str> =
        spans.iter().map(|span| span.parent.as_str()).filter(|id| !id.is_empty()).collect();
    for (index, span) in spans.iter().enumerate().filter(|(_, span)| !parents.contains(span.id.as_str())) {
        let place = Place { entry: index as u64 + 1, ..place };
        match span.told(place) {
            Some(told) => found.take(told),
            None => found.bad(place, "a span's start, end or first token is missing, or no time"),
        }
    }
    Ok(())
}

impl Span {
    fn is_request(&self) -> bool {
        let operation = self.text("gen_ai.operation.name");
        self.attributes.iter().any(|attribute| attribute.key.starts_with(PREFIX))
            && operation.is_none_or(|name| matches!(name, "chat" | "text_completion" | "generate_content"))
    }

    fn told(&self, place: Place) -> Option<Told> {
        let (start, end) = (self.start?, self.end?);
        let ttft = ["gen_ai.latency.time_to_first_token", "gen_ai.server.time_to_first_token"];
        let first = match ttft.iter().find_map(|key| self.number(key)) {
            Some(ttft) => Some(start.checked_add(seconds(ttft)?)?),
            None => None,
        };
        let time = |key: &str| self.number(key).and_then(seconds);
        let count = |keys: [&str; 2]| keys.iter().find_map(|key| self.number(key)).and_then(tokens);
        let name = ["gen_ai.request.id", "gen_ai.response.id"].iter().find_map(|key| self.text(key));
        let failed = self.status.as_ref().is_some_and(|status| status.code == Some(FAILED));
        let row = RequestRow {
            request_id: name.and_then(id).or_else(|| id(&self.id)).unwrap_or_default(),
            arrival_mono_ns: start,
            first_token_mono_ns: first,
            end_mono_ns: Some(end),
            queue_ns: time("gen_ai.latency.time_in_queue"),
            prefill_ns: time("gen_ai.latency.time_in_model_prefill"),
            decode_ns: time("gen_ai.latency.time_in_model_decode"),
            input_tokens: count(["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"]),
            output_tokens: count(["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"]),
            cached_tokens: count(["gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cached_tokens"]),
            endpoint: match self.text("gen_ai.operation.name") {
                Some("chat") => Endpoint::Chat,
                Some("text_completion") => Endpoint::Completions,
                _ => Endpoint::Other,
            },
            streamed: first.is_some(),
            finish_reason: self.reason().and_then(word),
            error: failed.then_some(RequestError::Other),
            source: RequestSource::Otel,
            ..RequestRow::default()
        };
        Some(Told { place, clock: Clock::Wall, rounding_ns: 1, row, token_ns: Vec::new() })
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.value(key)?.text.as_deref()
    }

    fn number(&self, key: &str) -> Option<f64> {
        let value = self.value(key)?;
        value.double.or(value.int.map(|int| int as f64))
    }

    /// The first of the reasons, or the only one.
    fn reason(&self) -> Option<&str> {
        let value = self.value("gen_ai.response.finish_reasons")?;
        value.text.as_deref().or_else(|| value.array.as_ref()?.values.first()?.text.as_deref())
    }
}
