//! What carried the excess of the slowest gaps between tokens over the typical ones.

use std::collections::BTreeMap;

use serde::Serialize;

use super::facts::{Contrast, Facts, mean};

/// The slowest hundredth of the gaps, set against those about the median.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tail {
    /// Gaps of all requests, those that are slow, and the typical ones looked into.
    pub gaps: u64,
    pub slow: u64,
    pub typical: u64,
    /// Mean lengths.
    pub slow_ns: u64,
    pub typical_ns: u64,
    /// Requests that waited for their first token meanwhile, on average.
    pub slow_prefills: f64,
    pub typical_prefills: f64,
    /// By whose time on the critical path, most first: sums to the excess. Empty where there is no path.
    pub carried: Vec<Carried>,
}

/// A part of the critical path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Carried {
    /// The thread's role, or its name where it has none.
    pub who: String,
    pub state: &'static str,
    /// Mean time in slow and in typical gaps.
    pub slow_ns: u64,
    pub typical_ns: u64,
    /// Their difference.
    pub excess_ns: i64,
}

/// From the accounts of the gaps; `who` names a thread's role.
pub fn tail(of: &Contrast, who: impl Fn(usize) -> String) -> Option<Tail> {
    if of.slow.is_empty() || of.typical.is_empty() {
        return None;
    }
    let mut sums: BTreeMap<(String, &'static str), [u128; 2]> = BTreeMap::new();
    for (set, facts) in [&of.slow, &of.typical].into_iter().enumerate() {
        for ((thread, part), ns) in facts.iter().flat_map(Facts::path_sums) {
            sums.entry((who(thread), part.word())).or_default()[set] += u128::from(ns);
        }
    }
    let each = |sum: u128, facts: &[Facts]| (sum / facts.len() as u128) as u64;
    let mut carried: Vec<Carried> = sums
        .into_iter()
        .map(|((who, state), [slow, typical])| {
            let (slow_ns, typical_ns) = (each(slow, &of.slow), each(typical, &of.typical));
            Carried { who, state, slow_ns, typical_ns, excess_ns: slow_ns as i64 - typical_ns as i64 }
        })
        .collect();
    carried.sort_by_key(|part| std::cmp::Reverse(part.excess_ns));
    let prefills =
        |facts: &[Facts]| facts.iter().map(|of| of.prefills.mean).sum::<f64>() / facts.len() as f64;
    Some(Tail {
        gaps: of.all as u64,
        slow: of.slow.len() as u64,
        typical: of.typical.len() as u64,
        slow_ns: mean(&of.slow, Facts::len_ns),
        typical_ns: mean(&of.typical, Facts::len_ns),
        slow_prefills: prefills(&of.slow),
        typical_prefills: prefills(&of.typical),
        carried,
    })
}
