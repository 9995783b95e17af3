//! A page by HTTP/1.1 over one connection, with an end to patience: all that a page of metrics needs.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    str::FromStr,
    time::{Duration, Instant},
};

/// More than any page of metrics.
const MOST_BYTES: usize = 16 << 20;
/// The path where none is given.
const PATH: &str = "/metrics";

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Page {
    host: String,
    port: u16,
    path: String,
}

/// Why a text names no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Encrypted.
    #[error("https is not supported (name the engine's own port, or a proxy that ends TLS)")]
    Https,
    /// A name and a password before the host.
    #[error("must hold no name and password")]
    Secret,
    /// No host, or no port.
    #[error("must be http://HOST:PORT, with a path or without")]
    Form,
}

impl FromStr for Page {
    type Err = PageError;

    fn from_str(text: &str) -> Result<Self, PageError> {
        if text.starts_with("https://") {
            return Err(PageError::Https);
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if authority.contains('@') {
            return Err(PageError::Secret);
        }
        let path = if path.trim_end_matches('/').is_empty() { PATH } else { path };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') => (host, port.parse().map_err(|_| PageError::Form)?),
            _ => (authority, 80),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_plain = path.bytes().chain(host.bytes()).all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || port == 0 || text.contains("://") && !text.starts_with("http://") || !is_plain {
            return Err(PageError::Form);
        }
        Ok(Self { host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.server(), self.path)
    }
}

/// Why a page was not had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, or it broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("no answer in {} ms", .0.as_millis())]
    Late(Duration),
    /// The server would not.
    #[error("the server answers {}{}", .0, remedy(*.0))]
    Status(u16),
    /// What came is no HTTP, or too much of it.
    #[error("no HTTP response")]
    Malformed,
}

/// llama.cpp answers so where its metrics are off.
fn remedy(status: u16) -> &'static str {
    if status == 501 { " (start llama-server with --metrics)" } else { "" }
}

impl Page {
    /// The page of metrics at a port of this machine.
    pub fn at_port(port: u16) -> Self {
        Self { host: "127.0.0.1".to_owned(), port, path: PATH.to_owned() }
    }

    /// Host and port.
    pub fn server(&self) -> String {
        let brackets = self.host.contains(':');
        let host = if brackets { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }

    /// Reads it.
    ///
    /// # Errors
    ///
    /// See [`FetchError`].
    pub fn get(&self, patience: Duration) -> Result<String, FetchError> {
        let until = Instant::now() + patience;
        let left = || {
            until
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())
                .ok_or(FetchError::Late(patience))
        };
        let late = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => FetchError::Late(patience),
            _ => FetchError::Io(error),
        };
        let address = (self.host.as_str(), self.port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::other("no address"))?;
        let mut stream = TcpStream::connect_timeout(&address, left()?).map_err(late)?;
        stream.set_write_timeout(Some(left()?))?;
        let (path, server) = (&self.path, self.server());
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nUser-Agent: hostprof/{}\r\nAccept: text/plain\r\nConnection: close\r\n\r\n",
            env!("CARGO_PKG_VERSION"),
        );
        stream.write_all(request.as_bytes()).map_err(late)?;
        let (mut answer, mut piece) = (Vec::new(), [0; 8 << 10]);
        loop {
            stream.set_read_timeout(Some(left()?))?;
            match stream.read(&mut piece).map_err(late)? {
                0 => break,
                read => answer.extend_from_slice(&piece[..read]),
            }
            if is_whole(&answer) {
                break;
            }
            if answer.len() > MOST_BYTES {
                return Err(FetchError::Malformed);
            }
        }
        body(&answer)
    }
}

/// The head of a response, its lines, and what follows.
fn split(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]))
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

fn is_chunked(head: &str) -> bool {
    field(head, "transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"))
}

/// Whether a response that does not end with its connection is complete.
fn is_whole(answer: &[u8]) -> bool {
    let Some((head, body)) = split(answer) else { return false };
    if is_chunked(head) {
        return body.ends_with(b"0\r\n\r\n");
    }
    field(head, "content-length")
        .and_then(|value| value.parse().ok())
        .is_some_and(|length: usize| body.len() >= length)
}

/// The body of a response of success.
fn body(answer: &[u8]) -> Result<String, FetchError> {
    let (head, body) = split(answer).ok_or(FetchError::Malformed)?;
    let mut words = head.split(' ');
    let status = words.next().filter(|version| version.starts_with("HTTP/1.")).and(words.next());
    let status = status
        .and_then(|status| status.get(..3))
        .and_then(|status| status.parse().ok())
        .ok_or(FetchError::Malformed)?;
    if status != 200 {
        return Err(FetchError::Status(status));
    }
    let body = if is_chunked(head) { joined(body).ok_or(FetchError::Malformed)? } else { body.to_vec() };
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// The data of chunks.
fn joined(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut data = Vec::with_capacity(body.len());
    loop {
        let end = body.windows(2).position(|bytes| bytes == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        body = &body[end + 2..];
        if size == 0 {
            return Some(data);
        }
        data.extend_from_slice(body.get(..size)?);
        body = body.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    fn serve(answer: &'static str) -> Page {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let page = Page::at_port(listener.local_addr().unwrap().port());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /metrics HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
            // A server that keeps the connection open must not hold the reader.
            thread::sleep(Duration::from_secs(5));
        });
        page
    }

    #[test]
    fn a_page_is_read_whichever_way_its_end_is_told() {
        let get = |answer| serve(answer).get(Duration::from_secs(2)).unwrap();
        assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n"), "a 1\n");
        assert_eq!(
            get("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\na \r\n2;x\r\n1\n\r\n0\r\n\r\n"),
            "a 1\n"
        );
    }

    #[test]
    fn what_is_not_had_says_why() {
        let error = |answer| serve(answer).get(Duration::from_millis(300)).unwrap_err().to_string();
        let off = error("HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(off, "the server answers 501 (start llama-server with --metrics)");
        assert_eq!(error("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na"), "no answer in 300 ms");
        assert_eq!(error("nonsense\r\n\r\nHTTP"), "no answer in 300 ms");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(matches!(Page::at_port(closed).get(Duration::from_secs(1)), Err(FetchError::Io(_))));
        assert!(
            body(b"SSH-2.0\r\n\r\n").is_err()
                && body(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").is_err()
        );
    }

    #[test]
    fn pages_are_told_by_their_url() {
        let page = |text: &str| text.parse::<Page>().map(|page| page.to_string());
        assert_eq!(page("http://127.0.0.1:8000").unwrap(), "http://127.0.0.1:8000/metrics");
        assert_eq!(page("localhost:1/engine/metrics").unwrap(), "http://localhost:1/engine/metrics");
        assert_eq!(page("http://[::1]:9/").unwrap(), "http://[::1]:9/metrics");
        assert_eq!(page("http://h").unwrap(), "http://h:80/metrics");
        assert_eq!(page("https://h"), Err(PageError::Https));
        assert_eq!(page("http://a:b@h"), Err(PageError::Secret));
        for text in ["", "http://", "http://h:x", "h:0", "ftp://h", "h:1/a b"] {
            assert_eq!(page(text), Err(PageError::Form), "{text}");
        }
    }
}
