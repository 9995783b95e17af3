//! Calls of CUDA's driver library by name: all are counted in the kernel, and those that are rows tell the rest.

use std::{cmp::Reverse, collections::BTreeMap, fmt, fmt::Write as _};

use serde::Serialize;

use super::{
    columns::{
        Align::{Left, Right},
        Columns,
    },
    text::{heading, latency_cells, more},
};
use crate::{
    humane::{bytes, count, duration, share},
    lengths::{Latency, Lengths},
    probe::{CUDA, CUDA_CALLS},
    table::{CudaCallRow, HistogramRow},
};

/// Calls of one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CudaCall {
    pub name: String,
    /// What it does: the words of column `kind`.
    pub kind: &'static str,
    /// Every one, counted in the kernel.
    pub calls: u64,
    /// Time of those that were timed; null for calls that are only counted, as for all that follow.
    pub total_ns: Option<u64>,
    /// Of that, waiting for the GPU on a CPU: the ledger's `gpu_sync`.
    pub gpu_sync_ns: Option<u64>,
    /// Of that, off the CPU.
    pub off_cpu_ns: Option<u64>,
    /// Bytes copied, filled or taken; null also where arguments do not tell.
    pub bytes: Option<u64>,
    /// Calls that returned an error.
    pub errors: Option<u64>,
    /// Of the rows of `cuda_call`.
    #[serde(flatten)]
    pub latency: Latency,
}

/// The calls under way.
#[derive(Default)]
pub struct Cuda {
    rows: BTreeMap<String, Traced>,
}

struct Traced {
    lengths: Lengths,
    total_ns: u64,
    gpu_sync_ns: u64,
    off_cpu_ns: u64,
    bytes: Option<u64>,
    errors: u64,
}

impl Cuda {
    /// Adds a row.
    pub fn row(&mut self, row: &CudaCallRow) {
        let traced = self.rows.entry(row.name.to_string()).or_insert_with(|| Traced {
            lengths: Lengths::new(),
            total_ns: 0,
            gpu_sync_ns: 0,
            off_cpu_ns: 0,
            bytes: None,
            errors: 0,
        });
        traced.lengths.add(row.dur_ns);
        traced.total_ns += row.dur_ns;
        traced.gpu_sync_ns += row.gpu_sync_ns().unwrap_or(0);
        traced.off_cpu_ns += row.off_cpu_ns.unwrap_or(0);
        traced.errors += u64::from(row.ret.is_some_and(|ret| ret != 0));
        if let Some(bytes) = row.bytes {
            traced.bytes = Some(traced.bytes.unwrap_or(0).saturating_add(bytes));
        }
    }

