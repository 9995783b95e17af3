//! What went wrong with a request: its kind, and a line for people.

use std::{error::Error as _, io};

use crate::table::RequestError;

/// A request's failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// Its kind.
    pub kind: RequestError,
    /// What happened.
    pub text: String,
}

/// What of a server's words is shown.
const MOST_CHARS: usize = 160;

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: RequestError, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// No connection came to be.
    pub fn connect(authority: &str, error: &io::Error) -> Self {
        Self::new(RequestError::Connect, format!("connect {authority}: {}", plain(error)))
    }

    /// What hyper met in an exchange.
    pub fn exchange(error: &hyper::Error) -> Self {
        let mut source = error.source();
        let mut io = None;
        while let Some(cause) = source {
            io = io.or_else(|| cause.downcast_ref::<io::Error>());
            source = cause.source();
        }
        let kind = match io.map(io::Error::kind) {
            Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => RequestError::Http,
            Some(_) => RequestError::Closed,
            None if error.is_parse() => RequestError::Http,
            None if error.is_incomplete_message() || error.is_canceled() || error.is_closed() => {
                RequestError::Closed
            }
            None => RequestError::Other,
        };
        let text = match kind {
            RequestError::Closed => io.map_or_else(
                || "the server closed the connection before the response was whole".to_owned(),
                |error| format!("read the response: {}", plain(error)),
            ),
            _ => io.map_or_else(
                || format!("read the response: {error}"),
                |io| format!("read the response: {io}"),
            ),
        };
        Self::new(kind, text)
    }
}

/// The words of a server, made fit for a line: one line, of some length.
pub fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text.split_whitespace().collect();
    crate::humane::fitted(&words.join(" "), MOST_CHARS)
}

/// The system's error in lower case, without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_in_one_plain_line() {
        let refused = io::Error::from_raw_os_error(nix::libc::ECONNREFUSED);
        let failure = Failure::connect("127.0.0.1:1", &refused);
        assert_eq!(failure.to_string(), "connect 127.0.0.1:1: connection refused");
        assert_eq!(excerpt(b"{\n  \"error\":\t\"no\x1b slot\"\n}"), "{ \"error\": \"no\u{fffd} slot\" }");
        assert_eq!(excerpt("ä".repeat(500).as_bytes()).chars().count(), MOST_CHARS);
    }
}
