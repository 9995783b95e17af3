//! Which row of `kernel` tells the same request: by id, else by time, else by how long each of a series took.
//!
//! A pair is also what measures a join: by how much a client says to have begun after the server's socket had its bytes,
//! or a server to have stamped outside what its sockets saw, their clocks are apart.

use std::collections::{HashMap, HashSet};

use super::{
    Clock, Told,
    place::{Join, shift},
};
use crate::table::{JoinTier, RequestRow, RequestSource};

/// How long a send may wait for a CPU before it is stamped, by when the client has had it.
const LATE_NS: u64 = 100_000_000;
/// What client and server may differ by in all: a client that waits for a CPU, a queue before the server's own stamps.
const MOST_APART_NS: u64 = 1_000_000_000;
const MOST_APART_SHARE: u64 = 2;
/// Where a server takes a request up long after its arrival.
const MOST_WAIT_NS: u64 = 5_000_000_000;
/// Rows that are looked at for a request, and kept for it, at most: more than are in flight at a time.
const MOST_FITTING: usize = 1 << 14;
const MOST_LIKELY: usize = 64;
/// A contradiction below this is none: clocks are read one after the other.
const READ_NS: u64 = 1_000_000;
/// Times that are coarser than this yield to the socket's.
const COARSE_NS: u64 = 10_000_000;
/// Durations of one request, as two see it, and how many comparisons are made at most.
const SAME_LENGTH_NS: u64 = 5_000_000;
const SAME_LENGTH_SHARE: u64 = 20;
const MOST_COMPARISONS: usize = 200_000_000;

/// A request to be joined.
#[derive(Debug)]
pub struct Candidate {
    pub told: Told,
    /// `None` while its times are not on the recording's clock.
    pub join: Option<Join>,
    /// Its row of `kernel`, by place.
    pub kernel: Option<usize>,
}

/// Finds for each request its row of `kernel`, and joins it by that.
pub fn pair(candidates: &mut [Candidate], kernel: &[RequestRow]) {
    let mut free: HashSet<usize> = (0..kernel.len()).collect();
    by_id(candidates, kernel, &mut free);
    by_time(candidates, kernel, &mut free);
    by_length(candidates, kernel, &mut free);
}

fn by_id(candidates: &mut [Candidate], kernel: &[RequestRow], free: &mut HashSet<usize>) {
    let ids: HashMap<&str, usize> =
        kernel.iter().enumerate().filter_map(|(at, row)| Some((row.client_id.as_deref()?, at))).collect();
    for candidate in candidates.iter_mut().filter(|candidate| !candidate.told.row.request_id.is_empty()) {
        let id = &candidate.told.row.request_id;
        let found = ids.get(id.as_str()).or_else(|| ids.get(clients_part(id)));
        if let Some(&at) = found.filter(|at| free.contains(*at)) {
            free.remove(&at);
            candidate.kernel = Some(at);
            match candidate.join {
                Some(join) => {
                    let error = join
                        .error_ns
                        .map(|ns| ns.saturating_add(contradiction(&candidate.told.row, &kernel[at])));
                    candidate.join = Some(Join { tier: JoinTier::Exact, error_ns: error });
                }
                None => candidate.take_times(&kernel[at], JoinTier::Exact),
            }
        }
    }
}

/// vLLM calls a request `cmpl-ID-0`, and a chat `chatcmpl-ID`, by what its client sent.
fn clients_part(id: &str) -> &str {
    match id.strip_prefix("chatcmpl-") {
        Some(id) => id,
        None => match id.strip_prefix("cmpl-") {
            Some(id) => id.rsplit_once('-').map_or(id, |(id, _)| id),
            None => id,
        },
    }
}

