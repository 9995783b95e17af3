//! One request and its response.

use std::{mem, rc::Rc};

use http_body_util::BodyExt as _;
use hyper::{
    Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
};

use super::{
    chunk::{Chunk, Told},
    failure::{Failure, excerpt},
    pool::Connection,
    socket::Stamps,
    sse::Parser,
};
use crate::table::RequestError;

/// A response that is not streamed is no larger, nor is what is read of an error.
const MOST_BODY_BYTES: usize = 64 << 20;
const MOST_ERROR_BYTES: usize = 4 << 10;

/// What was seen of a request, in its last attempt. Times are CLOCK_MONOTONIC nanoseconds.
#[derive(Debug, Default)]
pub struct Seen {
    /// When the first byte was handed to the socket.
    pub send: Option<u64>,
    /// When the first byte of the response was read.
    pub first_byte: Option<u64>,
    /// When each event with tokens was read.
    pub tokens: Vec<u64>,
    /// When the response was whole.
    pub end: Option<u64>,
    /// What the server counted and timed.
    pub told: Told,
    /// Status of the response.
    pub status: Option<u16>,
    /// Why the server ended it.
    pub finish_reason: Option<String>,
    /// Bytes of its body.
    pub response_bytes: u64,
    /// The connection, by its number.
    pub connection: Option<u64>,
    /// The most time between the kernel's receiving and the reading; absent where the kernel does not tell.
    pub read_delay_ns: Option<u64>,
    /// The response had tokens, streamed or not.
    has_token: bool,
    /// The server said that it is at its end: `[DONE]`, `stop`.
    is_done: bool,
    parser: Parser,
    stamps: Option<Rc<Stamps>>,
}

impl Seen {
    /// Begins another attempt, or request. What was allocated stays.
    pub fn reset(&mut self) {
        let (mut tokens, mut parser) = (mem::take(&mut self.tokens), mem::take(&mut self.parser));
        tokens.clear();
        parser.reset();
        *self = Self { tokens, parser, ..Self::default() };
    }

    /// An exchange over that connection begins.
    pub fn begin(&mut self, connection: &Connection) {
        connection.stamps.reset();
        self.connection = Some(connection.number);
        self.stamps = Some(Rc::clone(&connection.stamps));
    }

    /// Takes the stamps of what passed: also of an exchange that was broken off.
    pub fn take_stamps(&mut self) {
        if let Some(stamps) = self.stamps.take() {
            let at = |ns: u64| Some(ns).filter(|&ns| ns > 0);
            self.send = at(stamps.first_write.get());
            self.first_byte = at(stamps.first_read.get());
            self.read_delay_ns = stamps.delay_is_known.get().then(|| stamps.read_delay_ns.get());
        }
    }

    /// Reads a response to its end.
    ///
    /// # Errors
    ///
    /// It is not what was asked for, or ends early.
    pub async fn read(&mut self, response: Response<Incoming>, stream: bool) -> Result<(), Failure> {
        let status = response.status();
        self.status = Some(status.as_u16());
        if !status.is_success() {
            return Err(self.read_refusal(status, response.into_body()).await);
        }
        let content_type =
            response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
        let is_stream = content_type.as_ref().is_some_and(|of| of.starts_with(b"text/event-stream"));
        if stream && !is_stream {
            let of = content_type.map_or_else(|| "no content type".to_owned(), |of| excerpt(&of));
            let text = format!("the response is no event stream but {of} (--no-stream for such a server)");
            return Err(Failure::new(RequestError::Malformed, text));
        }
        if stream {
            self.read_stream(response.into_body()).await
        } else {
            self.read_whole(response.into_body()).await
        }
    }

