//! The bodies of requests.
//!
//! Exact lengths need two things that not every server takes: prompts as token ids, and `ignore_eos`. llama.cpp and
//! vLLM take both; which of them this server takes is found out once, see [`super::contact`].

use std::io::Write as _;

use super::mix::Spec;
use crate::table::Endpoint;

/// Ids below are special tokens in many vocabularies.
const FIRST_ID: u32 = 16;

/// Words of one token in most vocabularies, each with its space.
const WORDS: [&str; 64] = [
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school",
    "state", "family", "group", "country", "hand", "part", "place", "case", "week", "company", "system",
    "program", "work", "number", "night", "point", "home", "water", "room", "mother", "area", "money",
    "story", "fact", "month", "lot", "right", "study", "book", "eye", "job", "word", "business", "issue",
    "side", "kind", "head", "house", "service", "friend", "father", "power", "hour", "game", "line", "end",
    "member", "law", "car", "city", "name", "team",
];

/// How a prompt is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// As token ids below this number: of exactly the wanted length.
    Ids(u32),
    /// As words: about a token each.
    Text,
}

/// How requests are told to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The prompt.
    pub told: Told,
    /// Whether the response is asked to go on past an end-of-sequence token, to the wanted length.
    pub ignore_eos: bool,
}

/// Writes the bodies of one endpoint.
#[derive(Clone, Debug)]
pub struct Bodies {
    endpoint: Endpoint,
    /// The model's name, as JSON.
    model: String,
    stream: bool,
    /// How they are told.
    pub form: Form,
}

impl Bodies {
    /// Bodies for a model.
    pub fn new(endpoint: Endpoint, model: &str, stream: bool, form: Form) -> Self {
        Self { endpoint, model: serde_json::Value::from(model).to_string(), stream, form }
    }

    /// The body of a request.
    pub fn body(&self, spec: &Spec) -> Vec<u8> {
        let mut body = Vec::with_capacity(256 + spec.prompt.tokens() as usize * 6);
        // Writing to memory does not fail.
        let _ = match self.endpoint {
            Endpoint::Chat => {
                write!(body, r#"{{"model":{},"messages":[{{"role":"user","content":"#, self.model)
            }
            Endpoint::Native => write!(body, r#"{{"prompt":"#),
            _ => write!(body, r#"{{"model":{},"prompt":"#, self.model),
        };
        match (self.endpoint, self.form.told) {
            (Endpoint::Chat, _) | (_, Told::Text) => text(spec, &mut body),
            (_, Told::Ids(below)) => ids(spec, below, &mut body),
        }
        let length = if self.endpoint == Endpoint::Native { "n_predict" } else { "max_tokens" };
        let end = if self.endpoint == Endpoint::Chat { "}]" } else { "" };
        let _ = write!(body, r#"{end},"{length}":{},"stream":{}"#, spec.output_tokens, self.stream);
        if self.stream && self.endpoint != Endpoint::Native {
            body.extend_from_slice(br#","stream_options":{"include_usage":true}"#);
        }
        if self.form.ignore_eos {
            body.extend_from_slice(br#","ignore_eos":true"#);
        }
        body.push(b'}');
        body
    }
}

fn ids(spec: &Spec, below: u32, body: &mut Vec<u8>) {
    body.push(b'[');
    for (at, id) in spec.prompt.draw(below.saturating_sub(FIRST_ID).max(1)).enumerate() {
        if at > 0 {
            body.push(b',');
        }
        let _ = write!(body, "{}", FIRST_ID + id);
    }
    body.push(b']');
}

fn text(spec: &Spec, body: &mut Vec<u8>) {
    body.push(b'"');
    for (at, word) in spec.prompt.draw(WORDS.len() as u32).enumerate() {
        if at > 0 {
            body.push(b' ');
        }
        body.extend_from_slice(WORDS[word as usize].as_bytes());
    }
    body.push(b'"');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::load::mix::Prompt;

    fn body(endpoint: Endpoint, stream: bool, form: Form) -> Value {
        let spec = Spec { prompt: Prompt::new(12, 3), output_tokens: 7 };
        serde_json::from_slice(&Bodies::new(endpoint, "a \"model\"", stream, form).body(&spec)).unwrap()
    }

    #[test]
    fn a_completion_has_as_many_ids_as_wanted() {
        let form = Form { told: Told::Ids(256), ignore_eos: true };
        let body = body(Endpoint::Completions, true, form);
        let ids = body["prompt"].as_array().unwrap();
        assert_eq!(ids.len(), 12);
        assert!(ids.iter().all(|id| (16..256).contains(&id.as_u64().unwrap())));
        assert_eq!(body["model"], "a \"model\"");
        assert_eq!(body["max_tokens"], 7);
        assert_eq!(body["ignore_eos"], true);
        assert_eq!(body["stream_options"], json!({"include_usage": true}));
    }

    #[test]
    fn a_chat_is_told_in_words() {
        let form = Form { told: Told::Ids(256), ignore_eos: false };
        let body = body(Endpoint::Chat, false, form);
        let content = body["messages"][0]["content"].as_str().unwrap();
        assert_eq!(content.split(' ').count(), 12);
        assert_eq!(body["stream"], false);
        assert!(body.get("ignore_eos").is_none() && body.get("stream_options").is_none());
    }

    #[test]
    fn the_native_endpoint_has_its_own_word_for_the_length() {
        let form = Form { told: Told::Text, ignore_eos: true };
        let body = body(Endpoint::Native, true, form);
        assert_eq!(body["n_predict"], 7);
        assert!(
            body["prompt"].is_string() && body.get("model").is_none() && body.get("stream_options").is_none()
        );
    }
}
