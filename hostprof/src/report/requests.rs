//! Requests: how many, what failed, and their latencies, by who saw them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::{self, Write},
};

use serde::Serialize;

use super::{
    columns::{
        Align::{Left, Right},
        Columns,
    },
    text::{heading, latency_cells},
};
use crate::{
    humane::{count, plural},
    lengths::{Latency, Lengths},
    request::Latencies,
    table::{RequestRow, RequestSource, TokenRow, Word as _},
};

/// Requests that one source saw.
#[derive(Clone, Debug, Serialize)]
pub struct Requests {
    /// Who saw them.
    pub source: &'static str,
    pub count: u64,
    /// Those that were in flight when recording ended.
    pub unfinished: u64,
    /// Those that failed, by kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// Tokens of all responses; null where no server told.
    pub output_tokens: Option<u64>,
    /// From arrival to the first token or chunk, of streamed responses.
    pub ttft: Latency,
    /// Gaps between successive tokens or chunks.
    pub itl: Latency,
    /// Time per output token after the first, where the number of tokens is known.
    pub tpot: Latency,
    /// From arrival to the end, of those that did not fail.
    pub e2e: Latency,
}

struct Seen {
    count: u64,
    unfinished: u64,
    errors: BTreeMap<&'static str, u64>,
    output_tokens: Option<u64>,
    ttft: Lengths,
    itl: Lengths,
    tpot: Lengths,
    e2e: Lengths,
    /// When each request last had a token. A request ends in no order that would tell when one may be forgotten.
    last_token: HashMap<String, u64>,
}

/// The fold of both tables.
#[derive(Default)]
pub struct RequestFold {
    sources: BTreeMap<RequestSource, Seen>,
}

impl RequestFold {
    /// Takes a row of `request`.
    pub fn request(&mut self, row: &RequestRow) {
        let seen = self.of(row.source);
        seen.count += 1;
        seen.unfinished += u64::from(row.end_mono_ns.is_none());
        if let Some(error) = row.error {
            *seen.errors.entry(error.word()).or_default() += 1;
        }
        if let Some(tokens) = row.output_tokens {
            *seen.output_tokens.get_or_insert(0) += u64::from(tokens);
        }
        let latencies = Latencies::of(row);
        latencies.ttft_ns.into_iter().for_each(|ns| seen.ttft.add(ns));
        latencies.tpot_ns.into_iter().for_each(|ns| seen.tpot.add(ns));
        latencies.e2e_ns.into_iter().for_each(|ns| seen.e2e.add(ns));
    }

    /// Takes a row of `token`; those of a request come in order.
    pub fn token(&mut self, row: &TokenRow) {
        let seen = self.of(row.source);
        match seen.last_token.get_mut(&row.request_id) {
            Some(last) => {
                seen.itl.add(row.ts_mono_ns.saturating_sub(*last));
                *last = row.ts_mono_ns;
            }
            None => {
                seen.last_token.insert(row.request_id.clone(), row.ts_mono_ns);
            }
        }
    }

    /// What it comes to, by source.
    pub fn finish(self) -> Vec<Requests> {
        let requests = |(source, seen): (RequestSource, Seen)| Requests {
            source: source.word(),
            count: seen.count,
            unfinished: seen.unfinished,
            errors: seen.errors,
            output_tokens: seen.output_tokens,
            ttft: seen.ttft.latency(),
            itl: seen.itl.latency(),
            tpot: seen.tpot.latency(),
            e2e: seen.e2e.latency(),
        };
        self.sources.into_iter().map(requests).collect()
    }

    fn of(&mut self, source: RequestSource) -> &mut Seen {
        self.sources.entry(source).or_insert_with(|| Seen {
            count: 0,
            unfinished: 0,
            errors: BTreeMap::new(),
            output_tokens: None,
            ttft: Lengths::new(),
            itl: Lengths::new(),
            tpot: Lengths::new(),
            e2e: Lengths::new(),
            last_token: HashMap::new(),
        })
    }
}

/// Sets them as text; nothing where there are none.
pub fn write(out: &mut String, requests: &[Requests]) -> fmt::Result {
    if requests.is_empty() {
        return Ok(());
    }
    heading(
        out,
        "REQUESTS",
        "from arrival; of load as its client received, of kernel as the server's threads sent",
    )?;
    let mut columns = Columns::new(&[
        ("SOURCE", Left),
        ("REQUESTS", Right),
        ("LATENCY", Left),
        ("COUNT", Right),
        ("P50", Right),
        ("P95", Right),
        ("P99", Right),
        ("MAX", Right),
    ]);
    for of in requests {
        let latencies = [("TTFT", &of.ttft), ("ITL", &of.itl), ("TPOT", &of.tpot), ("e2e", &of.e2e)];
        let mut head = [of.source.to_owned(), count(of.count)];
        for (name, latency) in latencies.into_iter().filter(|(_, latency)| latency.count > 0) {
            let mut cells: Vec<String> = std::mem::take(&mut head).into();
            cells.extend([name.to_owned(), count(latency.count)]);
            cells.extend(latency_cells(latency));
            columns.row(cells);
        }
        if !head[0].is_empty() {
            columns.row(head.into());
        }
    }
    write!(out, "{columns}")?;
    for of in requests {
        let mut odd: Vec<String> =
            of.errors.iter().map(|(kind, number)| format!("{} {kind}", count(*number))).collect();
        if of.unfinished > 0 {
            odd.push(format!("{} in flight at the end", count(of.unfinished)));
        }
        if !odd.is_empty() {
            writeln!(out, "{}: {} of {}", of.source, odd.join(" · "), plural(of.count, "request"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::RequestError;

    #[test]
    fn requests_are_told_by_source_with_gaps_within_each_request() {
        let mut fold = RequestFold::default();
        for (id, ts_mono_ns) in [("a", 100), ("b", 110), ("a", 150), ("b", 400)] {
            fold.token(&TokenRow { request_id: id.to_owned(), ts_mono_ns, ..TokenRow::default() });
        }
        let row = RequestRow {
            arrival_mono_ns: 50,
            first_token_mono_ns: Some(100),
            end_mono_ns: Some(450),
            output_tokens: Some(5),
            ..RequestRow::default()
        };
        fold.request(&row);
        fold.request(&RequestRow { error: Some(RequestError::Closed), ..row.clone() });
        fold.request(&RequestRow { source: RequestSource::Kernel, end_mono_ns: None, ..row });
        let told = fold.finish();
        assert_eq!((told.len(), told[0].source, told[1].source), (2, "load", "kernel"));
        assert_eq!((told[0].itl.count, told[0].itl.max_ns), (2, Some(290)));
        assert_eq!((told[0].ttft.count, told[0].e2e.count, told[0].tpot.max_ns), (2, 1, Some(87)));
        assert_eq!((told[0].errors["closed"], told[1].unfinished), (1, 1));
        let mut text = String::new();
        write(&mut text, &told).unwrap();
        assert!(text.contains("load: 1 closed of 2 requests") && text.contains("1 in flight"), "{text}");
    }
}
