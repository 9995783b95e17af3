//! The formats: one file each, and the one list.

mod aiperf;
mod columns;
mod guidellm;
mod llama_cpp;
mod load;
mod otel;
mod sglang;

use serde::Deserialize;

use super::{
    Found, Place,
    documents::{contains, without_place},
    number,
};
use crate::table::{Endpoint, RequestError, RequestSource};

/// A format that is read.
#[derive(Debug)]
pub struct Format {
    /// What it tells requests as: its word names the format.
    pub source: RequestSource,
    /// What writes it.
    pub what: &'static str,
    /// What is in every file of it.
    marks: &'static [&'static str],
    read: fn(&[u8], Place, &mut Found) -> Result<(), String>,
}

/// Every format.
pub const FORMATS: &[Format] = &[
    Format {
        source: RequestSource::Load,
        what: "hostprof load -o FILE",
        marks: &["\"hostprof-load/1\"", "\"arrival_mono_ns\""],
        read: load::read,
    },
    Format {
        source: RequestSource::VllmBench,
        what: "vllm bench serve --save-result --save-detailed",
        marks: &["\"endpoint_type\"", "\"ttfts\"", "\"itls\""],
        read: columns::read_vllm,
    },
    Format {
        source: RequestSource::SglangBench,
        what: "python3 -m sglang.bench_serving --output-file FILE --output-details",
        marks: &["\"ttfts\"", "\"itls\"", "\"input_lens\""],
        read: columns::read_sglang,
    },
    Format {
        source: RequestSource::Sglang,
        what: "an SGLang server's --export-metrics-to-file",
        marks: &["\"request_parameters\"", "\"e2e_latency\""],
        read: sglang::read,
    },
    Format {
        source: RequestSource::Aiperf,
        what: "profile_export.jsonl of aiperf profile",
        marks: &["\"request_start_ns\"", "\"metrics\""],
        read: aiperf::read,
    },
    Format {
        source: RequestSource::Guidellm,
        what: "guidellm run --output kind=json",
        marks: &["\"benchmarks\"", "\"requests\"", "\"request_start_time\""],
        read: guidellm::read,
    },
    Format {
        source: RequestSource::LlamaCpp,
        what: "responses of llama.cpp with timings, one a line or as a stream",
        marks: &["\"timings\"", "\"predicted_ms\""],
        read: llama_cpp::read,
    },
    Format {
        source: RequestSource::Otel,
        what: "OTLP spans as JSON, with gen_ai attributes",
        marks: &["\"resourceSpans\"", "\"gen_ai."],
        read: otel::read,
    },
];

impl Format {
    /// What a text lacks to be of this format.
    pub(super) fn missing(&self, text: &[u8]) -> Option<&'static str> {
        self.marks.iter().copied().find(|mark| !contains(text, mark.as_bytes()))
    }

    pub(super) fn read(&self, json: &[u8], place: Place, found: &mut Found) -> Result<(), String> {
        (self.read)(json, place, found)
    }
}

/// A document as its type.
fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| without_place(&error))
}

/// What a text of an error says of its kind; the text itself is not kept.
fn error_kind(text: &str) -> RequestError {
    let text = text.to_ascii_lowercase();
    let says = |word: &str| text.contains(word);
    if says("timeout") || says("timed out") {
        RequestError::Timeout
    } else if says("cannot connect") || says("connection refused") {
        RequestError::Connect
    } else if says("disconnected") || says("connection reset") || says("closed") {
        RequestError::Closed
    } else if says("cancel") || says("abort") {
        RequestError::Cancelled
    } else {
        RequestError::Other
    }
}

/// The endpoint that a tool's name for it means.
fn endpoint(name: &str) -> Endpoint {
    if name.contains("chat") {
        Endpoint::Chat
    } else if name.contains("completion") || name == "openai" || name == "vllm" {
        Endpoint::Completions
    } else if name.contains("native") || name.starts_with("sglang") {
        Endpoint::Native
    } else {
        Endpoint::Other
    }
}

/// A reason of an end: a word, or an object with a `type`, as SGLang has it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reason {
    Word(String),
    Typed { r#type: String },
    Other(serde::de::IgnoredAny),
}

impl Reason {
    fn word(&self) -> Option<String> {
        match self {
            Self::Word(word) | Self::Typed { r#type: word } => number::word(word),
            Self::Other(_) => None,
        }
    }
}
