//! Inference engines, as of a window.

use std::collections::{BTreeMap, VecDeque};

use super::{bins::Window, picture::Engine, rolling::bounded};
use crate::table::EngineSampleRow;

/// What engines told of themselves.
#[derive(Debug, Default)]
pub(super) struct Engines(VecDeque<EngineSampleRow>);

impl Engines {
    pub fn sample(&mut self, row: EngineSampleRow) {
        bounded(&mut self.0, row);
    }

    pub fn forget_before(&mut self, ns: u64) {
        while self.0.pop_front_if(|row| row.ts_mono_ns < ns).is_some() {}
    }

    /// Each engine at its last sample before the window's end, and what it did since the last one before the window, or
    /// the first in it.
    pub fn window(&self, window: &Window) -> Vec<Engine> {
        let mut told: BTreeMap<&str, (&EngineSampleRow, &EngineSampleRow)> = BTreeMap::new();
        for row in self.0.iter().filter(|row| row.ts_mono_ns < window.to) {
            let (first, last) = told.entry(&row.server).or_insert((row, row));
            if row.ts_mono_ns <= window.from {
                *first = row;
            }
            *last = row;
        }
        told.into_values().map(|(first, last)| engine(first, last)).collect()
    }
}

fn engine(first: &EngineSampleRow, last: &EngineSampleRow) -> Engine {
    // An engine that was started anew counts from zero.
    let since = |of: fn(&EngineSampleRow) -> Option<u64>| of(last)?.checked_sub(of(first)?);
    Engine {
        engine: last.engine.clone(),
        server: last.server.clone(),
        running: last.running,
        waiting: last.waiting,
        kv_used_ratio: last.kv_used_ratio,
        counted_ns: last.ts_mono_ns - first.ts_mono_ns,
        input_tokens: since(|row| row.input_tokens),
        output_tokens: since(|row| row.output_tokens),
        preemptions: since(|row| row.preemptions),
        prefix_hits: since(|row| row.prefix_hits),
        prefix_queries: since(|row| row.prefix_queries),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ts_mono_ns: u64, server: &str, running: u64, output_tokens: u64) -> EngineSampleRow {
        EngineSampleRow {
            ts_mono_ns,
            server: server.to_owned(),
            running: Some(running),
            output_tokens: Some(output_tokens),
            ..EngineSampleRow::default()
        }
    }

    #[test]
    fn an_engine_is_as_at_the_windows_end_and_counts_since_the_sample_before_it() {
        let mut engines = Engines::default();
        for (ts, tokens) in [(50, 10), (90, 30), (150, 70), (190, 100), (250, 900)] {
            engines.sample(at(ts, "b:1", ts, tokens));
        }
        engines.sample(at(195, "a:1", 2, 5));
        let told = engines.window(&Window { from: 100, to: 200 });
        let told: Vec<_> = told
            .iter()
            .map(|told| (&*told.server, told.running, told.output_tokens, told.counted_ns))
            .collect();
        assert_eq!(told, [("a:1", Some(2), Some(0), 0), ("b:1", Some(190), Some(70), 100)]);
    }

    #[test]
    fn one_that_was_started_anew_has_no_difference() {
        let mut engines = Engines::default();
        engines.sample(at(90, "a:1", 1, 500));
        engines.sample(at(150, "a:1", 1, 3));
        assert_eq!(engines.window(&Window { from: 100, to: 200 })[0].output_tokens, None);
    }
}
