//! A load of requests on an OpenAI-compatible server, closed loop or open, and what came of it.
//!
//! One thread with one event loop sends and receives; another writes what is kept. Times are stamped when bytes are
//! read from the socket, not when they are understood. How late the client itself was, is measured beside: see
//! [`pulse`] and [`socket`].

mod arrivals;
mod body;
mod chunk;
mod client;
mod contact;
mod driver;
mod exchange;
mod failure;
mod length;
mod log;
mod mix;
mod pool;
mod progress;
mod pulse;
mod socket;
mod sse;
mod stats;
mod store;
mod summary;
mod text;
mod timer;
mod trace;
mod url;

use std::{fmt, io, path::PathBuf, time::Duration};

pub use self::{
    arrivals::Arrivals,
    driver::run,
    failure::Failure,
    length::{Lengths, LengthsError},
    log::{FORMAT, LogHeader, LogRow},
    mix::Mix,
    stats::{Distribution, Failures},
    store::StoreError,
    summary::{Client, Goodput as GoodputSummary, Summary},
    text::render,
    trace::TraceError,
    url::{ServerUrl, UrlError},
};
use crate::{
    recording::{FolderError, RecordingError},
    request::Goodput,
    table::Endpoint,
};

/// When requests are sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    /// So many at a time, each after the end of one before.
    Closed(u32),
    /// So many a second, whatever the server does.
    Open(f64, Arrivals),
    /// As a file tells.
    Trace(PathBuf),
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(1) => f.write_str("closed loop, one at a time"),
            Self::Closed(concurrency) => write!(f, "closed loop, {concurrency} at a time"),
            Self::Open(rate, Arrivals::Poisson) => write!(f, "open loop, {rate}/s, Poisson arrivals"),
            Self::Open(rate, Arrivals::Fixed) => write!(f, "open loop, {rate}/s, equal gaps"),
            Self::Trace(path) => write!(f, "open loop, trace {}", path.display()),
        }
    }
}

/// How prompts are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum PromptForm {
    /// As token ids where the server takes them, which a trial request finds out; else as text
    #[default]
    Auto,
    /// As token ids: exact lengths
    Ids,
    /// As text: lengths are about right
    Text,
}

/// What must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A load.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub url: ServerUrl,
    /// What is asked.
    pub endpoint: Endpoint,
    /// The model; asked of the server where it is not given.
    pub model: Option<String>,
    /// When requests are sent.
    pub pace: Pace,
    /// End after so many.
    pub requests: Option<u64>,
    /// Send no more after this long.
    pub duration: Option<Duration>,
    /// What is asked for.
    pub mix: Mix,
    /// How prompts are told.
    pub prompt: PromptForm,
    /// Gives the same requests and arrivals again.
    pub seed: u64,
    /// Requests before the first that is measured.
    pub warmup: u64,
    /// The most time an attempt may take.
    pub timeout: Duration,
    /// Attempts after a failed one.
    pub retries: u32,
    /// Headers, by name.
    pub headers: Vec<(String, Secret)>,
    /// Sent as `authorization: Bearer`.
    pub api_key: Option<Secret>,
    /// Whether responses are streams of events.
    pub stream: bool,
    /// Targets of latency.
    pub goodput: Goodput,
    /// The log.
    pub log: Option<PathBuf>,
    /// A recording whose tables `request` and `token` get the rows.
    pub run: Option<PathBuf>,
}

/// What came of a load.
#[derive(Debug)]
pub struct Outcome {
    /// The figures.
    pub summary: Summary,
    /// The signal that ended it early, by its number.
    pub signal: Option<i32>,
    /// Why not all rows could be kept.
    pub store_error: Option<StoreError>,
}

/// Why a load could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The host's name is unknown.
    #[error("look up {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// A header is none.
    #[error("set header {0}: {1}")]
    Header(String, String),
    /// The path of the URL is none.
    #[error("ask {0}: {1}")]
    Path(String, String),
    /// Nobody answers.
    #[error("reach {url}: {failure} (is the server up, and is this its address?)")]
    Reach {
        /// What was asked.
        url: String,
        /// What happened.
        failure: Failure,
    },
    /// The server does not tell its model.
    #[error("ask {url} for its models: {cause}")]
    Model {
        /// What was asked.
        url: String,
        /// What it told, and the remedy.
        cause: String,
    },
    /// A trace is of no use.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The recording cannot be opened.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The recording's folder cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Rows cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system refuses.
    #[error("start an event loop: {0}")]
    System(#[from] io::Error),
}
