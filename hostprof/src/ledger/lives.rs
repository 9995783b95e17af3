//! Which thread a row belongs to: tids recur, so a thread is a tid and a time.

use crate::table::ThreadRow;

/// The kernel's `PID_MAX_LIMIT`: no tid reaches it, so a table by tid stays below 16 MiB.
const TID_LIMIT: u32 = 4 << 20;

/// Thread rows by tid and time.
pub struct Lives {
    /// By tid, then by beginning.
    lives: Vec<Life>,
    /// By tid: one more than the place of its first life in `lives`; 0 for none.
    first: Vec<u32>,
}

struct Life {
    tid: u32,
    begin_ns: u64,
    end_ns: u64,
    thread: usize,
}

impl Lives {
    /// Indexes thread rows; what it answers are places in this slice.
    pub fn new(threads: &[ThreadRow]) -> Self {
        let mut lives: Vec<Life> = threads
            .iter()
            .enumerate()
            .filter(|(_, row)| row.tid < TID_LIMIT)
            .map(|(thread, row)| Life {
                tid: row.tid,
                begin_ns: row.begin_mono_ns,
                end_ns: row.end_mono_ns,
                thread,
            })
            .collect();
        lives.sort_by_key(|life| (life.tid, life.begin_ns, life.end_ns));
        let mut first = vec![0; lives.last().map_or(0, |life| life.tid as usize + 1)];
        for (place, life) in lives.iter().enumerate().rev() {
            first[life.tid as usize] = place as u32 + 1;
        }
        Self { lives, first }
    }

    /// The thread that a row from `start_ns` to `end_ns` belongs to. A row outside every life of its tid goes
    /// to the nearest one, so that `check` can name it.
    pub fn at(&self, tid: u32, start_ns: u64, end_ns: u64) -> Option<usize> {
        let first = (*self.first.get(tid as usize)? as usize).checked_sub(1)?;
        let mut found = &self.lives[first];
        for life in self.lives[first + 1..].iter().take_while(|life| life.tid == tid) {
            // Two lives may meet in one instant: there the row's start decides.
            let begun = life.begin_ns <= start_ns || found.end_ns < end_ns;
            if life.begin_ns <= end_ns && begun {
                found = life;
            }
        }
        Some(found.thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: u32, begin_mono_ns: u64, end_mono_ns: u64) -> ThreadRow {
        ThreadRow { tid, begin_mono_ns, end_mono_ns, ..ThreadRow::default() }
    }

    #[test]
    fn a_recurring_tid_is_told_apart_by_time() {
        let lives = Lives::new(&[thread(7, 500, 900), thread(3, 0, 900), thread(7, 0, 400)]);
        assert_eq!(lives.at(7, 10, 20), Some(2));
        assert_eq!(lives.at(7, 390, 400), Some(2));
        assert_eq!(lives.at(7, 500, 500), Some(0));
        assert_eq!(lives.at(3, 0, 900), Some(1));
        assert_eq!(lives.at(4, 0, 1), None);
        assert_eq!(lives.at(u32::MAX, 0, 1), None);
    }

    #[test]
    fn where_two_lives_meet_the_rows_start_decides() {
        let lives = Lives::new(&[thread(7, 0, 400), thread(7, 400, 900)]);
        assert_eq!(lives.at(7, 300, 400), Some(0));
        assert_eq!(lives.at(7, 400, 400), Some(1));
        assert_eq!(lives.at(7, 400, 500), Some(1));
    }

    #[test]
    fn a_row_outside_every_life_goes_to_the_nearest() {
        let lives = Lives::new(&[thread(7, 100, 400), thread(7, 500, 900)]);
        assert_eq!(lives.at(7, 20, 50), Some(0));
        assert_eq!(lives.at(7, 300, 450), Some(0));
        assert_eq!(lives.at(7, 890, 950), Some(1));
    }
}
