//! Where the server is: an `http` URL taken apart.

use std::str::FromStr;

use crate::table::Endpoint;

/// A server, and what of it is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What other paths begin with: `/v1`, or what a proxy puts before.
    pub base: String,
    /// The endpoint, where the path names one.
    pub endpoint: Option<Endpoint>,
}

/// Why a URL is of no use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    /// TLS is not spoken.
    #[error(
        "https is not supported (end TLS before hostprof, as with a local proxy, and name its http address)"
    )]
    Https,
    /// Another scheme.
    #[error("unknown scheme {0:?} (http)")]
    Scheme(String),
    /// Secrets have their own place.
    #[error("a user or password in the URL is not supported (--header 'Authorization: Basic …')")]
    Secret,
    /// No host, or no port where one is promised.
    #[error("{0:?} is no HOST:PORT")]
    Authority(String),
    /// What follows the path.
    #[error("a query or fragment is not supported (leave out {0:?})")]
    Query(String),
}

/// The endpoints that a load can speak to; a URL's path names one where it ends in its path.
const SPOKEN: [Endpoint; 3] = [Endpoint::Chat, Endpoint::Completions, Endpoint::Native];

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => return Err(UrlError::Https),
            Some((scheme, _)) => return Err(UrlError::Scheme(scheme.to_owned())),
            None => text,
        };
        if let Some(at) = rest.find(['?', '#']) {
            return Err(UrlError::Query(rest[at..].to_owned()));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(UrlError::Secret);
        }
        let (host, port) =
            host_and_port(authority).ok_or_else(|| UrlError::Authority(authority.to_owned()))?;
        let path = path.trim_end_matches('/');
        let (base, endpoint) = SPOKEN
            .into_iter()
            .find_map(|endpoint| Some((path.strip_suffix(endpoint.path())?, Some(endpoint))))
            .unwrap_or((if path.is_empty() { "/v1" } else { path }, None));
        Ok(Self { host, port, base: base.to_owned(), endpoint })
    }
}

fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control());
    let port = port.map_or(Some(80), |port| port.parse().ok().filter(|&port| port != 0))?;
    is_host.then(|| (host.to_owned(), port))
}

impl ServerUrl {
    /// What the header `host` says.
    pub fn authority(&self) -> String {
        let brackets = self.host.contains(':');
        let host = if brackets { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }

    /// The path of an endpoint.
    pub fn path(&self, endpoint: Endpoint) -> String {
        format!("{}{}", self.base, endpoint.path())
    }

    /// The path that lists models.
    pub fn models_path(&self) -> String {
        // llama.cpp's own endpoint lies at the root.
        let base = if self.base.is_empty() { "/v1" } else { &self.base };
        format!("{base}/models")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn host_port_and_path_are_taken_apart() {
        let server = url("http://127.0.0.1:8000");
        assert_eq!((server.host.as_str(), server.port, server.base.as_str()), ("127.0.0.1", 8000, "/v1"));
        assert_eq!(server.path(Endpoint::Chat), "/v1/chat/completions");
        assert_eq!(server.models_path(), "/v1/models");
        assert_eq!(url("http://gpu/proxy/v1/").path(Endpoint::Completions), "/proxy/v1/completions");
        assert_eq!(url("localhost:1").authority(), "localhost:1");
        assert_eq!(url("http://[::1]:9").authority(), "[::1]:9");
        assert_eq!(url("HTTP://h").port, 80);
    }

    #[test]
    fn the_path_may_name_the_endpoint() {
        let chat = url("http://h:1/v1/chat/completions");
        assert_eq!((chat.base.as_str(), chat.endpoint), ("/v1", Some(Endpoint::Chat)));
        assert_eq!(url("http://h:1/v1/completions/").endpoint, Some(Endpoint::Completions));
        let native = url("http://h:1/completion");
        assert_eq!(
            (native.endpoint, native.path(Endpoint::Native)),
            (Some(Endpoint::Native), "/completion".into())
        );
        assert_eq!(native.models_path(), "/v1/models");
    }

    #[test]
    fn what_is_not_supported_is_refused_with_a_remedy() {
        let error = |text: &str| text.parse::<ServerUrl>().unwrap_err();
        assert_eq!(error("https://api.example.org/v1"), UrlError::Https);
        assert!(error("https://h").to_string().contains("proxy"));
        assert_eq!(error("ftp://h"), UrlError::Scheme("ftp".to_owned()));
        assert_eq!(error("http://me:secret@h:1"), UrlError::Secret);
        for text in ["http://", "http://:80", "http://h:0", "http://h:70000", "http://h:x", "http://[::1"] {
            assert!(matches!(error(text), UrlError::Authority(_)), "{text}");
        }
        assert!(matches!(error("http://h/v1?key=1"), UrlError::Query(_)));
    }
}
