//! The log of a load: a file of JSON lines, described in `docs/load.md`.
//!
//! The first line is a [`LogHeader`], each line after it a [`LogRow`]: a request that is over, in the order they ended.
//! Times are CLOCK_MONOTONIC nanoseconds of the machine that `hostprof load` ran on; the header puts them on the wall
//! clock. What is not known is null. A reader passes over keys it does not know.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::{clock::Anchor, table::RequestRow};

/// The format, by name and version. Keys may be added; a change of what is there raises the version.
pub const FORMAT: &str = "hostprof-load/1";

/// The first line. Holds no secret: neither headers nor keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogHeader {
    /// [`FORMAT`].
    pub format: String,
    /// Version of hostprof.
    pub version: String,
    /// CLOCK_MONOTONIC, nanoseconds, at one instant.
    pub mono_ns: u64,
    /// CLOCK_REALTIME, nanoseconds since the epoch, at the same instant.
    pub wall_ns: u64,
    /// The URL that was asked.
    pub url: String,
    /// The model.
    pub model: String,
    /// What was asked for, as the command line has it.
    pub load: String,
    /// The seed that gives the same requests again.
    pub seed: u64,
}

impl LogHeader {
    /// One for a load that begins now.
    pub fn new(anchor: Anchor, url: String, model: String, load: String, seed: u64) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let (mono_ns, wall_ns) = (anchor.mono.0, anchor.wall.0);
        Self { format: FORMAT.to_owned(), version, mono_ns, wall_ns, url, model, load, seed }
    }
}

/// A request: the columns of table `request`, and these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// The columns of table `request`, see `docs/schema.md`.
    #[serde(flatten)]
    pub request: RequestRow,
    /// Its place in the order of arrivals, from 0.
    pub number: u64,
    /// Attempts after the first, whose times are not kept: TTFT and end-to-end latency count from the arrival and hold
    /// them.
    pub retries: u32,
    /// Tokens of the prompt that was made; only about that many where prompts are told as text.
    pub wanted_input_tokens: u32,
    /// Tokens that were asked for.
    pub wanted_output_tokens: u32,
    /// When each event with tokens was received; see table `token`.
    pub token_mono_ns: Vec<u64>,
}

/// A log being written.
#[derive(Debug)]
pub struct LogFile(BufWriter<File>);

impl LogFile {
    /// Begins a log, in place of one of that name.
    ///
    /// # Errors
    ///
    /// The file cannot be made or written.
    pub fn create(path: &Path, header: &LogHeader) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut log = Self(BufWriter::with_capacity(1 << 16, options.open(path)?));
        log.line(header)?;
        log.flush()?;
        Ok(log)
    }

    /// Adds a request.
    ///
    /// # Errors
    ///
    /// The disk is full, or the like.
    pub fn push(&mut self, row: &LogRow) -> io::Result<()> {
        self.line(row)
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, value).map_err(io::Error::from)?;
        self.0.write_all(b"\n")
    }

    /// Hands what was added to the system.
    ///
    /// # Errors
    ///
    /// As for [`LogFile::push`].
    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::table::{Endpoint, RequestError};

    #[test]
    fn a_log_is_read_back_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("load.jsonl");
        let header = LogHeader::new(
            crate::clock::anchor(),
            "http://h:1/v1/completions".to_owned(),
            "m".to_owned(),
            "closed".to_owned(),
            7,
        );
        let row = LogRow {
            request: RequestRow {
                request_id: "a-0".to_owned(),
                arrival_mono_ns: 5,
                endpoint: Endpoint::Chat,
                error: Some(RequestError::Timeout),
                ..RequestRow::default()
            },
            number: 3,
            token_mono_ns: vec![7, 9],
            ..LogRow::default()
        };
        let mut log = LogFile::create(&path, &header).unwrap();
        log.push(&row).unwrap();
        log.flush().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(serde_json::from_str::<LogHeader>(lines[0]).unwrap(), header);
        assert_eq!(serde_json::from_str::<LogRow>(lines[1]).unwrap(), row);
        assert!(lines[1].contains(r#""error":"timeout""#) && lines[1].contains(r#""send_mono_ns":null"#));
        assert!(serde_json::from_str::<LogRow>(&lines[1].replacen('{', "{\"later\":1,", 1)).is_ok());
    }
}
