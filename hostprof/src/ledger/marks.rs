//! Sums of each thread's states up to chosen instants: what a window between two of them holds is a difference of two
//! sums. Thousands of windows that overlap, as requests' do, cost no more than their edges.

use super::{Part, Piece, Window};

/// Each thread's states, summed up to any of the instants chosen. Keeps something for a stretch only where an instant
/// lies in it.
pub struct Marks {
    /// Sorted, apart.
    instants: Vec<u64>,
    tracks: Vec<Track>,
}

#[derive(Default)]
struct Track {
    /// The first instant that is not yet passed.
    next: usize,
    /// The thread's states, in the order they were met.
    parts: Vec<Part>,
    /// Time in each of them so far.
    sums: Vec<u64>,
    marks: Vec<Mark>,
    /// The sums at each mark.
    cells: Vec<u64>,
    end_ns: u64,
}

/// A stretch in which an instant lies.
struct Mark {
    start_ns: u64,
    end_ns: u64,
    /// Its state's place among the thread's.
    part: usize,
    /// Where its sums begin, those up to its start, and how many there are.
    cells: (usize, usize),
}

impl Marks {
    /// Begins, for so many threads. Instants in any order.
    pub fn new(mut instants: Vec<u64>, threads: usize) -> Self {
        instants.sort_unstable();
        instants.dedup();
        Self { instants, tracks: (0..threads).map(|_| Track::default()).collect() }
    }

    /// Adds a stretch, as [`super::Ledger::off_cpu_with`] hands them out: those of a thread in the order of time.
    pub fn add(&mut self, piece: Piece) {
        let Some(track) = self.tracks.get_mut(piece.thread) else { return };
        let part = track.place(piece.part);
        while self.instants.get(track.next).is_some_and(|&at| at < piece.start_ns) {
            track.next += 1;
        }
        if self.instants.get(track.next).is_some_and(|&at| at < piece.end_ns) {
            track.mark(part, piece.start_ns, piece.end_ns);
            let after = self.instants[track.next..].partition_point(|&at| at < piece.end_ns);
            track.next += after;
        }
        track.sums[part] += piece.len_ns();
        track.end_ns = piece.end_ns;
    }

    /// Ends: to be called before any window is asked for.
    pub fn finish(&mut self) {
        for track in self.tracks.iter_mut().filter(|track| !track.parts.is_empty()) {
            track.mark(0, track.end_ns, track.end_ns);
        }
    }

    /// What a thread spent in each state in a window both of whose ends are instants that were chosen. Sums to the
    /// part of the window in which the thread was recorded.
    pub fn window(&self, thread: usize, window: Window) -> Vec<(Part, u64)> {
        let Some(track) = self.tracks.get(thread) else { return Vec::new() };
        let (from, to) = (track.before(window.start_ns), track.before(window.end_ns));
        track
            .parts
            .iter()
            .enumerate()
            .map(|(place, &part)| {
                let at = |mark, ns| track.sum(mark, place, ns);
                (part, at(to, window.end_ns).saturating_sub(at(from, window.start_ns)))
            })
            .filter(|(_, ns)| *ns > 0)
            .collect()
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.tracks.len()
    }
}

impl Track {
    fn place(&mut self, part: Part) -> usize {
        self.parts.iter().position(|other| *other == part).unwrap_or_else(|| {
            self.parts.push(part);
            self.sums.push(0);
            self.parts.len() - 1
        })
    }

    fn mark(&mut self, part: usize, start_ns: u64, end_ns: u64) {
        let cells = (self.cells.len(), self.sums.len());
        self.cells.extend_from_slice(&self.sums);
        self.marks.push(Mark { start_ns, end_ns, part, cells });
    }

    /// The last mark that begins by an instant.
    fn before(&self, ns: u64) -> Option<&Mark> {
        let after = self.marks.partition_point(|mark| mark.start_ns <= ns);
        self.marks.get(after.checked_sub(1)?)
    }

    /// The sum of one state up to an instant, by the mark before it.
    fn sum(&self, mark: Option<&Mark>, place: usize, ns: u64) -> u64 {
        let Some(mark) = mark else { return 0 };
        let (begin, count) = mark.cells;
        let before = if place < count { self.cells[begin + place] } else { 0 };
        before + if place == mark.part { ns.min(mark.end_ns) - mark.start_ns } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::State;

    fn piece(thread: usize, part: Part, start_ns: u64, end_ns: u64) -> Piece {
        Piece { thread, part, start_ns, end_ns }
    }

    fn window(start_ns: u64, end_ns: u64) -> Window {
        Window { start_ns, end_ns }
    }

    #[test]
    fn a_window_holds_what_lies_between_its_ends() {
        let futex = Part::Off(State::Futex);
        let mut marks = Marks::new(vec![40, 15, 60, 5, 100, 40, 300], 2);
        for piece in [
            piece(0, Part::OnCpu, 10, 20),
            piece(0, futex, 20, 50),
            piece(0, Part::OnCpu, 50, 55),
            piece(0, futex, 55, 100),
            piece(1, Part::OnCpu, 0, 200),
        ] {
            marks.add(piece);
        }
        marks.finish();
        assert_eq!(marks.window(0, window(15, 40)), [(Part::OnCpu, 5), (futex, 20)]);
        assert_eq!(marks.window(0, window(15, 60)), [(Part::OnCpu, 10), (futex, 35)]);
        assert_eq!(marks.window(0, window(5, 15)), [(Part::OnCpu, 5)], "born within");
        assert_eq!(marks.window(0, window(40, 300)), [(Part::OnCpu, 5), (futex, 55)], "ended within");
        assert_eq!(marks.window(1, window(100, 300)), [(Part::OnCpu, 100)]);
        assert_eq!(marks.window(1, window(40, 60)), [(Part::OnCpu, 20)]);
        assert!(marks.window(7, window(40, 60)).is_empty());
    }

    #[test]
    fn windows_that_tile_a_life_sum_to_it() {
        let parts = [Part::OnCpu, Part::Off(State::Poll), Part::Off(State::Runqueue)];
        let mut marks = Marks::new((0..=40).map(|at| at * 25).collect(), 1);
        let mut at = 100;
        for step in 0..90_u64 {
            let len = 1 + step * 7 % 19;
            marks.add(piece(0, parts[step as usize % 3], at, at + len));
            at += len;
        }
        marks.finish();
        let sum = |from, to| marks.window(0, window(from, to)).iter().map(|(_, ns)| ns).sum::<u64>();
        assert_eq!(sum(0, 1000), at.min(1000) - 100);
        let tiled: u64 = (0..40).map(|tile| sum(tile * 25, tile * 25 + 25)).sum();
        assert_eq!(tiled, at.min(1000) - 100);
    }
}
