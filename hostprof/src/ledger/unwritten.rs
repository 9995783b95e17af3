//! Threads whose row was never written: those that lived on when a recorder was killed, and those of a
//! recording that goes on.

use std::collections::BTreeMap;

use super::{Lives, end_of};
use crate::table::{OffCpuCountRow, OffCpuRow, ThreadRow};

/// Thread rows made up from rows of `off_cpu`, for threads that have none.
pub struct Unwritten<'a> {
    threads: &'a [ThreadRow],
    lives: Lives,
    found: BTreeMap<u32, ThreadRow>,
    end_ns: u64,
}

impl<'a> Unwritten<'a> {
    /// Looks for threads beyond these.
    pub fn new(threads: &'a [ThreadRow]) -> Self {
        Self { threads, lives: Lives::new(threads), found: BTreeMap::new(), end_ns: 0 }
    }

    /// Looks at a row.
    pub fn off_cpu(&mut self, row: &OffCpuRow) {
        self.cover(row.tid, row.tgid, row.ts_mono_ns, end_of(row));
    }

    /// Looks at a row.
    pub fn off_cpu_count(&mut self, row: &OffCpuCountRow) {
        self.cover(row.tid, row.tgid, row.ts_mono_ns, row.ts_mono_ns.saturating_add(row.dur_ns));
    }

    fn cover(&mut self, tid: u32, tgid: u32, start_ns: u64, end_ns: u64) {
        self.end_ns = self.end_ns.max(end_ns);
        let written = self.lives.at(tid, start_ns, end_ns).is_some_and(|thread| {
            let thread = &self.threads[thread];
            thread.begin_mono_ns <= start_ns && end_ns <= thread.end_mono_ns
        });
        if written {
            return;
        }
        let thread = self.found.entry(tid).or_insert_with(|| ThreadRow {
            tid,
            tgid,
            comm: "(name not written)".to_owned(),
            begin_mono_ns: start_ns,
            ..ThreadRow::default()
        });
        thread.begin_mono_ns = thread.begin_mono_ns.min(start_ns);
    }

    /// The threads, each from its first row to the last row of all.
    pub fn finish(self) -> Vec<ThreadRow> {
        let end_mono_ns = self.end_ns;
        self.found.into_values().map(|thread| ThreadRow { end_mono_ns, ..thread }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_made_up_only_where_no_row_covers_it() {
        let written = [ThreadRow { tid: 7, end_mono_ns: 100, ..ThreadRow::default() }];
        let mut unwritten = Unwritten::new(&written);
        for (ts_mono_ns, tid, blocked_ns) in [(10, 7, 20), (30, 8, 5), (150, 7, 50), (40, 8, 5)] {
            unwritten.off_cpu(&OffCpuRow { ts_mono_ns, tid, blocked_ns, ..OffCpuRow::default() });
        }
        let found: Vec<_> =
            unwritten.finish().iter().map(|row| (row.tid, row.begin_mono_ns, row.end_mono_ns)).collect();
        assert_eq!(found, [(7, 150, 200), (8, 30, 200)]);
    }
}
