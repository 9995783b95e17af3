//! When episodes of a thread were counted and not recorded: then it may have been moved to another CPU untold.

/// Intervals in which episodes were counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// By start; apart from one another.
    intervals: Vec<(u64, u64)>,
}

impl Counted {
    /// Adds an interval. Those of one thread come nearly in order.
    pub(super) fn add(&mut self, start_ns: u64, end_ns: u64) {
        let (mut start_ns, mut end_ns) = (start_ns, end_ns.max(start_ns));
        let after = self.intervals.partition_point(|interval| interval.1 < start_ns);
        let beyond = self.intervals.partition_point(|interval| interval.0 <= end_ns);
        for interval in self.intervals.drain(after..beyond.max(after)) {
            start_ns = start_ns.min(interval.0);
            end_ns = end_ns.max(interval.1);
        }
        self.intervals.insert(after, (start_ns, end_ns));
    }

    /// Whether any of them reaches into a stretch of time.
    pub(super) fn overlaps(&self, start_ns: u64, end_ns: u64) -> bool {
        let after = self.intervals.partition_point(|interval| interval.1 < start_ns);
        self.intervals.get(after).is_some_and(|interval| interval.0 <= end_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_in_any_order_become_one_where_they_meet() {
        let mut counted = Counted::default();
        for (start_ns, end_ns) in [(50, 60), (10, 20), (30, 35), (15, 32), (60, 60)] {
            counted.add(start_ns, end_ns);
        }
        assert_eq!(counted.intervals, [(10, 35), (50, 60)]);
        assert!(counted.overlaps(35, 40) && counted.overlaps(0, 10) && counted.overlaps(40, 70));
        assert!(!counted.overlaps(36, 49) && !counted.overlaps(61, 90) && !counted.overlaps(0, 9));
    }
}