fn by_time(candidates: &mut [Candidate], kernel: &[RequestRow], free: &mut HashSet<usize>) {
    let mut order: Vec<usize> = free.iter().copied().collect();
    order.sort_unstable_by_key(|&at| kernel[at].arrival_mono_ns);
    let mut pairs = Vec::new();
    for (number, candidate) in candidates.iter().enumerate() {
        let (Some(join), None) = (candidate.join, candidate.kernel) else { continue };
        let row = &candidate.told.row;
        let error = join.error_ns.unwrap_or(0);
        let slack = error.saturating_add(READ_NS);
        let wait = if row.source.is_client() { 0 } else { MOST_WAIT_NS };
        let earliest = row.arrival_mono_ns.saturating_sub(slack.saturating_add(wait));
        let latest = row.end_mono_ns.unwrap_or(row.arrival_mono_ns).saturating_add(slack);
        let from = order.partition_point(|&at| kernel[at].arrival_mono_ns < earliest);
        let within = order[from..].iter().take_while(|&&at| kernel[at].arrival_mono_ns <= latest);
        let fitting = within.filter_map(|&at| Some((candidate.cost(error, &kernel[at])?, number, at)));
        let mut fitting: Vec<_> = fitting.take(MOST_FITTING).collect();
        fitting.sort_unstable();
        pairs.extend(fitting.into_iter().take(MOST_LIKELY));
    }
    pairs.sort_unstable();
    for (_, number, at) in pairs {
        let candidate = &mut candidates[number];
        if candidate.kernel.is_some() || !free.remove(&at) {
            continue;
        }
        candidate.kernel = Some(at);
        if candidate.told.rounding_ns > COARSE_NS {
            candidate.take_times(&kernel[at], JoinTier::Socket);
        } else if let Some(join) = &mut candidate.join {
            join.error_ns =
                join.error_ns.map(|ns| ns.saturating_add(contradiction(&candidate.told.row, &kernel[at])));
        }
    }
}

/// Requests without a time, in the order in which they were sent (a client's) or answered (a server's): the series of
/// rows of `kernel` whose durations fit them best, and clearly better than any other.
fn by_length(candidates: &mut [Candidate], kernel: &[RequestRow], free: &mut HashSet<usize>) {
    let series: Vec<usize> = (0..candidates.len())
        .filter(|&at| {
            candidates[at].join.is_none()
                && candidates[at].kernel.is_none()
                && length(&candidates[at].told.row).is_some()
        })
        .collect();
    let mut rows: Vec<usize> = free.iter().copied().filter(|&at| length(&kernel[at]).is_some()).collect();
    let Some(&first) = series.first() else { return };
    let is_client = candidates[first].told.row.source.is_client();
    rows.sort_unstable_by_key(|&at| {
        if is_client { kernel[at].arrival_mono_ns } else { kernel[at].end_mono_ns.unwrap_or(u64::MAX) }
    });
    if rows.len() < series.len()
        || (rows.len() - series.len() + 1).saturating_mul(series.len()) > MOST_COMPARISONS
    {
        return;
    }
    let misfit = |offset: usize| {
        let each = series.iter().zip(&rows[offset..]);
        each.map(|(&told, &row)| apart(&candidates[told].told.row, &kernel[row])).fold(0, u64::saturating_add)
    };
    let mut misfits: Vec<(u64, usize)> =
        (0..=rows.len() - series.len()).map(|offset| (misfit(offset), offset)).collect();
    misfits.sort_unstable();
    let (least, offset) = misfits[0];
    // Two that fit alike tell nothing.
    if misfits.get(1).is_some_and(|&(next, _)| next / 2 <= least) {
        return;
    }
    for (&told, &row) in series.iter().zip(&rows[offset..]) {
        let candidate = &mut candidates[told];
        let most = (length(&kernel[row]).unwrap_or(0) / SAME_LENGTH_SHARE).max(SAME_LENGTH_NS);
        if apart(&candidate.told.row, &kernel[row]) <= most {
            free.remove(&row);
            candidate.kernel = Some(row);
            candidate.take_times(&kernel[row], JoinTier::Socket);
        }
    }
}

fn length(row: &RequestRow) -> Option<u64> {
    row.end_mono_ns?.checked_sub(row.arrival_mono_ns)
}

