//! Goodput: requests that met every target.

use std::{fmt, str::FromStr, time::Duration};

use super::Latencies;
use crate::table::RequestRow;

/// A latency that a target is set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Time to first token.
    Ttft,
    /// Time per output token.
    Tpot,
    /// End-to-end latency.
    E2e,
}

/// A word that names no latency.
#[derive(Debug, thiserror::Error)]
#[error("unknown target {0:?} (ttft, tpot, e2e)")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(word: &str) -> Result<Self, TargetError> {
        match word {
            "ttft" => Ok(Self::Ttft),
            "tpot" => Ok(Self::Tpot),
            "e2e" | "e2el" => Ok(Self::E2e),
            _ => Err(TargetError(word.to_owned())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ttft => "ttft",
            Self::Tpot => "tpot",
            Self::E2e => "e2e",
        })
    }
}

/// Targets of a service. Goodput is the rate of requests that meet all of them (DistServe,
/// <https://arxiv.org/abs/2401.09670>, section 1); a request that failed meets none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Goodput {
    /// Most time to first token.
    pub ttft: Option<Duration>,
    /// Most time per output token after the first.
    pub tpot: Option<Duration>,
    /// Most end-to-end latency.
    pub e2e: Option<Duration>,
}

impl Goodput {
    /// Sets a target.
    pub fn set(&mut self, target: Target, most: Duration) {
        *match target {
            Target::Ttft => &mut self.ttft,
            Target::Tpot => &mut self.tpot,
            Target::E2e => &mut self.e2e,
        } = Some(most);
    }

    /// Those that are set.
    pub fn targets(&self) -> impl Iterator<Item = (Target, Duration)> {
        [(Target::Ttft, self.ttft), (Target::Tpot, self.tpot), (Target::E2e, self.e2e)]
            .into_iter()
            .filter_map(|(target, most)| Some((target, most?)))
    }

    /// Whether a request met every target. One that is undefined for it, as TPOT for one token, binds it not, but a
    /// TTFT that was not seen is not met: whoever sets it wants a stream.
    pub fn met(&self, row: &RequestRow) -> bool {
        let latencies = Latencies::of(row);
        let within = |ns: Option<u64>, most: Option<Duration>, undefined: bool| match (ns, most) {
            (_, None) => true,
            (Some(ns), Some(most)) => u128::from(ns) <= most.as_nanos(),
            (None, Some(_)) => undefined,
        };
        latencies.e2e_ns.is_some()
            && within(latencies.ttft_ns, self.ttft, false)
            && within(latencies.tpot_ns, self.tpot, row.output_tokens.is_some_and(|tokens| tokens < 2))
            && within(latencies.e2e_ns, self.e2e, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::RequestError;

    const MS: u64 = 1_000_000;

    /// TTFT 400 ms, TPOT 50 ms over 9 tokens, e2e 800 ms.
    fn row() -> RequestRow {
        RequestRow {
            first_token_mono_ns: Some(400 * MS),
            end_mono_ns: Some(800 * MS),
            output_tokens: Some(9),
            ..RequestRow::default()
        }
    }

    fn targets(ttft: u64, tpot: u64, e2e: u64) -> Goodput {
        let ms = |value| Some(Duration::from_millis(value));
        Goodput { ttft: ms(ttft), tpot: ms(tpot), e2e: ms(e2e) }
    }

    #[test]
    fn every_target_must_be_met_and_may_be_met_exactly() {
        assert!(targets(400, 50, 800).met(&row()));
        assert!(!targets(399, 50, 800).met(&row()));
        assert!(!targets(400, 49, 800).met(&row()));
        assert!(!targets(400, 50, 799).met(&row()));
        assert!(Goodput::default().met(&row()));
    }

    #[test]
    fn a_failed_request_meets_none_and_one_token_needs_no_time_per_token() {
        assert!(!Goodput::default().met(&RequestRow { error: Some(RequestError::Timeout), ..row() }));
        assert!(targets(400, 50, 800).met(&RequestRow { output_tokens: Some(1), ..row() }));
        assert!(!targets(400, 50, 800).met(&RequestRow { output_tokens: None, ..row() }));
        assert!(!targets(400, 50, 800).met(&RequestRow { first_token_mono_ns: None, ..row() }));
    }
}
