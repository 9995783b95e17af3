//! Streams of events into one, in time order.
//!
//! Each ring is nearly in order, and rings know nothing of each other. The release rule: a round of
//! draining begins at time T, and reads every ring up to what it held then. A record is written within
//! [`SLACK_NS`] of the time it carries (the programs run with interrupts off; a virtual CPU may be taken
//! away meanwhile), so after the round no event earlier than T − slack can still come, and those are
//! released. One that comes later all the same is released at once and counted: it is never lost.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use crate::{probe::Event, units::MonoNs};

/// The longest a record may take from reading the clock to being readable.
pub const SLACK_NS: u64 = 20_000_000;

/// A merge of streams.
#[derive(Default)]
pub struct Order {
    /// Events of each ring that wait for their turn, in time order.
    streams: Vec<VecDeque<Event>>,
    /// While events are released: the streams that have one, by its time.
    heads: BinaryHeap<Reverse<(MonoNs, usize)>>,
    last: MonoNs,
    /// By stream.
    late: Vec<u64>,
}

impl Order {
    /// A merge of that many streams.
    pub fn new(streams: usize) -> Self {
        let late = vec![0; streams];
        Self { streams: (0..streams).map(|_| VecDeque::new()).collect(), late, ..Self::default() }
    }

    /// Adds an event of a stream.
    #[inline]
    pub fn push(&mut self, stream: usize, event: Event) {
        let at = event.at();
        let events = &mut self.streams[stream];
        // Nearly in order: an event is misplaced by a few at most.
        let mut place = events.len();
        while place > 0 && events[place - 1].at() > at {
            place -= 1;
        }
        if place == events.len() {
            events.push_back(event);
        } else {
            events.insert(place, event);
        }
    }

    /// Releases, in time order, every event before `until`; of events of one time, those of the lower stream
    /// first.
    pub fn release(&mut self, until: MonoNs, mut each: impl FnMut(&Event)) {
        let head =
            |(stream, events): (usize, &VecDeque<Event>)| Some(Reverse((events.front()?.at(), stream)));
        self.heads.clear();
        self.heads.extend(self.streams.iter().enumerate().filter_map(head).filter(|head| head.0.0 < until));
        while let Some(Reverse((_, stream))) = self.heads.pop() {
            // Its turn ends at the first event of another.
            let turn = self.heads.peek().map_or((until, 0), |next| next.0);
            let events = &mut self.streams[stream];
            while let Some(event) = events.pop_front_if(|event| (event.at(), stream) < turn) {
                let at = event.at();
                if at < self.last && !event.is_untold() {
                    self.late[stream] += 1;
                }
                self.last = self.last.max(at);
                each(&event);
            }
            if let Some(at) = events.front().map(Event::at).filter(|at| *at < until) {
                self.heads.push(Reverse((at, stream)));
            }
        }
    }

    /// Releases all that is left.
    pub fn finish(&mut self, each: impl FnMut(&Event)) {
        self.release(MonoNs(u64::MAX), each);
    }

    /// Events that came after later ones had been released.
    pub fn late(&self) -> u64 {
        self.late.iter().sum()
    }

    /// Those of a stream.
    pub fn late_of(&self, stream: usize) -> u64 {
        self.late[stream]
    }
}

#[cfg(test)]
mod tests {
    use hostprof_common::thread::Rename;
    use proptest::prelude::*;

    use super::*;

    fn event(at_ns: u64) -> Event {
        Event::Rename(Rename { at_ns, ..Rename::default() })
    }

    #[test]
    fn an_event_that_comes_too_late_is_released_and_counted() {
        let mut order = Order::new(1);
        let mut seen = Vec::new();
        order.push(0, event(10));
        order.release(MonoNs(20), |event| seen.push(event.at().0));
        order.push(0, event(5));
        order.finish(|event| seen.push(event.at().0));
        assert_eq!((seen, order.late()), (vec![10, 5], 1));
    }

    proptest! {
        #[test]
        fn streams_that_keep_the_rule_come_out_in_order_and_whole(
            times in prop::collection::vec((0_u64..1000, 0_usize..4), 0..300),
            cut in 0_u64..1000,
        ) {
            let mut order = Order::new(4);
            let mut seen = Vec::new();
            for &(at, stream) in times.iter().filter(|(at, _)| *at < cut) {
                order.push(stream, event(at));
            }
            order.release(MonoNs(cut), |event| seen.push(event.at().0));
            for &(at, stream) in times.iter().filter(|(at, _)| *at >= cut) {
                order.push(stream, event(at));
            }
            order.finish(|event| seen.push(event.at().0));
            let mut expected: Vec<u64> = times.iter().map(|(at, _)| *at).collect();
            expected.sort_unstable();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(order.late(), 0);
        }
    }
}
