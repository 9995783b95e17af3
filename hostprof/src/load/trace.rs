//! A trace to replay: a file of JSON lines, each a request's arrival and lengths. Read a line at a time, twice: a
//! mistake is told before the first request.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// A request of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it arrives, nanoseconds from the trace's first.
    pub at_ns: u64,
    /// Tokens of its prompt.
    pub input_tokens: u32,
    /// Tokens of its response.
    pub output_tokens: u32,
}

/// A line, by our names and those of Mooncake's traces
/// (<https://github.com/kvcache-ai/Mooncake/tree/main/FAST25-release/traces>). What else it has is passed over.
#[derive(Deserialize)]
struct Line {
    #[serde(alias = "timestamp")]
    at_ms: f64,
    #[serde(alias = "input_length")]
    input_tokens: u32,
    #[serde(alias = "output_length")]
    output_tokens: u32,
}

/// Why a trace is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of it is none.
    #[error("read {}:{line}: {cause}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// What is wrong.
        cause: String,
    },
    /// It has no request.
    #[error("read {}: no request in it", .0.display())]
    Empty(PathBuf),
}

/// A trace under reading. Empty lines are passed over.
#[derive(Debug)]
pub struct Trace {
    path: PathBuf,
    lines: BufReader<File>,
    text: String,
    line: u64,
    first_ms: Option<f64>,
    last_ms: f64,
}

impl Trace {
    /// Opens a trace whose lines are all sound.
    ///
    /// # Errors
    ///
    /// See [`TraceError`].
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let mut entries = Self::begin(path)?;
        entries.next().ok_or_else(|| TraceError::Empty(path.to_owned()))??;
        entries.try_for_each(|entry| entry.map(|_| ()))?;
        Self::begin(path)
    }

    fn begin(path: &Path) -> Result<Self, TraceError> {
        let file = File::open(path).map_err(|source| TraceError::Read { path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            lines: BufReader::new(file),
            text: String::new(),
            line: 0,
            first_ms: None,
            last_ms: f64::MIN,
        })
    }

    fn entry(&mut self) -> Result<Entry, String> {
        let line: Line = serde_json::from_str(&self.text).map_err(|error| error.to_string())?;
        if !line.at_ms.is_finite() || line.at_ms.abs() > 1e15 {
            return Err("its time is none".to_owned());
        }
        if line.at_ms < self.last_ms {
            return Err("arrives before the one above (sort the file by time)".to_owned());
        }
        if line.input_tokens == 0 || line.output_tokens == 0 {
            return Err("has a length of 0".to_owned());
        }
        self.last_ms = line.at_ms;
        let first_ms = *self.first_ms.get_or_insert(line.at_ms);
        Ok(Entry {
            at_ns: ((line.at_ms - first_ms) * 1e6).round() as u64,
            input_tokens: line.input_tokens,
            output_tokens: line.output_tokens,
        })
    }
}

impl Iterator for Trace {
    type Item = Result<Entry, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.text.clear();
            self.line += 1;
            match self.lines.read_line(&mut self.text) {
                Ok(0) => return None,
                Ok(_) if self.text.trim().is_empty() => {}
                Ok(_) => {
                    let (path, line) = (self.path.clone(), self.line);
                    return Some(self.entry().map_err(|cause| TraceError::Line { path, line, cause }));
                }
                Err(source) => return Some(Err(TraceError::Read { path: self.path.clone(), source })),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(text: &str) -> Result<Vec<Entry>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.jsonl");
        fs::write(&path, text).unwrap();
        let trace =
            Trace::open(&path).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "t"))?;
        Ok(trace.collect::<Result<_, _>>().unwrap())
    }

    #[test]
    fn both_kinds_of_names_are_read_and_time_starts_with_the_first() {
        let entry = |at_ns, input_tokens, output_tokens| Entry { at_ns, input_tokens, output_tokens };
        let ours = "{\"at_ms\":10.5,\"input_tokens\":5,\"output_tokens\":7}\n\n{\"at_ms\":12,\"input_tokens\":1,\"output_tokens\":2}";
        assert_eq!(read(ours).unwrap(), [entry(0, 5, 7), entry(1_500_000, 1, 2)]);
        let mooncake =
            "{\"timestamp\": 27482, \"input_length\": 6955, \"output_length\": 52, \"hash_ids\": [46, 47]}\n";
        assert_eq!(read(mooncake).unwrap(), [entry(0, 6955, 52)]);
    }

    #[test]
    fn a_mistake_names_its_line() {
        let good = "{\"at_ms\":5,\"input_tokens\":5,\"output_tokens\":7}\n";
        for (text, expected) in [
            (String::new(), "read t: no request in it"),
            (format!("{good}nonsense\n"), "read t:2: expected ident"),
            (
                format!("{good}\n{{\"at_ms\":4,\"input_tokens\":5,\"output_tokens\":7}}"),
                "read t:3: arrives before",
            ),
            (good.replace("\"input_tokens\":5", "\"input_tokens\":0"), "read t:1: has a length of 0"),
            (good.replace("input_tokens", "tokens"), "read t:1: missing field `input_tokens`"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with(expected), "{text:?}: {error}");
        }
        assert!(matches!(Trace::open(Path::new("/nowhere")), Err(TraceError::Read { .. })));
    }
}