    /// The names, most time first, then most calls.
    pub fn finish(self, histogram: &[HistogramRow]) -> Vec<CudaCall> {
        let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
        for row in histogram.iter().filter(|row| row.name == CUDA) {
            // `4711 cuLaunchKernel`
            let name = row.key.split_once(' ').map_or(row.key.as_str(), |(_, name)| name);
            *counted.entry(name).or_default() += row.count;
        }
        let mut names: Vec<&str> =
            counted.keys().copied().chain(self.rows.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        let mut calls: Vec<CudaCall> = names
            .into_iter()
            .map(|name| {
                let traced = self.rows.get(name);
                let latency = traced.map(|traced| traced.lengths.latency()).unwrap_or_default();
                CudaCall {
                    name: name.to_owned(),
                    kind: CUDA_CALLS
                        .iter()
                        .find(|call| call.name == name)
                        .map_or("other", |call| crate::table::Word::word(call.kind)),
                    // One that was open at the end is a row and was not counted.
                    calls: counted.get(name).copied().unwrap_or(0).max(latency.count),
                    total_ns: traced.map(|traced| traced.total_ns),
                    gpu_sync_ns: traced.map(|traced| traced.gpu_sync_ns),
                    off_cpu_ns: traced.map(|traced| traced.off_cpu_ns),
                    bytes: traced.and_then(|traced| traced.bytes),
                    errors: traced.map(|traced| traced.errors),
                    latency,
                }
            })
            .collect();
        calls.sort_by(|a, b| {
            let key = |call: &CudaCall| (Reverse(call.total_ns), Reverse(call.calls));
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        calls
    }
}

/// Sets them as text; nothing where there are none.
pub fn write(out: &mut String, calls: &[CudaCall], shown: usize) -> fmt::Result {
    if calls.is_empty() {
        return Ok(());
    }
    heading(out, "CUDA CALLS", "of libcuda, by name; those without a total are counted and not timed")?;
    let mut columns = Columns::new(&[
        ("NAME", Left),
        ("KIND", Left),
        ("CALLS", Right),
        ("ERRORS", Right),
        ("TOTAL", Right),
        ("GPU SYNC", Right),
        ("OFF CPU", Right),
        ("BYTES", Right),
        ("P50", Right),
        ("P95", Right),
        ("P99", Right),
        ("MAX", Right),
    ]);
    let none = || "-".to_owned();
    for call in calls.iter().take(shown) {
        let part = |ns: Option<u64>| ns.zip(call.total_ns).map_or_else(none, |(ns, all)| share(ns, all));
        let mut cells = vec![
            call.name.clone(),
            call.kind.to_owned(),
            count(call.calls),
            call.errors.map_or_else(none, count),
            call.total_ns.map_or_else(none, duration),
            if call.kind == "sync" { part(call.gpu_sync_ns) } else { none() },
            part(call.off_cpu_ns),
            call.bytes.map_or_else(none, bytes),
        ];
        cells.extend(latency_cells(&call.latency));
        columns.row(cells);
    }
    write!(out, "{columns}")?;
    more(out, calls.len().saturating_sub(shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::CudaKind;

    #[test]
    fn launches_are_counted_and_waits_have_their_time_on_a_cpu() {
        let mut cuda = Cuda::default();
        for dur_ns in [1000, 3000] {
            cuda.row(&CudaCallRow {
                name: "cuCtxSynchronize".into(),
                kind: CudaKind::Sync,
                dur_ns,
                off_cpu_ns: Some(250),
                ret: Some(0),
                ..CudaCallRow::default()
            });
        }
        cuda.row(&CudaCallRow {
            name: "cuMemcpyHtoD".into(),
            kind: CudaKind::Copy,
            dur_ns: 10,
            off_cpu_ns: Some(0),
            bytes: Some(64),
            ret: Some(700),
            ..CudaCallRow::default()
        });
        let row = |key: &str, count| HistogramRow {
            name: "cuda".into(),
            key: key.into(),
            count,
            ..HistogramRow::default()
        };
        let calls = cuda.finish(&[
            row("1 cuLaunchKernel", 5),
            row("2 cuLaunchKernel", 2),
            row("1 cuCtxSynchronize", 2),
            row("1 cuMemcpyHtoD", 1),
            HistogramRow { name: "syscall".into(), ..row("1:0 read", 9) },
        ]);
        let told: Vec<_> = calls.iter().map(|call| (call.name.as_str(), call.kind, call.calls)).collect();
        assert_eq!(
            told,
            [("cuCtxSynchronize", "sync", 2), ("cuMemcpyHtoD", "copy", 1), ("cuLaunchKernel", "launch", 7)]
        );
        assert_eq!((calls[0].total_ns, calls[0].gpu_sync_ns), (Some(4000), Some(3500)));
        assert_eq!((calls[1].gpu_sync_ns, calls[1].bytes, calls[1].errors), (Some(0), Some(64), Some(1)));
        assert_eq!((calls[2].total_ns, calls[2].errors), (None, None));
        let mut text = String::new();
        write(&mut text, &calls, 2).unwrap();
        assert!(text.contains("cuCtxSynchronize") && !text.contains("cuLaunchKernel"), "{text}");
    }
}
