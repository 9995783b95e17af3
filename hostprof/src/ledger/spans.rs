//! Stretches of time that lie apart: times in which requests were in flight, in which records are missing.

use super::apart;

/// Spans of time, sorted, none of which touches another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<(u64, u64)>);

impl Spans {
    /// From spans in any order that may overlap; empty ones are left out.
    pub fn new(spans: impl IntoIterator<Item = (u64, u64)>) -> Self {
        Self(apart(spans.into_iter().filter(|(start, end)| start < end).collect()))
    }

    /// All of them together.
    pub fn total_ns(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a stretch lies within one of them whole.
    pub fn cover(&self, start_ns: u64, end_ns: u64) -> bool {
        self.first(start_ns).is_some_and(|span| span.0 <= start_ns && end_ns <= span.1)
    }

    /// Whether some of a stretch lies within one of them.
    pub fn meet(&self, start_ns: u64, end_ns: u64) -> bool {
        self.first(start_ns).is_some_and(|span| span.0 < end_ns)
    }

    /// Cuts a stretch at their edges: `each` gets start, end and whether it is within, parts that tile the stretch.
    pub fn cut(&self, start_ns: u64, end_ns: u64, mut each: impl FnMut(u64, u64, bool)) {
        let mut at = start_ns;
        let first = self.0.partition_point(|span| span.1 <= start_ns);
        for &(from, to) in self.0[first..].iter().take_while(|span| span.0 < end_ns) {
            if from > at {
                each(at, from, false);
            }
            each(from.max(at), to.min(end_ns), true);
            at = to.min(end_ns);
        }
        if at < end_ns {
            each(at, end_ns, false);
        }
    }

    /// The first that ends after an instant.
    fn first(&self, ns: u64) -> Option<(u64, u64)> {
        self.0.get(self.0.partition_point(|span| span.1 <= ns)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_cut_where_spans_begin_and_end() {
        let spans = Spans::new([(30, 40), (10, 15), (15, 20), (50, 50), (35, 38)]);
        assert_eq!(spans.total_ns(), 20);
        let cut = |from, to| {
            let mut parts = Vec::new();
            spans.cut(from, to, |start, end, within| parts.push((start, end, within)));
            parts
        };
        assert_eq!(
            cut(0, 60),
            [(0, 10, false), (10, 20, true), (20, 30, false), (30, 40, true), (40, 60, false)]
        );
        assert_eq!(cut(12, 18), [(12, 18, true)]);
        assert_eq!(cut(18, 32), [(18, 20, true), (20, 30, false), (30, 32, true)]);
        assert_eq!(cut(20, 30), [(20, 30, false)]);
        assert!(cut(20, 20).is_empty());
    }

    #[test]
    fn what_lies_within_is_told_from_what_reaches_over_an_edge() {
        let spans = Spans::new([(10, 20), (30, 40)]);
        assert!(spans.cover(10, 20) && spans.cover(31, 35));
        assert!(!spans.cover(9, 12) && !spans.cover(15, 35) && !spans.cover(20, 30));
        assert!(spans.meet(9, 11) && spans.meet(15, 35) && !spans.meet(20, 30) && !spans.meet(40, 50));
    }
}
