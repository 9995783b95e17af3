//! Requests that others wrote down: results of load generators, records of servers, traces.
//!
//! [`read`] tells by a file's content what wrote it, and yields requests on the clock that the file keeps; [`add`] puts
//! them on a recording's clock, looks for each among the requests that probe `http` saw, and writes rows of `request` and
//! `token`. Text of prompts and answers is passed over: no type here has room for it.

mod add;
mod documents;
mod format;
mod number;
mod pair;
mod place;

use self::documents::documents;
pub use self::{
    add::{Added, ImportError, add},
    format::{FORMATS, Format},
};
use crate::table::RequestRow;

/// Bad lines of which the reason is kept; all are counted.
const MOST_REASONS: usize = 20;

/// The clock of a file's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// CLOCK_MONOTONIC. Where the file tells what the wall clock was at one of its instants, that.
    Monotonic(Option<(u64, u64)>),
    /// Nanoseconds since the epoch.
    Wall,
    /// None: only durations are known, and the request arrives at 0.
    None,
}

/// A request as a file tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The line it begins in, or its place in the file's list, from 1.
    pub place: Place,
    /// What its times are of.
    pub clock: Clock,
    /// How far the file's numbers are rounded.
    pub rounding_ns: u64,
    /// The row, its times on that clock.
    pub row: RequestRow,
    /// When each chunk of tokens was, on that clock.
    pub token_ns: Vec<u64>,
}

/// Where in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: u64,
    /// Of a document of many requests, which, from 1; 0 for the document.
    pub entry: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.entry {
            0 => write!(f, "{}", self.line),
            entry => write!(f, "{}: request {entry}", self.line),
        }
    }
}

/// What a format finds in a file.
#[derive(Debug, Default)]
pub struct Found {
    /// Requests, in the file's order.
    pub requests: Vec<Told>,
    /// Lines and entries that could not be read, the first few with the reason.
    pub bad: Vec<(Place, String)>,
    /// How many there were.
    pub bad_count: u64,
    /// Of a log that tells both clocks at one instant: CLOCK_MONOTONIC, and nanoseconds since the epoch.
    anchor: Option<(u64, u64)>,
}

impl Found {
    fn bad(&mut self, place: Place, reason: impl Into<String>) {
        self.bad_count += 1;
        if self.bad.len() < MOST_REASONS {
            self.bad.push((place, reason.into()));
        }
    }

    /// Takes a request whose times follow one another; else it is bad.
    fn take(&mut self, mut told: Told) {
        match number::out_of_order(&told) {
            None => {
                let last = told.token_ns.last().copied();
                told.row.end_mono_ns = told.row.end_mono_ns.map(|end| last.map_or(end, |last| end.max(last)));
                self.requests.push(told);
            }
            Some(reason) => self.bad(told.place, reason),
        }
    }
}

/// What was read.
#[derive(Debug)]
pub struct Reading {
    /// What wrote it.
    pub format: &'static Format,
    /// What is in it.
    pub found: Found,
}

/// What every format says of a file in which none finds a request.
pub type Tried = Vec<(&'static Format, String)>;

/// Reads a file's text: of all formats that which finds the most requests.
///
/// # Errors
///
/// None finds one.
pub fn read(text: &[u8]) -> Result<Reading, Tried> {
    let text = documents::plain(text);
    let (mut best, mut tried): (Option<Reading>, Tried) = (None, Vec::new());
    for format in FORMATS {
        if let Some(missing) = format.missing(&text) {
            tried.push((format, format!("no {missing}")));
            continue;
        }
        let found = find(format, &text);
        if found.requests.is_empty() {
            let reason = found.bad.first().map_or_else(
                || "no requests".to_owned(),
                |(place, reason)| format!("line {place}: {reason}"),
            );
            tried.push((format, reason));
        } else if best.as_ref().is_none_or(|best| best.found.requests.len() < found.requests.len()) {
            best = Some(Reading { format, found });
        }
    }
    best.ok_or(tried)
}

/// Reads a file's text as one format.
pub fn read_as(format: &Format, text: &[u8]) -> Found {
    find(format, &documents::plain(text))
}

fn find(format: &Format, text: &[u8]) -> Found {
    let mut found = Found::default();
    for (line, json) in documents(text) {
        let place = Place { line, entry: 0 };
        let read = json.and_then(|json| format.read(json, place, &mut found));
        if let Err(reason) = read {
            found.bad(place, reason);
        }
    }
    found
}

#[cfg(test)]
mod tests;
