//! Steps of the engine: how many batches it computed, of what, and how long they and its other calls took.

use std::{cmp::Reverse, collections::BTreeMap, fmt, fmt::Write as _};

use serde::Serialize;

use super::{
    columns::{
        Align::{Left, Right},
        Columns,
    },
    cuda::CudaCall,
    text::{heading, latency_cells},
};
use crate::{
    humane::{count, duration, rate, share},
    lengths::{Latency, Lengths},
    table::{StepKind, StepRow, Word},
};

/// The call of CUDA's that launches a graph: an engine that captures its steps launches one for each.
const GRAPH_LAUNCH: &str = "cuGraphLaunch";

/// Calls of one function and kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepCalls {
    pub name: String,
    /// The words of column `kind`; `graph_launch` for calls of `cuda_call` that are no rows of `step`.
    pub kind: &'static str,
    pub calls: u64,
    /// Over the whole recording.
    pub per_second: f64,
    /// Null for calls that were only counted, as for `latency`.
    pub total_ns: Option<u64>,
    /// Of that, off the CPU.
    pub off_cpu_ns: Option<u64>,
    /// Tokens of all batches, or made of texts; null for calls without.
    pub tokens: Option<u64>,
    pub tokens_mean: Option<f64>,
    pub tokens_max: Option<u64>,
    /// Of the batches whose sequences are known.
    pub sequences_mean: Option<f64>,
    pub sequences_max: Option<u64>,
    #[serde(flatten)]
    pub latency: Latency,
}

/// Numbers of calls that have one.
#[derive(Default)]
struct Numbers {
    calls: u64,
    sum: u64,
    max: u64,
}

impl Numbers {
    fn add(&mut self, number: Option<u32>) {
        if let Some(number) = number.map(u64::from) {
            self.calls += 1;
            self.sum += number;
            self.max = self.max.max(number);
        }
    }

    fn some<T>(&self, value: T) -> Option<T> {
        (self.calls > 0).then_some(value)
    }

    fn mean(&self) -> Option<f64> {
        self.some(self.sum as f64 / self.calls.max(1) as f64)
    }
}

#[derive(Default)]
struct Of {
    lengths: Lengths,
    total_ns: u64,
    off_cpu_ns: u64,
    tokens: Numbers,
    sequences: Numbers,
}

/// The steps under way.
#[derive(Default)]
pub struct Steps {
    of: BTreeMap<(StepKind, String), Of>,
}

impl Steps {
    /// Adds a row.
    pub fn row(&mut self, row: &StepRow) {
        let of = self.of.entry((row.kind, row.name.to_string())).or_default();
        of.lengths.add(row.dur_ns);
        of.total_ns += row.dur_ns;
        of.off_cpu_ns += row.off_cpu_ns.unwrap_or(0);
        of.tokens.add(row.tokens);
        of.sequences.add(row.sequences);
    }

    /// Batches first, then most time first. Launches of graphs are told with them.
    pub fn finish(self, wall_ns: u64, cuda: &[CudaCall]) -> Vec<StepCalls> {
        let per_second = |calls: u64| calls as f64 * 1e9 / wall_ns.max(1) as f64;
        let mut steps: Vec<(bool, StepCalls)> = self
            .of
            .into_iter()
            .map(|((kind, name), of)| {
                let latency = of.lengths.latency();
                let calls = StepCalls {
                    name,
                    kind: kind.word(),
                    calls: latency.count,
                    per_second: per_second(latency.count),
                    total_ns: Some(of.total_ns),
                    off_cpu_ns: Some(of.off_cpu_ns),
                    tokens: of.tokens.some(of.tokens.sum),
                    tokens_mean: of.tokens.mean(),
                    tokens_max: of.tokens.some(of.tokens.max),
                    sequences_mean: of.sequences.mean(),
                    sequences_max: of.sequences.some(of.sequences.max),
                    latency,
                };
                (kind.is_batch(), calls)
            })
            .collect();
        steps.sort_by_key(|(is_batch, of)| (!is_batch, Reverse(of.total_ns)));
        let graphs = cuda.iter().filter(|call| call.name == GRAPH_LAUNCH).map(|call| StepCalls {
            name: call.name.clone(),
            kind: "graph_launch",
            calls: call.calls,
            per_second: per_second(call.calls),
            total_ns: call.total_ns,
            off_cpu_ns: call.off_cpu_ns,
            tokens: None,
            tokens_mean: None,
            tokens_max: None,
            sequences_mean: None,
            sequences_max: None,
            latency: call.latency.clone(),
        });
        steps.into_iter().map(|(_, of)| of).chain(graphs).collect()
    }
}