/// By how much two differ in how long they took, in all and to the first token.
fn apart(told: &RequestRow, kernel: &RequestRow) -> u64 {
    let first = |row: &RequestRow| row.first_token_mono_ns.map(|at| at.saturating_sub(row.arrival_mono_ns));
    let all = length(told).zip(length(kernel)).map_or(0, |(told, kernel)| told.abs_diff(kernel));
    all.saturating_add(first(told).zip(first(kernel)).map_or(0, |(told, kernel)| told.abs_diff(kernel)))
}

/// By how much a row's times cannot be, beside those of the sockets: a client begins before the server has a byte, and a
/// server stamps between the arrival and its own sends. A client's first token and end say nothing: it may have them while
/// the thread that sent waits for a CPU, before the send is stamped.
fn contradiction(row: &RequestRow, kernel: &RequestRow) -> u64 {
    if row.source.is_client() {
        return row.arrival_mono_ns.saturating_sub(kernel.arrival_mono_ns);
    }
    let late =
        |own: Option<u64>, sent: Option<u64>| own.zip(sent).map_or(0, |(own, sent)| own.saturating_sub(sent));
    kernel
        .arrival_mono_ns
        .saturating_sub(row.arrival_mono_ns)
        .max(late(row.first_token_mono_ns, kernel.first_token_mono_ns))
        .max(late(row.end_mono_ns, kernel.end_mono_ns))
}

impl Candidate {
    /// How far apart the two are in all their times. `None` where they cannot be one request.
    fn cost(&self, error: u64, kernel: &RequestRow) -> Option<u64> {
        let row = &self.told.row;
        if self.told.rounding_ns > COARSE_NS {
            let (ended, own) = (kernel.end_mono_ns?, row.end_mono_ns?);
            let misses = own.abs_diff(ended) > error.saturating_add(READ_NS)
                || length(kernel)?.saturating_add(READ_NS) < length(row)?;
            return (!misses).then(|| apart(row, kernel));
        }
        let ends_later = |own: Option<u64>, sent: Option<u64>| {
            own.zip(sent).is_some_and(|(own, sent)| sent > own.saturating_add(error).saturating_add(LATE_NS))
        };
        if contradiction(row, kernel) > error.saturating_add(READ_NS)
            || row.source.is_client() && ends_later(row.first_token_mono_ns, kernel.first_token_mono_ns)
            || row.source.is_client() && ends_later(row.end_mono_ns, kernel.end_mono_ns)
        {
            return None;
        }
        let between = |own: Option<u64>, other: Option<u64>| {
            own.zip(other).map_or(0, |(own, other)| own.abs_diff(other))
        };
        let cost = [
            row.arrival_mono_ns.abs_diff(kernel.arrival_mono_ns),
            between(row.first_token_mono_ns, kernel.first_token_mono_ns),
            between(row.end_mono_ns, kernel.end_mono_ns),
        ]
        .into_iter()
        .fold(0, u64::saturating_add);
        let slack = MOST_APART_NS.max(length(row).unwrap_or(0) / MOST_APART_SHARE);
        let wait = if row.source.is_client() { 0 } else { MOST_WAIT_NS };
        let most = error.saturating_mul(3).saturating_add(slack + wait);
        (cost <= most).then_some(cost)
    }

