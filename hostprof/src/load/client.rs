//! What of a request is the same each time: path, headers, timeout; and attempts, timeout and Ctrl-C around the exchange.

use std::{net::ToSocketAddrs as _, time::Duration};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Uri,
    body::Bytes,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use tokio::{sync::watch, time};

use super::{LoadError, Options, exchange::Seen, failure::Failure, pool::Pool};
use crate::table::{Endpoint, RequestError};

/// Between a failed attempt and the next; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The most of a list of models that is read.
const MOST_LIST_BYTES: usize = 16 << 20;

/// Whether the load goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// It does.
    On,
    /// What is under way is to be broken off.
    Stopped,
}

/// A client of one server.
pub struct Client {
    /// Its connections.
    pub pool: Pool,
    headers: HeaderMap,
    path: Uri,
    models_path: Uri,
    stream: bool,
    timeout: Duration,
    retries: u32,
    going: watch::Receiver<Going>,
}

impl Client {
    /// A client as told. Looks the host's name up.
    ///
    /// # Errors
    ///
    /// The host has no address, or a header is none.
    pub fn new(
        options: &Options,
        endpoint: Endpoint,
        going: watch::Receiver<Going>,
    ) -> Result<Self, LoadError> {
        let url = &options.url;
        let authority = url.authority();
        let resolved = (url.host.as_str(), url.port).to_socket_addrs();
        let addresses =
            resolved.map_err(|source| LoadError::Resolve { host: url.host.clone(), source })?.collect();
        let uri =
            |path: String| path.parse::<Uri>().map_err(|error| LoadError::Path(path, error.to_string()));
        Ok(Self {
            pool: Pool::new(authority.clone(), addresses),
            headers: headers(options, &authority)?,
            path: uri(url.path(endpoint))?,
            models_path: uri(url.models_path())?,
            stream: options.stream,
            timeout: options.timeout,
            retries: options.retries,
            going,
        })
    }

    /// Whether the load goes on.
    pub fn goes_on(&self) -> bool {
        *self.going.borrow() == Going::On
    }

    /// Waits until the load is stopped.
    pub async fn stopped(&self) {
        // A sender that is gone says nothing more either.
        let _ = self.going.clone().wait_for(|going| *going == Going::Stopped).await;
    }

    /// Waits, unless the load is stopped before.
    pub async fn pause(&self, time: Duration) {
        tokio::select! {
            () = time::sleep(time) => {}
            () = self.stopped() => {}
        }
    }

    /// Sends a request and reads its response, again if that is wanted. Returns the attempts after the first too.
    pub async fn serve(
        &self,
        id: &str,
        body: Bytes,
        retries: bool,
        seen: &mut Seen,
    ) -> (Result<(), Failure>, u32) {
        let request = match self.request(id, body) {
            Ok(request) => request,
            Err(failure) => return (Err(failure), 0),
        };
        let most = if retries { self.retries } else { 0 };
        let (mut retried, mut pause) = (0, FIRST_PAUSE);
        loop {
            seen.reset();
            let result = tokio::select! {
                biased;
                result = self.pool.exchange(&request, seen, self.stream) => result,
                () = self.stopped() => Err(Failure::new(RequestError::Cancelled, "stopped before the end")),
                () = time::sleep(self.timeout) => {
                    let text = format!("no end of the response within {:?}", self.timeout);
                    Err(Failure::new(RequestError::Timeout, text))
                }
            };
            seen.take_stamps();
            if result.is_ok() || retried == most || !self.goes_on() {
                return (result, retried);
            }
            self.pause(pause).await;
            pause *= 2;
            retried += 1;
        }
    }

    fn request(&self, id: &str, body: Bytes) -> Result<Request<Bytes>, Failure> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        let id = HeaderValue::from_str(id)
            .map_err(|error| Failure::new(RequestError::Other, format!("set x-request-id: {error}")))?;
        request.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
        Ok(request)
    }

    /// What the server answers when asked for its models: status and body.
    ///
    /// # Errors
    ///
    /// It does not answer.
    pub async fn models(&self) -> Result<(u16, Bytes), Failure> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.models_path.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().remove(CONTENT_TYPE);
        let answer = async {
            let response = self.pool.send(request.map(Full::new)).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MOST_LIST_BYTES).collect().await;
            let body = body.map_err(|error| Failure::new(RequestError::Closed, error.to_string()))?;
            Ok((status, body.to_bytes()))
        };
        tokio::select! {
            answer = answer => answer,
            () = self.stopped() => Err(Failure::new(RequestError::Cancelled, "stopped")),
            () = time::sleep(self.timeout) => {
                Err(Failure::new(RequestError::Timeout, format!("no answer within {:?}", self.timeout)))
            }
        }
    }
}

fn headers(options: &Options, authority: &str) -> Result<HeaderMap, LoadError> {
    let mut headers = HeaderMap::new();
    let mut set = |name: &str, value: &str, is_secret: bool| -> Result<(), LoadError> {
        let error = |cause: String| LoadError::Header(name.to_owned(), cause);
        let name: HeaderName = name.parse().map_err(|_| error("is no name of a header".to_owned()))?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| error("has a value that is none".to_owned()))?;
        value.set_sensitive(is_secret);
        headers.insert(name, value);
        Ok(())
    };
    set(HOST.as_str(), authority, false)?;
    set(USER_AGENT.as_str(), concat!("hostprof/", env!("CARGO_PKG_VERSION")), false)?;
    set(CONTENT_TYPE.as_str(), "application/json", false)?;
    set(ACCEPT.as_str(), if options.stream { "text/event-stream" } else { "application/json" }, false)?;
    if let Some(key) = &options.api_key {
        set(AUTHORIZATION.as_str(), &format!("Bearer {}", key.0), true)?;
    }
    for (name, value) in &options.headers {
        set(name, &value.0, true)?;
    }
    Ok(headers)
}
