//! Events of a streamed response: which lines carry tokens.
//!
//! The stream is that of the HTML standard, section 9.2; its `data` are JSON, of which no more is read than tells a
//! chunk of tokens from the rest.

use crate::table::Endpoint;

/// Bytes of a line that are looked at: what tells its kind comes first.
const LINE_BYTES: usize = 2048;

/// A line that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Tokens.
    Tokens,
    /// An error, told within the stream.
    Error,
}

/// The lines of one response.
#[derive(Debug)]
pub struct Events {
    endpoint: Endpoint,
    /// The beginning of the line under way.
    line: Vec<u8>,
    /// Whether what comes up to the next line feed belongs to a line that is done with.
    skips: bool,
}

impl Events {
    /// Those of a response from an endpoint.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, line: Vec::new(), skips: false }
    }

    /// Reads bytes of the body; hands over each line that means something, at its end.
    pub fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Event)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            if !self.skips {
                let room = LINE_BYTES - self.line.len();
                self.line.extend_from_slice(&text[..text.len().min(room)]);
            }
            if ends {
                if !self.skips {
                    self.kind().into_iter().for_each(&mut each);
                }
                self.line.clear();
                self.skips = false;
            }
        }
    }

    /// Bytes of the body come that are not known: the line under way is taken as it is.
    pub fn skip(&mut self, mut each: impl FnMut(Event)) {
        if !self.skips {
            self.kind().into_iter().for_each(&mut each);
        }
        self.line.clear();
        self.skips = true;
    }

    fn kind(&self) -> Option<Event> {
        if self.line.starts_with(b"error:") {
            return Some(Event::Error);
        }
        let data = self.line.strip_prefix(b"data:")?.trim_ascii();
        if data.is_empty() || data.starts_with(b"[DONE]") {
            return None;
        }
        if data.starts_with(b"{\"error\"") {
            return Some(Event::Error);
        }
        let has = |what: &str| data.windows(what.len()).any(|window| window == what.as_bytes());
        let tokens = match self.endpoint {
            Endpoint::Messages => has("content_block_delta"),
            Endpoint::Responses => has(".delta\""),
            // The last event tells the usage, and no choice.
            _ => !has("\"choices\":[]") && !has("\"choices\": []"),
        };
        tokens.then_some(Event::Tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parts: &[&str], endpoint: Endpoint) -> Vec<Event> {
        let mut events = Events::new(endpoint);
        let mut seen = Vec::new();
        for part in parts {
            events.read(part.as_bytes(), |event| seen.push(event));
        }
        seen
    }

    #[test]
    fn only_lines_with_tokens_are_told_wherever_they_are_cut() {
        let body = ": ping\n\ndata: {\"choices\":[{\"text\":\"a\"}]}\r\n\r\ndata:{\"choices\":[{\"text\":\"\"}]}\n\n\
                    data: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";
        for cut in 0..body.len() {
            let (a, b) = body.split_at(cut);
            assert_eq!(read(&[a, b], Endpoint::Completions), [Event::Tokens; 2], "cut at {cut}");
        }
    }

    #[test]
    fn errors_and_other_vocabularies_are_told() {
        assert_eq!(read(&["data: {\"error\":{\"code\":500}}\n"], Endpoint::Chat), [Event::Error]);
        assert_eq!(read(&["error: {}\n"], Endpoint::Native), [Event::Error]);
        let messages =
            "event: x\ndata: {\"type\":\"message_start\"}\n\ndata: {\"type\":\"content_block_delta\"}\n\n";
        assert_eq!(read(&[messages], Endpoint::Messages), [Event::Tokens]);
        let responses =
            "data: {\"type\":\"response.created\"}\ndata: {\"type\":\"response.output_text.delta\"}\n";
        assert_eq!(read(&[responses], Endpoint::Responses), [Event::Tokens]);
    }

    #[test]
    fn a_line_that_is_not_seen_to_its_end_counts_once() {
        let mut events = Events::new(Endpoint::Completions);
        let mut seen = Vec::new();
        events.read(b"data: {\"choices\":[{\"logprobs\"", |event| seen.push(event));
        events.skip(|event| seen.push(event));
        events.read(b":1}]}\n\ndata: {\"choices\":[{}]}\n", |event| seen.push(event));
        assert_eq!(seen, [Event::Tokens; 2]);
        let long = format!("data: {{\"choices\":[{{\"text\":\"{}\"}}]}}\n", "x".repeat(9000));
        assert_eq!(read(&[&long], Endpoint::Completions), [Event::Tokens]);
    }
}
