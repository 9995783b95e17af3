//! What a server tells: the data of an event, or the whole of a response that is not streamed. Only what is measured
//! is read; the text is passed over, and nothing is allocated for it.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

/// The data of one event, or of a whole response.
#[derive(Debug, Default)]
pub struct Chunk<'a> {
    /// It carries tokens: it has a choice, or is content of llama.cpp's own endpoint.
    pub has_token: bool,
    /// It is the last of llama.cpp's own endpoint, which sends no `[DONE]`.
    pub stop: bool,
    /// Why the response ended.
    pub finish_reason: Option<Cow<'a, str>>,
    /// What the server counted and timed.
    pub told: Told,
    /// The server tells an error.
    pub error: Option<String>,
}

/// What a server tells of a request, in whatever chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    /// Tokens of the prompt.
    pub input_tokens: Option<u32>,
    /// Tokens of the response.
    pub output_tokens: Option<u32>,
    /// Tokens of the prompt that were in the server's cache.
    pub cached_tokens: Option<u32>,
    /// Time of the prompt, milliseconds (llama.cpp).
    pub prompt_ms: Option<f64>,
    /// Time of the response's tokens, milliseconds (llama.cpp).
    pub decode_ms: Option<f64>,
}

impl Told {
    /// Takes over what another tells.
    pub fn update(&mut self, newer: Self) {
        self.input_tokens = newer.input_tokens.or(self.input_tokens);
        self.output_tokens = newer.output_tokens.or(self.output_tokens);
        self.cached_tokens = newer.cached_tokens.or(self.cached_tokens);
        self.prompt_ms = newer.prompt_ms.or(self.prompt_ms);
        self.decode_ms = newer.decode_ms.or(self.decode_ms);
    }
}

impl<'a> Chunk<'a> {
    /// Reads JSON.
    ///
    /// # Errors
    ///
    /// It is none, or not that of a response.
    pub fn read(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        let raw: Raw<'a> = serde_json::from_slice(json)?;
        let usage = raw.usage.unwrap_or_default();
        let timings = raw.timings.unwrap_or_default();
        let choices = raw.choices.unwrap_or_default();
        let stop = raw.stop.unwrap_or_default();
        Ok(Self {
            // The last chunk of llama.cpp's own endpoint is empty in a stream, and all there is without one.
            has_token: choices.count > 0 || raw.content.is_some_and(|content| !stop || content),
            stop,
            finish_reason: choices
                .finish_reason
                .or_else(|| raw.stop_type.map(|text| text.0).filter(|_| stop)),
            told: Told {
                input_tokens: usage.prompt_tokens.or(raw.tokens_evaluated.filter(|_| stop)),
                output_tokens: usage.completion_tokens.or(raw.tokens_predicted.filter(|_| stop)),
                cached_tokens: usage
                    .prompt_tokens_details
                    .and_then(|details| details.cached_tokens)
                    .or(timings.cache_n),
                prompt_ms: timings.prompt_ms,
                decode_ms: timings.predicted_ms,
            },
            error: raw.error.map(|error| error.0),
        })
    }
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    choices: Option<Choices<'a>>,
    #[serde(default, deserialize_with = "is_filled")]
    content: Option<bool>,
    stop: Option<bool>,
    #[serde(borrow, default)]
    stop_type: Option<Text<'a>>,
    usage: Option<Usage>,
    timings: Option<Timings>,
    tokens_evaluated: Option<u32>,
    tokens_predicted: Option<u32>,
    error: Option<ErrorText>,
}

#[derive(Default, Deserialize)]
struct Usage {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    cached_tokens: Option<u32>,
}

#[derive(Default, Deserialize)]
struct Timings {
    prompt_ms: Option<f64>,
    predicted_ms: Option<f64>,
    cache_n: Option<u32>,
}

/// A text that is borrowed where nothing in it is escaped: serde does not by itself look into an `Option`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Whether a text is there, and whether anything is in it.
fn is_filled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Option::<Text<'de>>::deserialize(deserializer)?.map(|text| !text.0.is_empty()))
}

