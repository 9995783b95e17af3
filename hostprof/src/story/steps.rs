//! Calls of the engine's own functions in the windows of requests told in full: what batches, tokenising and sampling took
//! there.
//!
//! A batch serves all its sequences with the same time: nothing is divided, and how many they were is said.

use super::served::Request;
use crate::{
    humane::{count, plural},
    ledger::Window,
    table::{StepKind, StepRow},
};

/// Rows kept at most; windows that end after the last kept tell nothing.
const MOST: usize = 1 << 20;

/// Rows of `step` that overlap some windows.
#[derive(Default)]
pub struct Steps {
    windows: Vec<Window>,
    rows: Vec<StepRow>,
    /// Whether the recording has any row at all.
    any: bool,
    /// From when on rows are missing.
    full_ns: Option<u64>,
}

/// Some calls in a window, each with what the window has of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub calls: u64,
    pub ns: u64,
    pub tokens: u64,
    /// Sequences of all batches of which they are known.
    sequences: u64,
    sequences_max: u64,
    /// Batches of which they are known.
    known: u64,
    /// The functions, by their names.
    names: Vec<String>,
}

impl Sum {
    fn add(&mut self, row: &StepRow, ns: u64) {
        self.calls += 1;
        self.ns += ns;
        self.tokens += u64::from(row.tokens.unwrap_or(0));
        if let Some(sequences) = row.sequences.map(u64::from) {
            self.sequences += sequences;
            self.sequences_max = self.sequences_max.max(sequences);
            self.known += 1;
        }
        if !self.names.iter().any(|name| *name == row.name) {
            self.names.push(row.name.to_string());
        }
    }

    /// Which calls, of which functions.
    pub fn calls(&self) -> String {
        format!("uprobe: {} of {}", plural(self.calls, "call"), self.names.join(", "))
    }

    /// What batches were made of: how many requests shared them.
    pub fn batches(&self) -> String {
        let tokens = plural(self.tokens, "token");
        match self.known {
            0 => format!("{}, {tokens}, sequences not known", self.calls()),
            known => format!(
                "{}, {tokens}, {:.1} sequences a batch, {} at most",
                self.calls(),
                self.sequences as f64 / known as f64,
                count(self.sequences_max),
            ),
        }
    }
}

impl Steps {
    /// Keeps what overlaps these windows.
    pub fn new(windows: Vec<Window>) -> Self {
        Self { windows, ..Self::default() }
    }

    /// Looks at a row.
    pub fn step(&mut self, row: &StepRow) {
        self.any = true;
        if !self.windows.iter().any(|window| within(row, *window).is_some()) {
            return;
        }
        if self.rows.len() < MOST {
            self.rows.push(row.clone());
        } else {
            self.full_ns = Some(self.full_ns.map_or(row.ts_mono_ns, |ns| ns.min(row.ts_mono_ns)));
        }
    }

    /// Whether they tell what happened in a window, else why not.
    pub fn missing(&self, window: Window) -> Option<&'static str> {
        if !self.any {
            Some("no step of an engine in this recording (record llama.cpp with --probe auto,http,engine)")
        } else if self.full_ns.is_some_and(|ns| ns <= window.end_ns) {
            Some("too many steps to look into")
        } else {
            None
        }
    }

    /// The calls of some kinds in a window, of the process that a request was for where that is known, and of one thread
    /// where it is asked for.
    pub fn sum(&self, request: &Request, window: Window, tid: Option<u32>, kinds: &[StepKind]) -> Sum {
        let mut sum = Sum::default();
        for row in self.of(request).filter(|row| kinds.contains(&row.kind)) {
            if let Some(ns) = within(row, window).filter(|_| tid.is_none_or(|tid| row.tid == tid)) {
                sum.add(row, ns);
            }
        }
        sum
    }

    /// The rounds of the engine's loop in a window, without the calls that lie within them: what it plans and hands on.
    pub fn planning(&self, request: &Request, window: Window) -> Sum {
        let mut sum = Sum::default();
        let mut rounds: Vec<&StepRow> = Vec::new();
        for row in self.of(request).filter(|row| row.kind == StepKind::Round) {
            if let Some(ns) = within(row, window) {
                sum.add(row, ns);
                rounds.push(row);
            }
        }
        rounds.sort_by_key(|row| row.ts_mono_ns);
        let inner = self.of(request).filter(|row| row.kind != StepKind::Round);
        for row in inner.filter(|row| within(row, window).is_some()) {
            let after = rounds.partition_point(|round| round.ts_mono_ns <= row.ts_mono_ns);
            let mut before = rounds[..after].iter().rev();
            let holds =
                before.find(|round| round.tid == row.tid).is_some_and(|round| end_of(row) <= end_of(round));
            if holds {
                sum.ns = sum.ns.saturating_sub(within(row, window).unwrap_or(0));
            }
        }
        sum
    }

    fn of(&self, request: &Request) -> impl Iterator<Item = &StepRow> {
        let tgid = request.row.tgid;
        self.rows.iter().filter(move |row| tgid.is_none_or(|tgid| row.tgid == tgid))
    }
}

