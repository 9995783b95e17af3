//! A thread's part of a bin of time, and what an episode adds to it.

use crate::{
    live::{
        bins,
        counters::{Bag, IRQ, Kind, Sliding, bucket, key},
        group::is_wait,
        sums::{Counts, Totals},
    },
    table::{OffCpuRow, State, WakeSource},
};

/// `futex`, `futex_wait`, and what goes on with one of them after a stop: their first argument is an address.
const BY_ADDRESS: [i32; 3] = [202, 455, 219];

/// A thread's part of a bin.
#[derive(Debug, Default)]
pub struct Bin {
    pub number: u64,
    pub counts: Counts,
    /// The state in which the bin's last nanosecond was spent; `None` on a CPU.
    pub at_end: Option<State>,
    /// The futex waited for then.
    pub futex_at_end: Option<u64>,
    /// The CPU of its last switch.
    pub cpu: Option<u16>,
    /// Its longest wait for a CPU that ended.
    pub most_ns: u64,
    pub bag: Bag,
}

impl Bin {
    /// Its waits for a CPU, by bucket.
    pub fn waits(&self) -> impl Iterator<Item = (u64, u64)> {
        self.bag.entries().filter(|(key, _)| is_wait(*key))
    }
}

impl bins::Bin for Bin {
    fn new(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    #[inline]
    fn number(&self) -> u64 {
        self.number
    }

    fn settle(&mut self) {
        self.bag.settle();
    }
}

/// A bin that is added to, with the sums that hold it.
pub struct Adding<'a> {
    pub bin: &'a mut Bin,
    /// With the longest wait in them.
    pub sums: Option<(&'a mut Totals, &'a mut (u64, u64))>,
    pub waits: Option<&'a mut Sliding>,
    /// Keys were put together.
    pub forgets: bool,
}

impl Adding<'_> {
    #[inline]
    pub fn add(&mut self, key: u64, value: u64) {
        self.forgets |= self.bin.bag.add(key, value);
        if let Some((totals, _)) = &mut self.sums {
            totals.add(key, value);
        }
        if let Some(waits) = &mut self.waits
            && is_wait(key)
        {
            waits.add(key, value);
        }
    }

    /// Adds time in the system call of an episode.
    #[inline]
    pub fn call(&mut self, row: &OffCpuRow, ns: u64) {
        if let Some(nr) = row.syscall_nr {
            self.add(key(Kind::CallTime, nr as u64), ns);
            if let Some(address) = futex_of(row) {
                self.add(key(Kind::FutexTime, address), ns);
            }
        }
    }

    /// Adds what was counted.
    #[inline]
    pub fn count(&mut self, counts: &Counts) {
        self.bin.counts.add(counts);
        if let Some((totals, _)) = &mut self.sums {
            totals.counts.add(counts);
        }
    }

    /// Counts an episode where it ended.
    #[inline]
    pub fn ended(&mut self, row: &OffCpuRow) {
        let switched = row.state != State::Runqueue;
        let counts =
            Counts { rows: 1, switches: switched.into(), involuntary: (switched && !row.voluntary).into() };
        self.count(&counts);
        if is_woken(row) {
            self.add(key(Kind::Runqueue, bucket(row.runqueue_ns)), 1);
            self.bin.most_ns = self.bin.most_ns.max(row.runqueue_ns);
        }
        if let Some((_, most)) = &mut self.sums {
            **most = (**most).max((self.bin.most_ns, self.bin.number));
        }
        if let Some(nr) = row.syscall_nr.filter(|_| row.blocked_ns > 0) {
            self.add(key(Kind::CallLength, (nr as u64) << 16 | bucket(row.blocked_ns)), 1);
            self.add(key(Kind::CallMost, nr as u64), row.blocked_ns);
            if let Some(address) = futex_of(row) {
                self.add(key(Kind::FutexWaits, address), 1);
            }
        }
        match (row.wake_source, row.waker_tid) {
            (Some(WakeSource::Task), Some(tid)) => self.add(key(Kind::Waker, tid.into()), 1),
            (Some(WakeSource::Irq), _) => self.add(key(Kind::Waker, IRQ), 1),
            _ => {}
        }
        if row.cpu_in.is_some() {
            self.bin.cpu = row.cpu_in;
        }
    }
}

/// Whether an episode ended in a wait for a CPU after a wakeup.
#[inline]
pub fn is_woken(row: &OffCpuRow) -> bool {
    !row.state.is_runnable() && row.state != State::Exit
}

/// The futex that an episode waited for, where the call's first argument is its address.
#[inline]
pub fn futex_of(row: &OffCpuRow) -> Option<u64> {
    let by_address = row.state == State::Futex && row.syscall_nr.is_some_and(|nr| BY_ADDRESS.contains(&nr));
    row.arg0.filter(|_| by_address)
}
