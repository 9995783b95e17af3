//! How far a recording has come, for whoever looks at it meanwhile.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::units::{MonoNs, Tgid};

/// What others may look at while the pipeline runs.
#[derive(Debug, Default)]
pub struct Gauges {
    records: AtomicU64,
    first_record_ns: AtomicU64,
    threads: AtomicU64,
    live: AtomicU64,
    begun: AtomicU64,
    network_ended: AtomicBool,
    /// A bit pattern; 0 where it is not measured.
    overhead: AtomicU64,
    processes: Mutex<Vec<Tgid>>,
}

impl Gauges {
    /// Of a target with these processes.
    pub fn new(processes: &[Tgid]) -> Self {
        let gauges = Self::default();
        gauges.set_processes(processes.to_vec());
        gauges
    }

    /// Records decoded.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// When the first record of a wait came; `None` while none has.
    pub fn first_record(&self) -> Option<MonoNs> {
        Some(MonoNs(self.first_record_ns.load(Ordering::Relaxed))).filter(|at| at.0 != 0)
    }

    /// Threads seen.
    pub fn threads(&self) -> u64 {
        self.threads.load(Ordering::Relaxed)
    }

    /// Whether threads have begun and all of them have ended.
    pub fn all_ended(&self) -> bool {
        self.begun.load(Ordering::Acquire) > 0 && self.live() == 0
    }

    /// Whether the programs that count network bytes are detached.
    pub fn network_ended(&self) -> bool {
        self.network_ended.load(Ordering::Acquire)
    }

    /// Says so.
    pub fn end_network(&self) {
        self.network_ended.store(true, Ordering::Release);
    }

    /// What recording cost in the last second, of the target's CPU time; `None` where no ceiling has it measured.
    pub fn overhead_ratio(&self) -> Option<f64> {
        Some(f64::from_bits(self.overhead.load(Ordering::Relaxed))).filter(|ratio| *ratio > 0.0)
    }

    /// Says so.
    pub fn set_overhead_ratio(&self, ratio: f64) {
        self.overhead.store(ratio.to_bits(), Ordering::Relaxed);
    }

    /// The processes that have a thread that lives, sorted.
    pub fn processes(&self) -> Vec<Tgid> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_processes(&self, mut processes: Vec<Tgid>) {
        processes.sort_unstable();
        *self.processes.lock().unwrap_or_else(PoisonError::into_inner) = processes;
    }

    /// Threads that live.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    pub(super) fn add_records(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn set_first_record(&self, at: MonoNs) {
        let _ = self.first_record_ns.compare_exchange(0, at.0, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn add_thread(&self) {
        self.threads.fetch_add(1, Ordering::Relaxed);
    }

    /// How many threads live, and how many have begun.
    pub(super) fn set_threads(&self, live: u64, begun: u64) {
        self.live.store(live, Ordering::Relaxed);
        self.begun.store(begun, Ordering::Release);
    }
}
