//! The ledger of windows (a second, a request, a phase of one): each thread's states between two instants.

use std::collections::BTreeMap;

use super::{Part, Piece};

/// A stretch of time to account for. Windows may overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// `CLOCK_MONOTONIC`.
    pub start_ns: u64,
    /// `CLOCK_MONOTONIC`.
    pub end_ns: u64,
}

/// What one thread spent in one state in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowShare {
    /// The window's place among those asked for.
    pub window: usize,
    /// The thread's place among the thread rows.
    pub thread: usize,
    pub part: Part,
    pub ns: u64,
}

/// Sums stretches of time by window, clipped to it. Holds one sum for each window, thread and state met.
pub struct WindowLedger {
    /// By start.
    windows: Vec<(Window, usize)>,
    /// The latest end among a window and all that start before it.
    latest_end_ns: Vec<u64>,
    sums: BTreeMap<(usize, usize), Vec<(Part, u64)>>,
}

impl WindowLedger {
    /// Starts an account of each window.
    pub fn new(windows: &[Window]) -> Self {
        let mut sorted: Vec<(Window, usize)> =
            windows.iter().enumerate().map(|(place, &window)| (window, place)).collect();
        sorted.sort_by_key(|(window, _)| window.start_ns);
        let latest_end_ns = sorted
            .iter()
            .scan(0, |latest, (window, _)| {
                *latest = window.end_ns.max(*latest);
                Some(*latest)
            })
            .collect();
        Self { windows: sorted, latest_end_ns, sums: BTreeMap::new() }
    }

    /// Adds a stretch, as [`super::Ledger::off_cpu_with`] hands them out.
    pub fn add(&mut self, piece: Piece) {
        let after = self.windows.partition_point(|(window, _)| window.start_ns < piece.end_ns);
        for place in (0..after).rev() {
            if self.latest_end_ns[place] <= piece.start_ns {
                break;
            }
            let (window, id) = self.windows[place];
            let start_ns = piece.start_ns.max(window.start_ns);
            let ns = piece.end_ns.min(window.end_ns).saturating_sub(start_ns);
            if ns == 0 {
                continue;
            }
            let sums = self.sums.entry((id, piece.thread)).or_default();
            match sums.iter_mut().find(|(part, _)| *part == piece.part) {
                Some((_, sum)) => *sum += ns,
                None => sums.push((piece.part, ns)),
            }
        }
    }

    /// The sums, by window and thread.
    pub fn finish(self) -> Vec<WindowShare> {
        self.sums
            .into_iter()
            .flat_map(|((window, thread), sums)| {
                sums.into_iter().map(move |(part, ns)| WindowShare { window, thread, part, ns })
            })
            .collect()
    }
}
