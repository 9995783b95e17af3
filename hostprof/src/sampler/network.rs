//! Network bytes of processes: from what the kernel half counted to the rows of the processes.

use std::collections::HashMap;

use hostprof_common::socket::SocketBytes;

use crate::{clock, table::ProcessSampleRow, units::Tgid};

/// What was last told of processes that have no row of their own any more.
#[derive(Debug, Default)]
pub struct Network {
    told: HashMap<Tgid, SocketBytes>,
}

impl Network {
    /// Puts each process's bytes into its row; a process that has none, since it has ended, gets a row of its
    /// bytes where they are not told yet.
    pub fn fill(&mut self, rows: &mut Vec<ProcessSampleRow>, sockets: &[(Tgid, SocketBytes)]) {
        let now: HashMap<Tgid, SocketBytes> = sockets.iter().copied().collect();
        let mut rowless = now.clone();
        for row in rows.iter_mut() {
            // No entry: it is counted, and there was nothing to count.
            let bytes = rowless.remove(&Tgid(row.tgid)).unwrap_or_default();
            set(row, bytes);
        }
        let at = clock::mono();
        let mut ended: Vec<_> =
            rowless.into_iter().filter(|(tgid, bytes)| self.told.get(tgid) != Some(bytes)).collect();
        ended.sort_by_key(|(tgid, _)| *tgid);
        for (tgid, bytes) in ended {
            let mut row = ProcessSampleRow { ts_mono_ns: at.0, tgid: tgid.0, ..ProcessSampleRow::default() };
            set(&mut row, bytes);
            rows.push(row);
        }
        self.told = now;
    }
}

fn set(row: &mut ProcessSampleRow, bytes: SocketBytes) {
    row.network_tx_bytes = Some(bytes.sent);
    row.network_rx_bytes = Some(bytes.received);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(sent: u64, received: u64) -> SocketBytes {
        SocketBytes { sent, received }
    }

    fn row(tgid: u32) -> ProcessSampleRow {
        ProcessSampleRow { tgid, rss_bytes: Some(4096), ..ProcessSampleRow::default() }
    }

    #[test]
    fn a_process_that_sent_nothing_has_zero_and_one_that_ended_a_last_row() {
        let mut network = Network::default();
        let mut rows = vec![row(1), row(2)];
        network.fill(&mut rows, &[(Tgid(1), bytes(10, 20))]);
        let told = |rows: &[ProcessSampleRow]| -> Vec<_> {
            rows.iter().map(|row| (row.tgid, row.network_tx_bytes, row.network_rx_bytes)).collect()
        };
        assert_eq!(told(&rows), [(1, Some(10), Some(20)), (2, Some(0), Some(0))]);

        // Process 1 went on after its last row, process 3 was never met; both have ended.
        let mut rows = vec![row(2)];
        network.fill(&mut rows, &[(Tgid(1), bytes(15, 20)), (Tgid(3), bytes(7, 0))]);
        assert_eq!(told(&rows), [(2, Some(0), Some(0)), (1, Some(15), Some(20)), (3, Some(7), Some(0))]);
        assert_eq!(rows[1].rss_bytes, None);

        let mut rows = Vec::new();
        network.fill(&mut rows, &[(Tgid(1), bytes(15, 20)), (Tgid(3), bytes(7, 0))]);
        assert!(rows.is_empty(), "told once");
    }
}