/// The choices of a chunk: how many, and the last reason of an end.
#[derive(Default)]
struct Choices<'a> {
    count: u32,
    finish_reason: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        #[derive(Deserialize)]
        struct Choice<'a> {
            #[serde(borrow, default)]
            finish_reason: Option<Text<'a>>,
        }

        impl<'de> Visitor<'de> for Each {
            type Value = Choices<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut choices = Choices::default();
                while let Some(choice) = list.next_element::<Choice<'de>>()? {
                    choices.count += 1;
                    choices.finish_reason = choice.finish_reason.map(|text| text.0).or(choices.finish_reason);
                }
                Ok(choices)
            }
        }

        deserializer.deserialize_seq(Each)
    }
}

/// An error in a server's words: its `message`, or itself where it is a text.
struct ErrorText(String);

impl<'de> Deserialize<'de> for ErrorText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Error {
            Text(String),
            Object { message: String },
            Other(IgnoredAny),
        }
        Ok(Self(match Error::deserialize(deserializer)? {
            Error::Text(text) | Error::Object { message: text } => text,
            Error::Other(_) => "no message".to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Chunk<'_> {
        Chunk::read(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_choice_makes_a_token_event_whatever_it_holds() {
        assert!(read(r#"{"choices":[{"index":0,"text":"","finish_reason":null}],"usage":null}"#).has_token);
        assert!(read(r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#).has_token);
        let last = read(r#"{"choices":[{"text":"é\u00e9","finish_reason":"length"}]}"#);
        assert!(last.has_token && last.finish_reason.as_deref() == Some("length"));
        assert!(matches!(last.finish_reason, Some(Cow::Borrowed(_))), "nothing is allocated");
    }

    #[test]
    fn a_chunk_of_usage_alone_is_none() {
        let usage = read(
            r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,
                "prompt_tokens_details":{"cached_tokens":4}},"timings":{"prompt_ms":1.5,"predicted_ms":9.25}}"#,
        );
        assert!(!usage.has_token);
        let told = Told {
            input_tokens: Some(5),
            output_tokens: Some(7),
            cached_tokens: Some(4),
            prompt_ms: Some(1.5),
            decode_ms: Some(9.25),
        };
        assert_eq!(usage.told, told);
        let mut kept = told;
        kept.update(Told::default());
        assert_eq!(kept, told, "what is not told again stays");
    }

    #[test]
    fn llama_cpps_own_content_is_a_token_event() {
        assert!(read(r#"{"index":0,"content":"a","tokens":[1],"stop":false}"#).has_token);
        let last = read(
            r#"{"content":"","stop":true,"stop_type":"limit","tokens_predicted":8,"tokens_evaluated":4,"timings":{"cache_n":3}}"#,
        );
        assert!(last.stop && !last.has_token && last.finish_reason.as_deref() == Some("limit"));
        assert_eq!((last.told.output_tokens, last.told.cached_tokens), (Some(8), Some(3)));
        assert!(read(r#"{"content":"all of it","stop":true}"#).has_token, "not streamed");
    }

    #[test]
    fn an_error_is_told_in_the_servers_words() {
        assert_eq!(read(r#"{"error":{"code":500,"message":"no slot"}}"#).error.as_deref(), Some("no slot"));
        assert_eq!(read(r#"{"error":"no slot"}"#).error.as_deref(), Some("no slot"));
        assert_eq!(read(r#"{"error":{"code":1}}"#).error.as_deref(), Some("no message"));
        assert_eq!(read(r#"{"error":null,"choices":[]}"#).error, None);
    }

    #[test]
    fn what_is_no_response_is_refused() {
        for json in ["", "nonsense", "[]", "{\"choices\":5}", "{\"choices\":[", "\"text\""] {
            assert!(Chunk::read(json.as_bytes()).is_err(), "{json}");
        }
    }
}