/// Sets them as text; nothing where there are none.
pub fn write(out: &mut String, steps: &[StepCalls]) -> fmt::Result {
    if steps.is_empty() {
        return Ok(());
    }
    heading(
        out,
        "ENGINE STEPS",
        "calls of the engine's own functions; a batch's time is that of all its sequences",
    )?;
    let mut columns = Columns::new(&[
        ("KIND", Left),
        ("NAME", Left),
        ("CALLS", Right),
        ("/S", Right),
        ("TOKENS", Right),
        ("A CALL", Right),
        ("SEQUENCES", Right),
        ("TOTAL", Right),
        ("OFF CPU", Right),
        ("P50", Right),
        ("P95", Right),
        ("P99", Right),
        ("MAX", Right),
    ]);
    let none = || "-".to_owned();
    let mean = |mean: Option<f64>| mean.map_or_else(none, |mean| format!("{mean:.1}"));
    for of in steps {
        let mut cells = vec![
            of.kind.to_owned(),
            of.name.clone(),
            count(of.calls),
            rate(of.per_second),
            of.tokens.map_or_else(none, count),
            mean(of.tokens_mean),
            mean(of.sequences_mean),
            of.total_ns.map_or_else(none, duration),
            of.off_cpu_ns.zip(of.total_ns).map_or_else(none, |(ns, all)| share(ns, all)),
        ];
        cells.extend(latency_cells(&of.latency));
        columns.row(cells);
    }
    write!(out, "{columns}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: StepKind, dur_ns: u64, tokens: Option<u32>, sequences: Option<u32>) -> StepRow {
        StepRow { kind, dur_ns, tokens, sequences, name: "f".into(), ..StepRow::default() }
    }

    #[test]
    fn batches_are_told_by_what_they_are_made_of() {
        let mut steps = Steps::default();
        for (tokens, sequences) in [(1, 1), (3, 3)] {
            steps.row(&row(StepKind::Decode, 10, Some(tokens), Some(sequences)));
        }
        steps.row(&row(StepKind::Batch, 500, Some(2000), None));
        steps.row(&row(StepKind::Sample, 9000, None, None));
        let graph = CudaCall {
            name: GRAPH_LAUNCH.to_owned(),
            kind: "launch",
            calls: 7,
            total_ns: None,
            gpu_sync_ns: None,
            off_cpu_ns: None,
            bytes: None,
            errors: None,
            latency: Latency::default(),
        };
        let told = steps.finish(2_000_000_000, &[graph]);
        let kinds: Vec<_> = told.iter().map(|of| (of.kind, of.calls)).collect();
        assert_eq!(kinds, [("batch", 1), ("decode", 2), ("sample", 1), ("graph_launch", 7)]);
        let decode = &told[1];
        assert_eq!((decode.tokens, decode.tokens_mean, decode.tokens_max), (Some(4), Some(2.0), Some(3)));
        assert_eq!((decode.sequences_mean, decode.sequences_max), (Some(2.0), Some(3)));
        assert!((decode.per_second - 1.0).abs() < 1e-9 && decode.total_ns == Some(20));
        assert_eq!((told[0].tokens, told[0].sequences_mean), (Some(2000), None));
        assert_eq!((told[2].tokens, told[3].total_ns), (None, None));
        let mut text = String::new();
        write(&mut text, &told).unwrap();
        assert!(text.starts_with("\nENGINE STEPS") && text.contains("graph_launch"), "{text}");
    }
}