fn end_of(row: &StepRow) -> u64 {
    row.ts_mono_ns.saturating_add(row.dur_ns)
}

/// What a window has of a call; `None` where that is nothing.
fn within(row: &StepRow, window: Window) -> Option<u64> {
    let (from, to) = (row.ts_mono_ns.max(window.start_ns), end_of(row).min(window.end_ns));
    (to > from).then(|| to - from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::RequestRow;

    fn row(kind: StepKind, ts_mono_ns: u64, dur_ns: u64, tokens: u32, sequences: Option<u32>) -> StepRow {
        StepRow {
            kind,
            ts_mono_ns,
            dur_ns,
            tokens: Some(tokens),
            sequences,
            name: "llama_decode".into(),
            tid: 7,
            tgid: 7,
            ..StepRow::default()
        }
    }

    fn of(rows: &[StepRow], window: Window) -> Steps {
        let mut steps = Steps::new(vec![window]);
        for row in rows {
            steps.step(row);
        }
        steps
    }

    #[test]
    fn a_window_has_its_part_of_a_batch_and_nothing_is_divided() {
        let window = Window { start_ns: 100, end_ns: 200 };
        let steps = of(
            &[
                row(StepKind::Decode, 80, 30, 2, Some(2)),
                row(StepKind::Mixed, 150, 20, 40, Some(3)),
                row(StepKind::Batch, 190, 50, 900, None),
                row(StepKind::Decode, 200, 9, 1, Some(1)),
                StepRow { tgid: 8, ..row(StepKind::Decode, 150, 20, 1, Some(1)) },
            ],
            window,
        );
        let request =
            Request { row: RequestRow { tgid: Some(7), ..RequestRow::default() }, ..Request::default() };
        let kinds = [StepKind::Decode, StepKind::Mixed, StepKind::Batch];
        let sum = steps.sum(&request, window, None, &kinds);
        assert_eq!((sum.calls, sum.ns, sum.tokens), (3, 10 + 20 + 10, 942));
        assert_eq!(
            sum.batches(),
            "uprobe: 3 calls of llama_decode, 942 tokens, 2.5 sequences a batch, 3 at most"
        );
        assert_eq!(steps.sum(&request, window, Some(9), &kinds).calls, 0);
        assert_eq!(steps.missing(window), None);
        assert!(Steps::default().missing(window).unwrap().contains("--probe auto,http,engine"));
    }

    #[test]
    fn what_a_round_does_itself_is_without_the_calls_it_makes() {
        let window = Window { start_ns: 100, end_ns: 200 };
        let steps = of(
            &[
                row(StepKind::Decode, 105, 30, 1, Some(1)),
                row(StepKind::Sample, 140, 5, 0, None),
                row(StepKind::Round, 100, 50, 0, None),
                row(StepKind::Tokenise, 160, 20, 0, None),
                StepRow { tid: 9, ..row(StepKind::Tokenise, 110, 20, 0, None) },
            ],
            window,
        );
        let sum = steps.planning(&Request::default(), window);
        assert_eq!((sum.calls, sum.ns), (1, 50 - 30 - 5));
    }
}
