//! What a load came to, as `--json` prints it.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    Options, Pace,
    stats::{Distribution, Failures, Stats},
};
use crate::{humane::plural, table::RequestError, units::MonoNs, usage};

/// A delay of the client's own below this is no matter.
const SMALL_NS: u64 = 1_000_000;

/// The client's own delay matters from this share of what is measured on.
const NOTABLE_SHARE: f64 = 0.05;

/// What a summary needs beside the figures.
#[derive(Debug)]
pub struct Facts {
    /// The URL that was asked.
    pub url: String,
    /// The model.
    pub model: String,
    /// When the load began.
    pub started_mono_ns: MonoNs,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// The figures of a load. Times are nanoseconds, rates by the second; what was not measured is null.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The URL that was asked.
    pub url: String,
    /// The model.
    pub model: String,
    /// When requests were sent.
    pub load: String,
    /// The rate asked for; of an open loop.
    pub wanted_rate: Option<f64>,
    /// From the first arrival to the end of the last request.
    pub length_ns: u64,
    /// Requests that are over, but for those of the warm-up.
    pub requests: u64,
    /// Those answered in full.
    pub succeeded: u64,
    /// Those that failed, without those the user cancelled.
    pub failed: u64,
    /// Those that were under way when the user ended the load.
    pub cancelled: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Failures and what the first of each kind was, by kind.
    pub errors: Vec<Errors>,
    /// Answered in full, a second.
    pub requests_per_s: f64,
    /// Tokens of responses, a second, as the server counts them.
    pub output_tokens_per_s: Option<f64>,
    /// Tokens of prompts, a second, as the server counts them.
    pub input_tokens_per_s: Option<f64>,
    /// Tokens of prompts that were in the server's cache, of all; where it tells.
    pub cached_ratio: Option<f64>,
    /// Time to first token.
    pub ttft: Option<Distribution>,
    /// Gaps between tokens, or chunks of tokens.
    pub itl: Option<Distribution>,
    /// Time per output token after the first.
    pub tpot: Option<Distribution>,
    /// End-to-end latency.
    pub e2e: Option<Distribution>,
    /// Requests that met the targets; null where none is set.
    pub goodput: Option<Goodput>,
    /// How the client itself did.
    pub client: Client,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Failures of a kind.
#[derive(Clone, Debug, Serialize)]
pub struct Errors {
    /// The kind.
    pub kind: RequestError,
    /// How many, and the first.
    #[serde(flatten)]
    pub failures: Failures,
}

/// Requests that met every target.
#[derive(Clone, Debug, Serialize)]
pub struct Goodput {
    /// The targets, nanoseconds, by name.
    pub targets: Vec<(String, u64)>,
    /// Requests that met them.
    pub good: u64,
    /// Of all requests, those cancelled left out.
    pub ratio: Option<f64>,
    /// A second.
    pub per_s: f64,
}

/// How the client itself did.
#[derive(Clone, Debug, Serialize)]
pub struct Client {
    /// How late requests were started after their arrival.
    pub start_late: Option<Distribution>,
    /// The most delay of the client's own in each request: late start, late reading, or a late pulse.
    pub delay: Option<Distribution>,
    /// How late a timer that rings every 2 ms was taken up.
    pub pulse_late: Option<Distribution>,
    /// Whether the client's delay is large enough to be seen in the latencies.
    pub was_slow: bool,
    /// Connections made.
    pub connections: u64,
    /// Requests sent once more, since the kept connection they were sent over was closed unanswered.
    pub resent: u64,
    /// CPU time of hostprof.
    pub cpu_ns: u64,
    /// The most memory of hostprof.
    pub max_rss_bytes: u64,
}

impl Summary {
    /// From what was counted; of connections, those made, and the requests sent once more for want of one.
    pub fn new(
        options: &Options,
        facts: Facts,
        stats: &Stats,
        pulse_late: &Histogram<u64>,
        (connections, resent): (u64, u64),
    ) -> Self {
        let length_ns = stats.last_end.saturating_sub(facts.started_mono_ns.0);
        let seconds = (length_ns as f64 / 1e9).max(1e-9);
        let cancelled = stats.count_of(RequestError::Cancelled);
        let told = stats.succeeded > stats.untold;
        let ttft = Distribution::of(&stats.ttft_ns);
        let e2e = Distribution::of(&stats.e2e_ns);
        let delay = Distribution::of(&stats.client_delay_ns);
        let targets: Vec<(String, u64)> = options
            .goodput
            .targets()
            .map(|(target, most)| (target.to_string(), most.as_nanos() as u64))
            .collect();
        let ended = stats.requests - cancelled;
        let mut summary = Self {
            url: facts.url,
            model: facts.model,
            load: options.pace.to_string(),
            wanted_rate: if let Pace::Open(rate, _) = options.pace { Some(rate) } else { None },
            length_ns,
            requests: stats.requests,
            succeeded: stats.succeeded,
            failed: ended - stats.succeeded,
            cancelled,
            retries: stats.retries,
            errors: stats
                .failures()
                .map(|(kind, failures)| Errors { kind, failures: failures.clone() })
                .collect(),
            requests_per_s: stats.succeeded as f64 / seconds,
            output_tokens_per_s: told.then(|| stats.output_tokens as f64 / seconds),
            input_tokens_per_s: told.then(|| stats.input_tokens as f64 / seconds),
            cached_ratio: stats
                .cached_tokens
                .filter(|_| stats.input_tokens > 0)
                .map(|cached| cached as f64 / stats.input_tokens as f64),
            ttft,
            itl: Distribution::of(&stats.itl_ns),
            tpot: Distribution::of(&stats.tpot_ns),
            e2e,
            goodput: (!targets.is_empty()).then(|| Goodput {
                targets,
                good: stats.good,
                ratio: (ended > 0).then(|| stats.good as f64 / ended as f64),
                per_s: stats.good as f64 / seconds,
            }),
            client: Client {
                start_late: Distribution::of(&stats.start_late_ns),
                delay,
                pulse_late: Distribution::of(pulse_late),
                was_slow: was_slow(delay, ttft.or(e2e)),
                connections,
                resent,
                cpu_ns: usage::own_cpu().as_nanos() as u64,
                max_rss_bytes: usage::own_max_rss(),
            },
            notes: facts.notes,
        };
        summary.add_notes(stats);
        summary
    }

