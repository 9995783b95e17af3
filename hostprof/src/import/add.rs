//! A file's requests into a recording's tables, once.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::fcntl::{Flock, FlockArg};

use super::{
    Place, Told, Tried,
    pair::{Candidate, pair},
    place::{Anchors, place},
    read,
};
use crate::{
    clock,
    recording::{FolderError, Import, Moment, Recording, RecordingError, RunFolder},
    sink::{ParquetSink, Settings, Sink as _, SinkError, Writer as _},
    table::{JoinTier, RequestRow, RequestSource, TokenRow, Word as _},
};

/// Why a file's requests could not be added.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No format finds a request in it.
    #[error("read {}: no requests of a known format (tried {})", path.display(), list(tried))]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What each format lacks.
        tried: Tried,
    },
    /// It has been added before.
    #[error("import {}: its content is in {} since {}", path.display(), run.display(), at)]
    Again {
        /// The file.
        path: PathBuf,
        /// The run folder.
        run: PathBuf,
        /// When, UTC.
        at: String,
    },
    /// All its requests are in the tables.
    #[error("import {}: all of its {requests} requests are in {} (as by load --run)", path.display(), run.display())]
    Known {
        /// The file.
        path: PathBuf,
        /// The run folder.
        run: PathBuf,
        /// How many.
        requests: u64,
    },
    /// None of its requests has to do with the recording.
    #[error(
        "import {}: none of its {} requests is in {}: {outside} lie outside its time, {unplaced} have no time \
         (these need a recording with probe http)", path.display(), outside + unplaced, run.display()
    )]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// The run folder.
        run: PathBuf,
        /// Requests before or after it.
        outside: u64,
        /// Requests whose time is not known.
        unplaced: u64,
    },
    /// The recording goes on, or another import does.
    #[error("import into {}: it is being written (wait for its end)", .0.display())]
    Busy(PathBuf),
    /// The recording cannot be read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Its folder cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A table cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

fn list(tried: &Tried) -> String {
    tried.iter().map(|(format, reason)| format!("{}: {reason}", format.source)).collect::<Vec<_>>().join("; ")
}

/// What was added.
#[derive(Debug)]
pub struct Added {
    /// As `config.json` keeps it.
    pub import: Import,
    /// What wrote the file.
    pub what: &'static str,
    /// Rows by how they were joined, each with the greatest error; null where it is not known.
    pub tiers: Vec<(JoinTier, u64, Option<u64>)>,
    /// The first of the lines that could not be read, with the reason.
    pub bad: Vec<(Place, String)>,
}

/// Adds a file's requests to a recording that is over.
///
/// # Errors
///
/// See [`ImportError`]; the tables are as before then, but for a disk that is full.
pub fn add(run: &Path, path: &Path) -> Result<Added, ImportError> {
    let _lock = lock(run)?;
    let recording = Recording::open(run)?;
    let text = fs::read(path).map_err(|source| ImportError::File { path: path.to_owned(), source })?;
    let content = format!("{:016x}-{}", fingerprint(&text), text.len());
    let mut config = recording.config().clone();
    if let Some(before) = config.imports.iter().find(|import| import.content == content) {
        let at = before.at.wall.clone();
        return Err(ImportError::Again { path: path.to_owned(), run: run.to_owned(), at });
    }
    let reading = read(&text).map_err(|tried| ImportError::Nothing { path: path.to_owned(), tried })?;
    drop(text);
    let source = reading.format.source;
    let mut import = Import {
        file: path.display().to_string(),
        source: source.word().to_owned(),
        at: Moment::new(clock::wall(), clock::mono()),
        bad: reading.found.bad_count,
        content,
        ..Import::default()
    };

    let told = reading.found.requests;
    let in_all = told.len() as u64;
    let (kernel, known) = rows_there(&recording, source)?;
    let anchors = Anchors::of(&config);
    let window =
        config.started.mono_ns.0..=config.ended.as_ref().map_or(u64::MAX, |ended| ended.at.mono_ns.0);
    let mut candidates = candidates(told, &import.content[..8], known, &anchors);
    import.known = in_all - candidates.len() as u64;
    if candidates.is_empty() {
        return Err(ImportError::Known { path: path.to_owned(), run: run.to_owned(), requests: in_all });
    }
    let before = candidates.len();
    candidates.retain(|candidate| {
        let (start, end) = span(&candidate.told);
        candidate.join.is_none() || (start <= *window.end() && end >= *window.start())
    });
    import.outside = (before - candidates.len()) as u64;
    pair(&mut candidates, &kernel);
    let before = candidates.len();
    candidates.retain(|candidate| candidate.join.is_some());
    import.unplaced = (before - candidates.len()) as u64;
    if candidates.is_empty() {
        let (outside, unplaced) = (import.outside, import.unplaced);
        return Err(ImportError::Elsewhere { path: path.to_owned(), run: run.to_owned(), outside, unplaced });
    }
    import.requests = candidates.len() as u64;
    import.paired = candidates.iter().filter(|candidate| candidate.kernel.is_some()).count() as u64;

    let tiers = tiers(&candidates);
    let folder = Arc::new(RunFolder::join(run)?);
    write(&folder, candidates, &kernel)?;
    config.imports.push(import.clone());
    config.write(&folder)?;
    Ok(Added { import, what: reading.format.what, tiers, bad: reading.found.bad })
}

