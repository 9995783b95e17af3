//! Heads of HTTP/1 messages: what of them tells where the message ends and what it is.
//!
//! Framing is that of RFC 9112, section 6.3.

use crate::table::Endpoint;

/// The longest id that is kept.
const MOST_ID_BYTES: usize = 128;

/// How a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After that many bytes.
    Length(u64),
    /// After a chunk of none.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What is kept of a request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The endpoint it posts to, where that is one of an LLM server's.
    pub endpoint: Option<Endpoint>,
    /// What the client calls it: `x-request-id`, where that looks like an id.
    pub client_id: Option<Box<str>>,
    /// Whether its response has no body whatever its head says.
    pub is_head: bool,
    /// How its body ends.
    pub framing: Framing,
}

/// What is kept of a response's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status.
    pub status: u16,
    /// Whether the body is a stream of events.
    pub is_event_stream: bool,
    /// How its body ends, unless the request says that there is none.
    pub framing: Framing,
}

impl ResponseHead {
    /// Whether it is the response, and not one that announces it (100 Continue).
    pub fn is_final(&self) -> bool {
        !(100..200).contains(&self.status)
    }
}

/// What is kept of a head of either kind.
pub trait Head: Sized {
    /// Reads a head: all lines, each ended by a line feed. `None` for what is no such head.
    fn parse(head: &[u8]) -> Option<Self>;
    /// Whether bytes may be the beginning of one.
    fn begins(text: &[u8]) -> bool;
}

impl Head for RequestHead {
    fn parse(head: &[u8]) -> Option<Self> {
        let mut lines = lines(head);
        let mut words = lines.next()?.split(|&byte| byte == b' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        if !version.starts_with(b"HTTP/1.") {
            return None;
        }
        let fields = Fields::read(lines);
        Some(Self {
            endpoint: endpoint(target).filter(|_| method == b"POST"),
            client_id: fields.client_id.map(Box::from),
            is_head: method == b"HEAD",
            framing: fields.framing.unwrap_or(Framing::Length(0)),
        })
    }

    fn begins(text: &[u8]) -> bool {
        ["POST ", "GET ", "HEAD ", "OPTIONS ", "PUT ", "DELETE ", "PATCH "]
            .iter()
            .any(|method| text.starts_with(method.as_bytes()))
    }
}

impl Head for ResponseHead {
    fn parse(head: &[u8]) -> Option<Self> {
        let mut lines = lines(head);
        let mut words = lines.next()?.split(|&byte| byte == b' ');
        if !words.next()?.starts_with(b"HTTP/1.") {
            return None;
        }
        let status: u16 = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let fields = Fields::read(lines);
        let framing = match status {
            100..200 | 204 | 304 => Framing::Length(0),
            _ => fields.framing.unwrap_or(Framing::UntilClose),
        };
        Some(Self { status, is_event_stream: fields.is_event_stream, framing })
    }

    fn begins(text: &[u8]) -> bool {
        text.starts_with(b"HTTP/1.")
    }
}

/// The header fields that matter.
#[derive(Default)]
struct Fields<'a> {
    framing: Option<Framing>,
    is_event_stream: bool,
    client_id: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn read(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut fields = Self::default();
        for line in lines {
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let (name, value) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"transfer-encoding") {
                // Chunked comes last and goes before a length.
                if ends_with_ignore_case(value, b"chunked") {
                    fields.framing = Some(Framing::Chunked);
                }
            } else if name.eq_ignore_ascii_case(b"content-length") {
                let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
                if let (Some(length), None) = (length, fields.framing) {
                    fields.framing = Some(Framing::Length(length));
                }
            } else if name.eq_ignore_ascii_case(b"content-type") {
                let kind = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
                fields.is_event_stream = kind.eq_ignore_ascii_case(b"text/event-stream");
            } else if name.eq_ignore_ascii_case(b"x-request-id") {
                fields.client_id = std::str::from_utf8(value).ok().filter(|text| is_id(text));
            }
        }
        fields
    }
}

/// Whether a text is an id, and so no text that must not be kept.
fn is_id(text: &str) -> bool {
    (1..=MOST_ID_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

fn ends_with_ignore_case(value: &[u8], end: &[u8]) -> bool {
    value.len() >= end.len() && value[value.len() - end.len()..].eq_ignore_ascii_case(end)
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The endpoint behind a request's target, by the end of its path: servers may be mounted below another.
fn endpoint(target: &[u8]) -> Option<Endpoint> {
    let path = target.split(|&byte| byte == b'?').next()?;
    Endpoint::PATHS.iter().find(|(end, _)| path.ends_with(end.as_bytes())).map(|&(_, endpoint)| endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_head_tells_endpoint_and_framing() {
        let head = RequestHead::parse(
            b"POST /v1/chat/completions?x=/generate HTTP/1.1\r\nHost: a\r\ncontent-LENGTH: 12\r\n\r\n",
        );
        let chat = RequestHead {
            endpoint: Some(Endpoint::Chat),
            client_id: None,
            is_head: false,
            framing: Framing::Length(12),
        };
        assert_eq!(head, Some(chat));
        let head = RequestHead::parse(b"GET /v1/completions HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!((head.endpoint, head.framing), (None, Framing::Length(0)));
        let head = RequestHead::parse(
            b"POST /completion HTTP/1.1\nContent-Length: 3\nTransfer-Encoding: gzip, Chunked\n\n",
        );
        assert_eq!(head.map(|head| head.framing), Some(Framing::Chunked));
        for text in [&b"POST /x\r\n\r\n"[..], b"", b"POST /x HTTP/2\r\n\r\n", b"\xff\xff"] {
            assert_eq!(RequestHead::parse(text), None);
        }
    }

    #[test]
    fn a_clients_own_id_is_kept_where_it_is_one() {
        let id = |value: &str| {
            let head = format!("POST /v1/completions HTTP/1.1\r\nX-Request-ID: {value}\r\n\r\n");
            RequestHead::parse(head.as_bytes()).unwrap().client_id
        };
        assert_eq!(id("32ac9288-cff5:0.1_x").as_deref(), Some("32ac9288-cff5:0.1_x"));
        for text in ["", "tell me a story", "<script>", "é", &"a".repeat(129)] {
            assert_eq!(id(text), None, "{text}");
        }
    }

    #[test]
    fn a_response_head_tells_status_stream_and_framing() {
        let parse = |text: &[u8]| ResponseHead::parse(text);
        let head = parse(
            b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        let stream = ResponseHead { status: 200, is_event_stream: true, framing: Framing::Chunked };
        assert_eq!(head, Some(stream));
        assert_eq!(
            parse(b"HTTP/1.0 503 Busy\r\n\r\n").map(|head| (head.status, head.framing)),
            Some((503, Framing::UntilClose))
        );
        let head = parse(b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n").unwrap();
        assert_eq!(head.framing, Framing::Length(0));
        assert_eq!(parse(b"HTTP/1.1 abc\r\n\r\n"), None);
    }
}