    /// Takes the socket's times: its own durations where it measured from the arrival on, else the socket's too.
    fn take_times(&mut self, kernel: &RequestRow, tier: JoinTier) {
        let error_ns = Some(apart(&self.told.row, kernel));
        let arrival = self.told.row.arrival_mono_ns;
        if self.told.row.source == RequestSource::LlamaCpp {
            let row = &mut self.told.row;
            row.arrival_mono_ns = kernel.arrival_mono_ns;
            (row.first_token_mono_ns, row.end_mono_ns) = (kernel.first_token_mono_ns, kernel.end_mono_ns);
        } else if shift(&mut self.told, i128::from(kernel.arrival_mono_ns) - i128::from(arrival)).is_none() {
            return;
        }
        self.told.clock = Clock::Monotonic(None);
        self.join = Some(Join { tier, error_ns });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Place;

    const MS: u64 = 1_000_000;

    fn kernel(id: &str, times: [u64; 3]) -> RequestRow {
        let [arrival, first, end] = times.map(|ms| ms * MS);
        RequestRow {
            request_id: id.to_owned(),
            arrival_mono_ns: arrival,
            first_token_mono_ns: Some(first),
            end_mono_ns: Some(end),
            source: RequestSource::Kernel,
            ..RequestRow::default()
        }
    }

    fn told(source: RequestSource, id: &str, times: [u64; 3], error: Option<u64>) -> Candidate {
        let row = RequestRow { source, ..kernel(id, times) };
        let told = Told {
            place: Place { line: 1, entry: 0 },
            clock: Clock::Wall,
            rounding_ns: 1,
            row,
            token_ns: vec![],
        };
        let join = error.map(|ns| Join { tier: JoinTier::Wall, error_ns: Some(ns) });
        Candidate { told, join, kernel: None }
    }

    #[test]
    fn an_id_goes_before_the_time_and_measures_the_clock() {
        let mut rows = vec![kernel("1-1", [10, 20, 30]), kernel("1-2", [11, 20, 30])];
        rows[1].client_id = Some("abc".to_owned());
        let mut candidates = vec![
            told(RequestSource::Aiperf, "abc", [13, 21, 31], Some(50)),
            told(RequestSource::Otel, "cmpl-abc-0", [12, 21, 29], Some(50)),
        ];
        pair(&mut candidates, &rows);
        assert_eq!(candidates[0].kernel, Some(1));
        let exact = Join { tier: JoinTier::Exact, error_ns: Some(50 + 2 * MS) };
        assert_eq!(candidates[0].join, Some(exact), "it says that it sent 2 ms after the server had it");
        assert_ne!(candidates[1].kernel, Some(1), "a row is of one request of a file");
    }

    #[test]
    fn servers_names_hold_their_clients() {
        assert_eq!(clients_part("cmpl-a-b-0"), "a-b");
        assert_eq!(clients_part("chatcmpl-a-b"), "a-b");
        assert_eq!(clients_part("a-b"), "a-b");
    }

    #[test]
    fn those_in_flight_together_are_told_apart_by_all_their_times() {
        let rows =
            [kernel("1-1", [100, 150, 400]), kernel("2-1", [101, 250, 300]), kernel("3-1", [102, 120, 350])];
        let mut candidates: Vec<_> = [[100, 121, 351], [99, 252, 301], [99, 151, 401]]
            .map(|times| told(RequestSource::VllmBench, "", times, Some(4)))
            .into();
        pair(&mut candidates, &rows);
        assert_eq!(candidates.iter().map(|one| one.kernel).collect::<Vec<_>>(), [Some(2), Some(1), Some(0)]);
        assert_eq!(candidates[0].join.unwrap().error_ns, Some(4), "nothing contradicts");
    }

    #[test]
    fn what_another_client_asked_is_not_taken() {
        let rows = [kernel("1-1", [100, 150, 4_000])];
        let mut candidates = vec![told(RequestSource::VllmBench, "", [90, 95, 200], Some(4))];
        pair(&mut candidates, &rows);
        assert_eq!(candidates[0].kernel, None, "the server had not answered when this client had its answer");
    }

    #[test]
    fn a_series_without_times_is_found_by_its_durations() {
        let rows: Vec<_> = [(0, 40), (50, 31), (100, 77), (200, 12), (230, 55)]
            .iter()
            .map(|&(at, long)| kernel("k", [at, at + long / 2, at + long]))
            .collect();
        let bench = |long: u64| told(RequestSource::SglangBench, "", [0, long / 2, long], None);
        let mut candidates = vec![bench(32), bench(78), bench(12)];
        pair(&mut candidates, &rows);
        assert_eq!(candidates.iter().map(|one| one.kernel).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
        assert_eq!(candidates[1].told.row.arrival_mono_ns, 100 * MS);
        assert_eq!(candidates[1].join, Some(Join { tier: JoinTier::Socket, error_ns: Some(2 * MS) }));
        let mut alike = vec![bench(32)];
        pair(&mut alike, &[kernel("a", [0, 16, 32]), kernel("b", [50, 66, 82])]);
        assert_eq!(alike[0].kernel, None, "two fit alike");
    }
}
