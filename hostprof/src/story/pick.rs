//! Which requests are told, and which windows are set against one another: the slow and the typical.

use super::served::{Request, Served};
use crate::ledger::Window;

/// The slowest of so many are slow.
pub const SLOW_OF: usize = 100;
/// Windows of a kind that are looked into at most, of requests and of gaps.
const MOST_REQUESTS: usize = 20;
const MOST_GAPS: usize = 200;
const MOST_STRETCHES: usize = 50;
/// Fewer gaps or stretches say nothing of their tail.
const FEWEST_GAPS: usize = 20;
const FEWEST_STRETCHES: usize = 8;
/// One slow request may be slow for a reason of its own; where there are enough, so many are slow.
const FEWEST_SLOW: usize = 5;
/// Gaps in a stretch: what makes each a little longer is not seen among the longest of all, which had a reason of their own.
const STRETCH: usize = 16;

/// A window of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The request's place among those served.
    pub request: usize,
    /// Its first gap's place in the response: that between tokens `index` and `index` + 1. `None` for another window.
    pub index: Option<usize>,
    pub window: Window,
}

impl Pick {
    /// Its length.
    pub fn len_ns(&self) -> u64 {
        self.window.end_ns.saturating_sub(self.window.start_ns)
    }
}

/// Slow windows and typical ones, of one kind.
#[derive(Clone, Debug, Default)]
pub struct Sets {
    pub slow: Vec<Pick>,
    pub typical: Vec<Pick>,
    /// How many there are of the kind.
    pub all: usize,
}

