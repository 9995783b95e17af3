//! What is measured of a request, defined once: TTFT, ITL, TPOT, end-to-end latency, goodput.
//!
//! The definitions are those of `vllm bench serve`
//! (<https://github.com/vllm-project/vllm/blob/v0.11.0/vllm/benchmarks/serve.py>, `calculate_metrics`), but for
//! three points: latencies count from the intended arrival and not from the sending, what is undefined is absent
//! and not zero, and the end is that of the response and not of its last token.

mod goodput;

pub use self::goodput::{Goodput, Target, TargetError};
use crate::table::RequestRow;

/// The latencies of a request, nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Time to first token: from the arrival to the first token, or chunk of tokens. Absent where there was none, and
    /// for a response that was not streamed.
    pub ttft_ns: Option<u64>,
    /// Time per output token after the first. See [`tpot_ns`].
    pub tpot_ns: Option<u64>,
    /// End-to-end latency: from the arrival to the end of the response. Absent for a request that failed or goes on.
    pub e2e_ns: Option<u64>,
}

impl Latencies {
    /// Those of a request.
    pub fn of(row: &RequestRow) -> Self {
        let since_arrival = |at: u64| at.saturating_sub(row.arrival_mono_ns);
        let ttft_ns = row.first_token_mono_ns.map(since_arrival);
        let e2e_ns = row.end_mono_ns.filter(|_| row.error.is_none()).map(since_arrival);
        let tpot_ns = match (e2e_ns, ttft_ns, row.output_tokens) {
            (Some(e2e), Some(ttft), Some(tokens)) => tpot_ns(e2e, ttft, tokens),
            _ => None,
        };
        Self { ttft_ns, tpot_ns, e2e_ns }
    }
}

/// Time per output token after the first: (e2e − TTFT) / (output tokens − 1). Undefined for one token or none.
pub fn tpot_ns(e2e_ns: u64, ttft_ns: u64, output_tokens: u32) -> Option<u64> {
    let after_first = u64::from(output_tokens.checked_sub(1)?);
    e2e_ns.saturating_sub(ttft_ns).checked_div(after_first)
}

/// Inter-token latencies: the gaps between successive tokens, or chunks of tokens, of one response. A chunk of
/// several tokens is one: where a server batches them, ITL is larger than TPOT.
pub fn itl_ns(token_mono_ns: &[u64]) -> impl Iterator<Item = u64> {
    token_mono_ns.windows(2).map(|pair| pair[1].saturating_sub(pair[0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::RequestError;

    fn row() -> RequestRow {
        RequestRow {
            arrival_mono_ns: 1_000,
            send_mono_ns: Some(1_100),
            first_token_mono_ns: Some(1_400),
            end_mono_ns: Some(2_200),
            output_tokens: Some(5),
            ..RequestRow::default()
        }
    }

    #[test]
    fn latencies_count_from_the_arrival_and_not_from_the_sending() {
        let latencies = Latencies::of(&row());
        assert_eq!(latencies.ttft_ns, Some(400));
        assert_eq!(latencies.e2e_ns, Some(1_200));
        assert_eq!(latencies.tpot_ns, Some(200), "(1200 - 400) / (5 - 1)");
    }

    #[test]
    fn time_per_token_is_undefined_for_one_token_and_where_their_number_is_not_known() {
        assert_eq!(tpot_ns(900, 900, 1), None);
        assert_eq!(tpot_ns(900, 900, 0), None);
        assert_eq!(tpot_ns(1_000, 400, 2), Some(600));
        assert_eq!(Latencies::of(&RequestRow { output_tokens: None, ..row() }).tpot_ns, None);
        assert_eq!(Latencies::of(&RequestRow { first_token_mono_ns: None, ..row() }).tpot_ns, None);
    }

    #[test]
    fn a_request_that_failed_has_a_first_token_but_no_end() {
        let failed = Latencies::of(&RequestRow { error: Some(RequestError::Closed), ..row() });
        assert_eq!(failed, Latencies { ttft_ns: Some(400), tpot_ns: None, e2e_ns: None });
    }

    #[test]
    fn gaps_are_one_less_than_chunks() {
        assert_eq!(itl_ns(&[10, 30, 35]).collect::<Vec<_>>(), [20, 5]);
        assert_eq!(itl_ns(&[10]).count(), 0);
        assert_eq!(itl_ns(&[]).count(), 0);
    }
}