fn lock(run: &Path) -> Result<Option<Flock<File>>, ImportError> {
    // What is no folder is told by the opening of the recording.
    let Ok(folder) = File::open(run) else { return Ok(None) };
    Flock::lock(folder, FlockArg::LockExclusiveNonblock)
        .map(Some)
        .map_err(|_| ImportError::Busy(run.to_owned()))
}

/// FNV-1a, of 64 bits: tells a file again, and withstands nobody who means to deceive himself.
fn fingerprint(text: &[u8]) -> u64 {
    text.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The requests that probe `http` saw and that no row of a source is joined with, and the ids that are there of it.
fn rows_there(
    recording: &Recording,
    source: RequestSource,
) -> Result<(Vec<RequestRow>, HashSet<String>), ImportError> {
    let (mut kernel, mut known, mut joined) = (Vec::new(), HashSet::new(), HashSet::new());
    for rows in recording.rows::<RequestRow>()? {
        for row in rows? {
            if row.source == source {
                known.insert(row.request_id);
                joined.extend(row.kernel_id);
            } else if row.source == RequestSource::Kernel {
                kernel.push(row);
            }
        }
    }
    kernel.retain(|row: &RequestRow| !joined.contains(&row.request_id));
    Ok((kernel, known))
}

/// Requests that are not known yet, each with an id of its own and its times on the recording's clock.
fn candidates(told: Vec<Told>, name: &str, mut known: HashSet<String>, anchors: &Anchors) -> Vec<Candidate> {
    let mut candidates = Vec::with_capacity(told.len());
    for (number, mut told) in told.into_iter().enumerate() {
        if told.row.request_id.is_empty() {
            told.row.request_id = format!("{name}-{number}");
        }
        if known.insert(told.row.request_id.clone()) {
            let join = place(&mut told, anchors);
            candidates.push(Candidate { told, join, kernel: None });
        }
    }
    candidates
}

fn span(told: &Told) -> (u64, u64) {
    let start = told.row.arrival_mono_ns;
    (start, told.row.end_mono_ns.unwrap_or(start))
}

fn tiers(candidates: &[Candidate]) -> Vec<(JoinTier, u64, Option<u64>)> {
    let mut tiers: Vec<(JoinTier, u64, Option<u64>)> = Vec::new();
    for join in candidates.iter().filter_map(|candidate| candidate.join) {
        match tiers.iter_mut().find(|(tier, ..)| *tier == join.tier) {
            Some((_, count, most)) => {
                *count += 1;
                *most = most.zip(join.error_ns).map(|(most, error)| most.max(error));
            }
            None => tiers.push((join.tier, 1, join.error_ns)),
        }
    }
    tiers.sort_by_key(|(tier, ..)| *tier);
    tiers
}

/// Writes the rows, in the order of their ends.
fn write(
    folder: &Arc<RunFolder>,
    mut candidates: Vec<Candidate>,
    kernel: &[RequestRow],
) -> Result<(), SinkError> {
    candidates.sort_by_key(|candidate| span(&candidate.told).1);
    let sink = ParquetSink::new(Arc::clone(folder), Settings::default());
    let (mut requests, mut tokens) = (sink.writer::<RequestRow>()?, sink.writer::<TokenRow>()?);
    for Candidate { told, join, kernel: at } in candidates {
        let Told { mut row, token_ns, .. } = told;
        for (index, &ts_mono_ns) in token_ns.iter().enumerate() {
            let (request_id, source) = (row.request_id.clone(), row.source);
            tokens.push(TokenRow { request_id, index: index as u32, ts_mono_ns, source })?;
        }
        if let Some(join) = join {
            (row.join_tier, row.join_error_ns) = (join.tier, join.error_ns);
        }
        row.kernel_id = at.map(|at| kernel[at].request_id.clone());
        requests.push(row)?;
    }
    tokens.finish().and(requests.finish())
}
