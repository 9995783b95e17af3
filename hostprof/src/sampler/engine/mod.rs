//! Inference engines: their page of metrics (`/metrics`), as vLLM, SGLang and llama.cpp serve it.
//!
//! An engine is told by the names of its metrics, which drift between versions: `names` has those of each column, the
//! newest first. A column that none of them fills is null.

mod fetch;
mod names;
mod prometheus;

use std::time::{Duration, Instant};

pub use self::fetch::{FetchError, Page, PageError};
use crate::{clock, table::EngineSampleRow};

/// Why there is no sample of an engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The page was not had.
    #[error("read {page}: {source}")]
    Fetch {
        /// The page.
        page: String,
        /// Why.
        source: FetchError,
    },
    /// It is of something else.
    #[error("read {0}: no metrics of vLLM, SGLang or llama.cpp")]
    Unknown(String),
}

/// Asks an engine for its metrics.
///
/// # Errors
///
/// See [`EngineError`].
pub fn sample(page: &Page, patience: Duration) -> Result<EngineSampleRow, EngineError> {
    let ts_mono_ns = clock::mono().0;
    let begun = Instant::now();
    let text = page.get(patience).map_err(|source| EngineError::Fetch { page: page.to_string(), source })?;
    let mut row = names::row(&text).ok_or_else(|| EngineError::Unknown(page.to_string()))?;
    row.ts_mono_ns = ts_mono_ns;
    row.read_ns = begun.elapsed().as_nanos() as u64;
    row.server = page.server();
    Ok(row)
}
