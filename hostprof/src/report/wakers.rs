//! Who waited for which futex, and who woke whom, in bounded memory.

use super::model::{Futex, OtherFutexes, Participant, WakerPair};
use crate::{
    hash::IntMap,
    ledger::Lives,
    table::{OffCpuRow, State, ThreadRow, WakeSource},
};

/// At most so many futexes are told apart; waits for later ones go together.
const FUTEXES: usize = 65_536;
/// At most so many waiters, and so many wakers, of a futex are told apart.
const PARTICIPANTS: usize = 64;
/// At most so many pairs of waker and woken are told apart.
const PAIRS: usize = 65_536;

/// Who did something: a thread row, a thread that was not recorded, or an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    Recorded(u32),
    Stranger(u32),
    Interrupt,
    Others,
}

impl Who {
    /// Who ended a row's wait; `None` where nobody is known to have.
    fn woke(row: &OffCpuRow, lives: &Lives) -> Option<Self> {
        match row.wake_source? {
            WakeSource::Irq => Some(Self::Interrupt),
            WakeSource::Task | WakeSource::New => {
                let tid = row.waker_tid?;
                let wake_ns = row.ts_mono_ns.saturating_add(row.blocked_ns);
                Some(
                    lives
                        .at(tid, wake_ns, wake_ns)
                        .map_or(Self::Stranger(tid), |at| Self::Recorded(at as u32)),
                )
            }
        }
    }

    fn tid(self, threads: &[ThreadRow]) -> Option<u32> {
        match self {
            Self::Recorded(at) => Some(threads[at as usize].tid),
            Self::Stranger(tid) => Some(tid),
            Self::Interrupt | Self::Others => None,
        }
    }

    fn comm(self, threads: &[ThreadRow]) -> String {
        match self {
            Self::Recorded(at) => threads[at as usize].comm.clone(),
            Self::Stranger(_) => "not recorded".to_owned(),
            Self::Interrupt => "interrupt".to_owned(),
            Self::Others => "others".to_owned(),
        }
    }
}

/// Counts by participant, few enough to search.
#[derive(Default)]
struct Counts(Vec<(Who, u64)>);

impl Counts {
    fn add(&mut self, who: Who) {
        let at = self.0.iter().position(|(other, _)| *other == who).or_else(|| {
            (self.0.len() >= PARTICIPANTS)
                .then(|| self.0.iter().position(|(other, _)| *other == Who::Others))
                .flatten()
        });
        match at {
            Some(at) => self.0[at].1 += 1,
            None if self.0.len() >= PARTICIPANTS => self.0.push((Who::Others, 1)),
            None => self.0.push((who, 1)),
        }
    }

    fn participants(mut self, threads: &[ThreadRow]) -> Vec<Participant> {
        self.0.sort_by_key(|(who, count)| (std::cmp::Reverse(*count), who.tid(threads)));
        self.0
            .into_iter()
            .map(|(who, count)| Participant { tid: who.tid(threads), comm: who.comm(threads), count })
            .collect()
    }
}

#[derive(Default)]
struct Waits {
    count: u64,
    total_ns: u64,
    open_end: u64,
    waiters: Counts,
    wakers: Counts,
}

/// Waits by futex.
#[derive(Default)]
pub struct Futexes {
    by_address: IntMap<(u32, u64), Waits>,
    other: OtherFutexes,
}

impl Futexes {
    /// Adds a row of a thread, if it waited for a futex.
    pub fn add(&mut self, row: &OffCpuRow, thread: usize, lives: &Lives) {
        let (State::Futex, Some(address)) = (row.state, row.arg0) else { return };
        let key = (row.tgid, address);
        if self.by_address.len() >= FUTEXES && !self.by_address.contains_key(&key) {
            self.other.waits += 1;
            self.other.total_ns = self.other.total_ns.saturating_add(row.blocked_ns);
            return;
        }
        let waits = self.by_address.entry(key).or_default();
        waits.count += 1;
        waits.total_ns = waits.total_ns.saturating_add(row.blocked_ns);
        waits.open_end += u64::from(row.open_end && row.wake_source.is_none());
        waits.waiters.add(Who::Recorded(thread as u32));
        if let Some(waker) = Who::woke(row, lives) {
            waits.wakers.add(waker);
        }
    }

    /// The futexes, most time first, and what went beyond the number kept.
    pub fn finish(self, threads: &[ThreadRow]) -> (Vec<Futex>, OtherFutexes) {
        let mut futexes: Vec<Futex> = self
            .by_address
            .into_iter()
            .map(|((tgid, address), waits)| Futex {
                tgid,
                address: format!("{address:#x}"),
                waits: waits.count,
                total_ns: waits.total_ns,
                open_end: waits.open_end,
                waiters: waits.waiters.participants(threads),
                wakers: waits.wakers.participants(threads),
            })
            .collect();
        futexes.sort_by(|a, b| (b.total_ns, a.tgid, &a.address).cmp(&(a.total_ns, b.tgid, &b.address)));
        (futexes, self.other)
    }
}

/// Wakeups by waker and woken.
#[derive(Default)]
pub struct Pairs {
    by_pair: IntMap<(Who, u32), (u64, u64)>,
    other: u64,
}

impl Pairs {
    /// Adds a row of a thread, if it was woken.
    pub fn add(&mut self, row: &OffCpuRow, thread: usize, lives: &Lives) {
        let Some(waker) = Who::woke(row, lives) else { return };
        let key = (waker, thread as u32);
        if self.by_pair.len() >= PAIRS && !self.by_pair.contains_key(&key) {
            self.other += 1;
            return;
        }
        let (wakeups, runqueue_ns) = self.by_pair.entry(key).or_default();
        *wakeups += 1;
        *runqueue_ns = runqueue_ns.saturating_add(row.runqueue_ns);
    }

    /// The pairs, most wakeups first, and how many went beyond the number kept.
    pub fn finish(self, threads: &[ThreadRow]) -> (Vec<WakerPair>, u64) {
        let mut pairs: Vec<WakerPair> = self
            .by_pair
            .into_iter()
            .map(|((waker, woken), (wakeups, runqueue_ns))| WakerPair {
                waker_tid: waker.tid(threads),
                waker_comm: waker.comm(threads),
                tid: threads[woken as usize].tid,
                comm: threads[woken as usize].comm.clone(),
                wakeups,
                runqueue_ns,
            })
            .collect();
        pairs.sort_by_key(|pair| (std::cmp::Reverse(pair.wakeups), pair.tid, pair.waker_tid));
        (pairs, self.other)
    }
}
