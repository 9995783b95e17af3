//! Episodes that await their thread's turn. Those of a thread are put into its bins together: what a thread and its
//! bins take is read from memory once for all of them, and again by a picture while it is still near.

use crate::table::OffCpuRow;

/// Episodes that wait at most: half a megabyte.
const MOST: usize = 4096;

/// Episodes in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Pending {
    rows: Vec<OffCpuRow>,
}

impl Pending {
    /// Has an episode wait; answers whether that is enough of them.
    #[inline]
    pub fn push(&mut self, row: &OffCpuRow) -> bool {
        self.rows.push(row.clone());
        self.rows.len() >= MOST
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Those that wait, thread by thread, of each in the order in which they came; none waits any longer.
    pub fn by_thread(&mut self) -> Vec<OffCpuRow> {
        let next = Vec::with_capacity(self.rows.len());
        let mut rows = std::mem::replace(&mut self.rows, next);
        rows.sort_by_cached_key(|row| row.tid);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_a_thread_come_together_and_in_order() {
        let mut pending = Pending::default();
        for (tid, ts_mono_ns) in [(7, 1), (3, 2), (7, 3), (3, 4), (9, 5)] {
            pending.push(&OffCpuRow { ts_mono_ns, tid, ..OffCpuRow::default() });
        }
        let met = pending.by_thread();
        let met: Vec<_> = met.iter().map(|row| (row.tid, row.ts_mono_ns)).collect();
        assert_eq!(met, [(3, 2), (3, 4), (7, 1), (7, 3), (9, 5)]);
        assert!(pending.is_empty());
    }
}