    fn add_notes(&mut self, stats: &Stats) {
        if self.client.resent > 0 {
            self.notes.push(format!(
                "the server closes connections that it should keep: {} sent once more, and each from then on over a \
                 connection of its own (--no-keep-alive does so from the start)",
                plural(self.client.resent, "request")
            ));
        }
        if stats.untold > 0 {
            self.notes.push(format!(
                "the server told no usage for {} of {} responses: their tokens are not counted, and have no TPOT",
                stats.untold, stats.succeeded
            ));
        }
        if stats.other_length > 0 {
            self.notes.push(format!(
                "{} of {} responses have another number of tokens than was asked for",
                stats.other_length, stats.succeeded
            ));
        }
    }
}

/// Whether the client's delay can be seen in what was measured: its 99th percentile is over 1 ms, and over 5 % of the
/// median of TTFT, or of end-to-end latency where there is no TTFT.
fn was_slow(delay: Option<Distribution>, latency: Option<Distribution>) -> bool {
    let (Some(delay), Some(latency)) = (delay, latency) else { return false };
    delay.p99_ns > SMALL_NS && delay.p99_ns as f64 > latency.p50_ns as f64 * NOTABLE_SHARE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stats::histogram;

    fn of(ns: u64) -> Option<Distribution> {
        let mut values = histogram();
        values.record(ns).unwrap();
        Distribution::of(&values)
    }

    #[test]
    fn the_client_was_slow_where_its_delay_can_be_seen() {
        assert!(was_slow(of(3_000_000), of(20_000_000)));
        assert!(!was_slow(of(900_000), of(1_000_000)), "below a millisecond");
        assert!(!was_slow(of(3_000_000), of(200_000_000)), "1.5 %");
        assert!(!was_slow(of(3_000_000), None));
    }
}
