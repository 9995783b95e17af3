//! Streams of events into one, in time order.
//!
//! Each ring is nearly in order, and rings know nothing of each other. The release rule: a round of
//! draining begins at time T, and reads every ring up to what it held then. A record is written within
//! [`SLACK_NS`] of the time it carries (the programs run with interrupts off; a virtual CPU may be taken
//! away meanwhile), so after the round no event earlier than T − slack can still come, and those are
//! released. One that comes later all the same is released at once and counted: it is never lost.

use std::collections::VecDeque;

use crate::{probe::Event, units::MonoNs};

/// The longest a record may take from reading the clock to being readable.
pub const SLACK_NS: u64 = 20_000_000;

/// A merge of streams.
#[derive(Default)]
pub struct Order {
    streams: Vec<Stream>,
    last: MonoNs,
    late: u64,
    undecodable: u64,
}

/// What waits of a ring: the bytes as they came, and where the records are in them.
#[derive(Default)]
struct Stream {
    /// In time order.
    records: VecDeque<Record>,
    batches: VecDeque<Batch>,
    /// The number of the first of `batches`; they are counted as they come.
    first_batch: u32,
}

struct Record {
    at: MonoNs,
    batch: u32,
    offset: u32,
}

struct Batch {
    bytes: Vec<u8>,
    /// Records not yet released.
    waiting: usize,
}

impl Stream {
    /// Adds a batch; returns how many records it has and how many bytes that are none, at its end.
    fn push(&mut self, bytes: Vec<u8>) -> (usize, usize) {
        let batch = self.first_batch.wrapping_add(self.batches.len() as u32);
        let (mut offset, mut waiting) = (0, 0);
        while let Ok((kind, at)) = Event::peek(&bytes[offset..]) {
            self.insert(Record { at, batch, offset: offset as u32 });
            offset += kind.size();
            waiting += 1;
        }
        let rest = bytes.len() - offset;
        self.batches.push_back(Batch { bytes, waiting });
        (waiting, rest)
    }

    #[inline]
    fn insert(&mut self, record: Record) {
        // Nearly in order: a record is misplaced by a few at most.
        let mut place = self.records.len();
        while place > 0 && self.records[place - 1].at > record.at {
            place -= 1;
        }
        if place == self.records.len() {
            self.records.push_back(record);
        } else {
            self.records.insert(place, record);
        }
    }

    /// Takes the first record, if it comes before `turn` as a record of the stream of that number.
    fn pop(&mut self, number: usize, turn: (MonoNs, usize)) -> Option<(MonoNs, &[u8])> {
        let record = self.records.pop_front_if(|record| (record.at, number) < turn)?;
        let batch = &mut self.batches[record.batch.wrapping_sub(self.first_batch) as usize];
        batch.waiting -= 1;
        Some((record.at, &batch.bytes[record.offset as usize..]))
    }

    /// Frees the batches of which nothing waits.
    fn free(&mut self) {
        while self.batches.pop_front_if(|batch| batch.waiting == 0).is_some() {
            self.first_batch = self.first_batch.wrapping_add(1);
        }
    }
}

impl Order {
    /// A merge of that many streams.
    pub fn new(streams: usize) -> Self {
        Self { streams: (0..streams).map(|_| Stream::default()).collect(), ..Self::default() }
    }

    /// Adds records of a stream, end to end; returns how many they are.
    pub fn push(&mut self, stream: usize, bytes: Vec<u8>) -> usize {
        let (records, rest) = self.streams[stream].push(bytes);
        self.undecodable += rest as u64;
        records
    }

    /// Releases, in time order, every event before `until`; of events of one time, those of the lower stream
    /// first.
    pub fn release(&mut self, until: MonoNs, mut each: impl FnMut(&Event)) {
        while let Some((number, turn)) = self.first(until) {
            let stream = &mut self.streams[number];
            while let Some((at, bytes)) = stream.pop(number, turn) {
                let Ok(event) = Event::decode(bytes) else {
                    self.undecodable += Event::peek(bytes).map_or(0, |(kind, _)| kind.size()) as u64;
                    continue;
                };
                if at < self.last && !event.is_untold() {
                    self.late += 1;
                }
                self.last = self.last.max(at);
                each(&event);
            }
            stream.free();
        }
    }

    /// The stream with the first event before `until`, and where its turn ends: at the first event of another,
    /// or at `until`.
    fn first(&self, until: MonoNs) -> Option<(usize, (MonoNs, usize))> {
        let (mut first, mut second) = ((until, 0), (until, 0));
        for (number, stream) in self.streams.iter().enumerate() {
            let Some(record) = stream.records.front() else { continue };
            let head = (record.at, number);
            if head < first {
                (first, second) = (head, first);
            } else if head < second {
                second = head;
            }
        }
        (first.0 < until).then_some((first.1, second))
    }

    /// Releases all that is left.
    pub fn finish(&mut self, each: impl FnMut(&Event)) {
        self.release(MonoNs(u64::MAX), each);
    }

    /// Events that came after later ones had been released.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Bytes that were no record.
    pub fn undecodable(&self) -> u64 {
        self.undecodable
    }
}

#[cfg(test)]
mod tests {
    use hostprof_common::{RecordKind, TIME_OFFSET};
    use proptest::prelude::*;

    use super::*;

    fn record(at_ns: u64) -> Vec<u8> {
        let mut bytes = vec![0; RecordKind::Runnable.size()];
        bytes[..2].copy_from_slice(&(RecordKind::Runnable as u16).to_ne_bytes());
        bytes[TIME_OFFSET..TIME_OFFSET + 8].copy_from_slice(&at_ns.to_ne_bytes());
        bytes
    }

    fn at_ns(event: &Event) -> u64 {
        event.head().unwrap().in_ns
    }

    #[test]
    fn bytes_that_are_no_record_are_counted_and_those_before_are_released() {
        let mut order = Order::new(1);
        let bytes = [record(1), record(2), vec![99, 0, 0]].concat();
        assert_eq!(order.push(0, bytes), 2);
        let mut seen = Vec::new();
        order.finish(|event| seen.push(at_ns(event)));
        assert_eq!((seen, order.undecodable()), (vec![1, 2], 3));
    }

    #[test]
    fn an_event_that_comes_too_late_is_released_and_counted() {
        let mut order = Order::new(1);
        let mut seen = Vec::new();
        order.push(0, record(10));
        order.release(MonoNs(20), |event| seen.push(at_ns(event)));
        order.push(0, record(5));
        order.finish(|event| seen.push(at_ns(event)));
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
                order.push(stream, record(at));
            }
            order.release(MonoNs(cut), |event| seen.push(at_ns(event)));
            for &(at, stream) in times.iter().filter(|(at, _)| *at >= cut) {
                order.push(stream, record(at));
            }
            order.finish(|event| seen.push(at_ns(event)));
            let mut expected: Vec<u64> = times.iter().map(|(at, _)| *at).collect();
            expected.sort_unstable();
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(order.late(), 0);
        }
    }
}