/// What was picked.
#[derive(Clone, Debug, Default)]
pub struct Picked {
    /// Requests to tell: why, and its place.
    pub told: Vec<(&'static str, usize)>,
    /// From arrival to the first token, or to the end of a response without one.
    pub first_token: Sets,
    /// Between tokens.
    pub gaps: Sets,
    /// [`STRETCH`] gaps of a response in a row.
    pub stretches: Sets,
}

impl Picked {
    /// What is compared, and its name.
    pub fn kinds(&self) -> [(&'static str, &Sets); 3] {
        [
            ("until the first token", &self.first_token),
            ("gaps between tokens", &self.gaps),
            ("16 tokens in a row", &self.stretches),
        ]
    }
}

/// Picks from what was served; `chosen` is the id of a request asked for.
pub fn pick(served: &Served, chosen: Option<&str>) -> Picked {
    let mut told = Vec::new();
    let mut by_length: Vec<usize> = (0..served.requests.len()).collect();
    by_length.sort_by_key(|&at| length(served.requests[at].window()));
    let whole: Vec<usize> =
        by_length.iter().copied().filter(|&at| served.requests[at].latencies().e2e_ns.is_some()).collect();
    if let Some(id) = chosen
        && let Some(at) = served
            .requests
            .iter()
            .position(|request| request.row.request_id == id || request.row.client_id.as_deref() == Some(id))
    {
        told.push(("chosen", at));
    }
    let others = [("typical", whole.get(whole.len() / 2)), ("slowest", by_length.last())];
    for (which, at) in others {
        // The same request twice tells nothing more.
        if let Some(&at) = at.filter(|at| told.iter().all(|(_, of)| of != *at)) {
            told.push((which, at));
        }
    }
    let requests = &served.requests;
    Picked { told, first_token: first_tokens(requests), gaps: gaps(requests), stretches: stretches(requests) }
}

fn length(window: Window) -> u64 {
    window.end_ns.saturating_sub(window.start_ns)
}

fn first_tokens(requests: &[Request]) -> Sets {
    let picks = requests.iter().enumerate().map(|(request, of)| {
        let mut window = of.window();
        window.end_ns = of.row.first_token_mono_ns.unwrap_or(window.end_ns).max(window.start_ns);
        Pick { request, index: None, window }
    });
    sets(picks.collect(), FEWEST_SLOW, MOST_REQUESTS)
}

/// So many gaps of a response in a row, one row after the other; what remains of a response is left out.
fn in_a_row(requests: &[Request], gaps: usize) -> Vec<Pick> {
    let of = |(request, of): (usize, &Request)| {
        let rows = of.tokens.windows(gaps + 1).enumerate().step_by(gaps).map(move |(index, tokens)| Pick {
            request,
            index: Some(index),
            window: Window { start_ns: tokens[0], end_ns: tokens[gaps].max(tokens[0]) },
        });
        rows.collect::<Vec<_>>()
    };
    requests.iter().enumerate().flat_map(of).collect()
}

fn gaps(requests: &[Request]) -> Sets {
    let picks = in_a_row(requests, 1);
    if picks.len() < FEWEST_GAPS {
        return Sets { all: picks.len(), ..Sets::default() };
    }
    sets(picks, 1, MOST_GAPS)
}

fn stretches(requests: &[Request]) -> Sets {
    let picks = in_a_row(requests, STRETCH);
    if picks.len() < FEWEST_STRETCHES {
        return Sets { all: picks.len(), ..Sets::default() };
    }
    sets(picks, FEWEST_SLOW, MOST_STRETCHES)
}

/// The slowest hundredth, at least `fewest` but no more than an eighth then, one in any case; and those about the median.
fn sets(mut picks: Vec<Pick>, fewest: usize, most: usize) -> Sets {
    picks.sort_by_key(Pick::len_ns);
    let all = picks.len();
    let fewest = fewest.min(all / 8).max(1).min(all);
    let slow = (all / SLOW_OF).clamp(fewest, most);
    let (rest, slowest) = picks.split_at(all - slow);
    // From the second and third quarter, but with few all the others.
    let middle = if rest.len() > 8 { &rest[rest.len() / 4..rest.len() * 3 / 4] } else { rest };
    let every = middle.len().div_ceil(most).max(1);
    Sets {
        slow: slowest.iter().rev().copied().collect(),
        typical: middle.iter().step_by(every).copied().collect(),
        all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        story::served::ServedFold,
        table::{RequestRow, TokenRow},
    };

    fn served(lengths: &[u64], gaps: &[u64]) -> Served {
        let mut fold = ServedFold::default();
        for (at, &length) in lengths.iter().enumerate() {
            let arrival_mono_ns = at as u64 * 10;
            fold.request(RequestRow {
                request_id: format!("r{at}"),
                arrival_mono_ns,
                first_token_mono_ns: Some(arrival_mono_ns + length / 2),
                end_mono_ns: Some(arrival_mono_ns + length),
                ..RequestRow::default()
            });
        }
        let mut at = 1000;
        for gap in std::iter::once(&0).chain(gaps) {
            at += gap;
            let row = TokenRow { request_id: "r0".into(), ts_mono_ns: at, ..TokenRow::default() };
            fold.token(row);
        }
        fold.finish(None, 1_000_000).unwrap()
    }

    #[test]
    fn a_typical_the_slowest_and_the_chosen_request_are_told_each_once() {
        let served = served(&[100, 300, 900, 200, 250], &[]);
        assert_eq!(pick(&served, None).told, [("typical", 4), ("slowest", 2)]);
        assert_eq!(pick(&served, Some("r1")).told, [("chosen", 1), ("typical", 4), ("slowest", 2)]);
        let of_first = pick(&served, None).first_token;
        assert_eq!((of_first.slow.len(), of_first.slow[0].request, of_first.typical.len()), (1, 2, 4));
        let alone = self::served(&[100], &[]);
        assert_eq!(pick(&alone, None).told, [("typical", 0)]);
    }

    #[test]
    fn the_slowest_hundredth_of_gaps_is_slow_and_those_about_the_median_are_typical() {
        let lengths: Vec<u64> = (1..=400).collect();
        let gaps = pick(&served(&[100], &lengths), None).gaps;
        let slow: Vec<u64> = gaps.slow.iter().map(Pick::len_ns).collect();
        assert_eq!(slow, [400, 399, 398, 397]);
        assert!(gaps.typical.iter().all(|gap| (99..=300).contains(&gap.len_ns())));
        assert_eq!(gaps.all, 400);
        assert!(pick(&served(&[100], &[5; 10]), None).gaps.slow.is_empty(), "too few");
    }

    #[test]
    fn stretches_are_so_many_gaps_in_a_row_and_the_rest_is_none() {
        let lengths: Vec<u64> = (0..10 * STRETCH as u64 + 3).map(|at| 1 + at / STRETCH as u64).collect();
        let stretches = pick(&served(&[100], &lengths), None).stretches;
        assert_eq!((stretches.all, stretches.slow.len()), (10, 1));
        assert_eq!(
            (stretches.slow[0].index, stretches.slow[0].len_ns()),
            (Some(9 * STRETCH), 10 * STRETCH as u64)
        );
        assert!(pick(&served(&[100], &[5; 3 * STRETCH]), None).stretches.slow.is_empty(), "too few");
    }

    #[test]
    fn of_few_windows_some_are_slow_but_no_more_than_an_eighth() {
        let slow =
            |count: u64| pick(&served(&(1..=count).collect::<Vec<_>>(), &[]), None).first_token.slow.len();
        assert_eq!(
            [1, 7, 8, 16, 39, 40, 100, 500, 600, 9000].map(slow),
            [1, 1, 1, 2, 4, 5, 5, 5, 6, MOST_REQUESTS]
        );
    }
}
