//! A single-producer single-consumer ring of words that spins where others would block.

use std::{
    hint::spin_loop,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// A word alone on its cache lines: the adjacent-line prefetcher works on pairs of 64 bytes.
#[repr(align(128))]
struct Alone(AtomicUsize);

pub(super) struct Ring {
    slots: Box<[AtomicU64]>,
    taken: Alone,
    put: Alone,
}

/// The only one that puts; remembers how far the consumer was.
pub(super) struct Producer<'a> {
    ring: &'a Ring,
    put: usize,
    taken: usize,
}

/// The only one that takes; remembers how far the producer was.
pub(super) struct Consumer<'a> {
    ring: &'a Ring,
    put: usize,
    taken: usize,
}

impl Ring {
    /// A ring of `items`, a power of two, its memory touched: the threads meet no page fault in it.
    pub(super) fn new(items: usize) -> Self {
        debug_assert!(items.is_power_of_two());
        let slots = (0..items).map(|_| AtomicU64::new(u64::MAX)).collect();
        Self { slots, taken: Alone(AtomicUsize::new(0)), put: Alone(AtomicUsize::new(0)) }
    }

    pub(super) fn producer(&self) -> Producer<'_> {
        Producer { ring: self, put: 0, taken: 0 }
    }

    pub(super) fn consumer(&self) -> Consumer<'_> {
        Consumer { ring: self, put: 0, taken: 0 }
    }

    fn slot(&self, position: usize) -> &AtomicU64 {
        &self.slots[position & (self.slots.len() - 1)]
    }
}

impl Producer<'_> {
    /// Puts an item, spinning while the ring is full.
    pub(super) fn put(&mut self, item: u64) {
        while self.put - self.taken == self.ring.slots.len() {
            self.taken = self.ring.taken.0.load(Ordering::Acquire);
            if self.put - self.taken == self.ring.slots.len() {
                spin_loop();
            }
        }
        self.ring.slot(self.put).store(item, Ordering::Relaxed);
        self.put += 1;
        self.ring.put.0.store(self.put, Ordering::Release);
    }
}

impl Consumer<'_> {
    /// Takes the next item, spinning while there is none.
    pub(super) fn take(&mut self) -> u64 {
        while self.put == self.taken {
            self.put = self.ring.put.0.load(Ordering::Acquire);
            if self.put == self.taken {
                spin_loop();
            }
        }
        let item = self.ring.slot(self.taken).load(Ordering::Relaxed);
        self.taken += 1;
        self.ring.taken.0.store(self.taken, Ordering::Release);
        item
    }
}