    async fn read_refusal(&mut self, status: StatusCode, mut body: Incoming) -> Failure {
        let mut said = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Some(bytes) = frame.data_ref() else { continue };
            self.response_bytes += bytes.len() as u64;
            if said.len() + bytes.len() > MOST_ERROR_BYTES {
                break;
            }
            said.extend_from_slice(bytes);
        }
        self.end = self.last_read();
        let told = Chunk::read(&said).ok().and_then(|chunk| chunk.error).unwrap_or_default();
        let told = if told.is_empty() { excerpt(&said) } else { excerpt(told.as_bytes()) };
        let reason = status.canonical_reason().unwrap_or_default().to_ascii_lowercase();
        let text = format!("status {} {reason}: {told}", status.as_u16());
        Failure::new(RequestError::Status, text.trim_end_matches(": "))
    }

    async fn read_stream(&mut self, mut body: Incoming) -> Result<(), Failure> {
        let mut parser = mem::take(&mut self.parser);
        let mut failure = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::exchange(&error));
            let bytes = frame?.into_data().unwrap_or_default();
            self.response_bytes += bytes.len() as u64;
            let at = self.last_read().unwrap_or_default();
            let taken = parser.feed(&bytes, |data| self.take_event(data, at, &mut failure));
            taken.map_err(|error| {
                Failure::new(RequestError::Malformed, format!("read the response: {error}"))
            })?;
            if let Some(failure) = failure {
                return Err(failure);
            }
        }
        let at = self.last_read().unwrap_or_default();
        let _ = parser.finish(|data| self.take_event(data, at, &mut failure));
        self.parser = parser;
        self.end = self.last_read();
        if let Some(failure) = failure {
            return Err(failure);
        }
        if !self.is_done && self.finish_reason.is_none() && self.has_token {
            let text = "the stream ended with neither [DONE] nor a finish reason";
            return Err(Failure::new(RequestError::Closed, text));
        }
        self.judge_emptiness()
    }

    fn take_event(&mut self, data: &[u8], at: u64, failure: &mut Option<Failure>) {
        if failure.is_some() {
            return;
        }
        if data.trim_ascii() == b"[DONE]" {
            self.is_done = true;
            return;
        }
        match Chunk::read(data) {
            Err(error) => {
                let text = format!("an event is no JSON of a response: {error}");
                *failure = Some(Failure::new(RequestError::Malformed, text));
            }
            Ok(chunk) => {
                if let Err(error) = self.take_chunk(chunk, Some(at)) {
                    *failure = Some(error);
                }
            }
        }
    }

    fn take_chunk(&mut self, chunk: Chunk<'_>, at: Option<u64>) -> Result<(), Failure> {
        if let Some(said) = chunk.error {
            let text = format!("the server told an error: {}", excerpt(said.as_bytes()));
            return Err(Failure::new(RequestError::Server, text));
        }
        if chunk.has_token {
            self.has_token = true;
            self.tokens.extend(at);
        }
        self.is_done |= chunk.stop;
        self.told.update(chunk.told);
        if let Some(reason) = chunk.finish_reason {
            self.finish_reason = Some(reason.into_owned());
        }
        Ok(())
    }

    async fn read_whole(&mut self, mut body: Incoming) -> Result<(), Failure> {
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let bytes: Bytes =
                frame.map_err(|error| Failure::exchange(&error))?.into_data().unwrap_or_default();
            self.response_bytes += bytes.len() as u64;
            if whole.len() + bytes.len() > MOST_BODY_BYTES {
                return Err(Failure::new(RequestError::Malformed, "the response is larger than 64 MiB"));
            }
            whole.extend_from_slice(&bytes);
        }
        self.end = self.last_read();
        let chunk = Chunk::read(&whole).map_err(|error| {
            Failure::new(RequestError::Malformed, format!("the response is no JSON of a response: {error}"))
        })?;
        self.take_chunk(chunk, None)?;
        self.judge_emptiness()
    }

    fn judge_emptiness(&self) -> Result<(), Failure> {
        if self.has_token {
            return Ok(());
        }
        Err(Failure::new(RequestError::Empty, "the response ended well and held no token"))
    }

    fn last_read(&self) -> Option<u64> {
        self.stamps.as_ref().map(|stamps| stamps.last_read.get()).filter(|&ns| ns > 0)
    }
}
