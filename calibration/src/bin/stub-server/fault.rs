//! Ways to misbehave.

use std::{io, thread, time::Duration};

use calibration::http::Connection;

/// Longer than any test waits.
const FOR_EVER: Duration = Duration::from_hours(1);

/// How to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Take the request, and never answer
    Silence,
    /// Close the connection before any answer
    Close,
    /// Close it after half of the tokens
    CloseMidway,
    /// End the stream after half of the tokens, without a finish reason
    EndMidway,
    /// Answer with what is no HTTP
    NoHttp,
    /// Send an event that is no JSON
    BadEvent,
    /// Answer with a whole response where a stream was asked for
    NoStream,
    /// Answer with JSON that ends early
    BadJson,
    /// Status 429
    TooMany,
    /// Status 500
    Broken,
    /// Tell an error within the stream
    ErrorEvent,
    /// End the stream without a token
    NoToken,
    /// Send the stream byte by byte
    Bytewise,
    /// End lines with CR LF, begin with a comment, and leave out the space after `data:`
    Crlf,
    /// Answer well, then close the connection
    CloseAfter,
}

impl Fault {
    /// Misbehaves where that takes the place of an answer. Returns whether it did.
    pub fn instead(self, connection: &mut Connection) -> io::Result<bool> {
        match self {
            Self::Silence => thread::sleep(FOR_EVER),
            Self::Close => {}
            Self::NoHttp => connection.raw(b"this is no HTTP\r\n\r\n")?,
            Self::TooMany => connection.json(429, r#"{"error":{"message":"slow down"}}"#)?,
            Self::Broken => connection.json(500, r#"{"error":{"message":"out of luck"}}"#)?,
            Self::BadJson => connection.json(200, r#"{"choices":[{"text":"#)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether the connection can be used for another request.
    pub fn keeps_connection(self) -> bool {
        matches!(self, Self::TooMany | Self::Broken | Self::BadJson)
    }
}
