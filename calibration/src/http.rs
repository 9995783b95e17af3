//! As much of HTTP/1.1 as a server of streams needs.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

/// A request.
#[derive(Debug, Default)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path.
    pub path: String,
    /// Its `authorization`.
    pub authorization: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// A connection of a client.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    out: Vec<u8>,
    /// Whether the stream is sent a byte at a time.
    pub bytewise: bool,
}

impl Connection {
    /// Takes a connection over.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::with_capacity(1 << 15, stream), out: Vec::new(), bytewise: false }
    }

    /// The next request; none when the client has closed.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let mut request = Request {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            ..Request::default()
        };
        let mut length = 0;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
                "authorization" => value.trim().clone_into(&mut request.authorization),
                _ => {}
            }
        }
        request.body.resize(length, 0);
        self.stream.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.bytewise {
            return bytes.iter().try_for_each(|byte| self.stream.get_mut().write_all(&[*byte]));
        }
        self.stream.get_mut().write_all(bytes)
    }

    /// Answers with JSON.
    pub fn json(&mut self, status: u16, body: &str) -> io::Result<()> {
        self.raw(
            format!(
                "HTTP/1.1 {status} Stub\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        )
    }

    /// Begins a stream of events.
    pub fn begin_stream(&mut self) -> io::Result<()> {
        self.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    }

    /// Sends a chunk of a stream.
    pub fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        write!(out, "{:x}\r\n", bytes.len())?;
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
        let sent = self.raw(&out);
        self.out = out;
        sent
    }

    /// Ends a stream.
    pub fn end_stream(&mut self) -> io::Result<()> {
        self.raw(b"0\r\n\r\n")
    }
}
