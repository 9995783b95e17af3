//! A thread's calls of CUDA's driver library, met in the order of time.

use crate::table::CudaCallRow;

/// Calls of one thread, none of which lies within another: those that wait for the GPU, or all others.
pub struct Calls {
    rows: Box<dyn Iterator<Item = CudaCallRow>>,
    names: Vec<String>,
    /// The call that is under way or comes next.
    now: Option<Call>,
    ended_ns: u64,
}

#[derive(Clone, Copy)]
struct Call {
    start_ns: u64,
    end_ns: u64,
    name: usize,
}

impl Calls {
    /// From rows in the order of their ends.
    pub fn new(rows: Box<dyn Iterator<Item = CudaCallRow>>) -> Self {
        Self { rows, names: Vec::new(), now: None, ended_ns: 0 }
    }

    /// The call that a thread was in at an instant, no earlier than that asked for before, and until when that holds.
    pub fn at(&mut self, ns: u64) -> (Option<usize>, u64) {
        while self.now.is_none_or(|call| call.end_ns <= ns) {
            self.now = self.next();
            if self.now.is_none() {
                return (None, u64::MAX);
            }
        }
        match self.now {
            Some(call) if call.start_ns <= ns => (Some(call.name), call.end_ns),
            Some(call) => (None, call.start_ns),
            None => (None, u64::MAX),
        }
    }

    /// A call's name.
    pub fn name(&self, name: usize) -> &str {
        self.names.get(name).map_or("", String::as_str)
    }

    fn next(&mut self) -> Option<Call> {
        let row = self.rows.next()?;
        let name = self.names.iter().position(|name| *name == row.name).unwrap_or_else(|| {
            self.names.push(row.name.to_string());
            self.names.len() - 1
        });
        // One that began before the last ended contradicts it: its rest counts.
        let start_ns = row.ts_mono_ns.max(self.ended_ns);
        let end_ns = row.ts_mono_ns.saturating_add(row.dur_ns).max(start_ns);
        self.ended_ns = end_ns;
        Some(Call { start_ns, end_ns, name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_met_in_the_order_of_time() {
        let row = |ts_mono_ns, dur_ns, name: &'static str| CudaCallRow {
            ts_mono_ns,
            dur_ns,
            name: name.into(),
            ..CudaCallRow::default()
        };
        let rows = [row(10, 10, "a"), row(30, 5, "b"), row(33, 7, "a"), row(50, 0, "b")];
        let mut calls = Calls::new(Box::new(rows.into_iter()));
        assert_eq!(calls.at(0), (None, 10));
        assert_eq!(calls.at(12), (Some(0), 20));
        assert_eq!(calls.at(20), (None, 30));
        assert_eq!(calls.at(34), (Some(1), 35));
        assert_eq!(calls.at(35), (Some(0), 40));
        assert_eq!(calls.at(40), (None, 50));
        assert_eq!(calls.at(50), (None, u64::MAX));
        assert_eq!(calls.name(1), "b");
    }
}
