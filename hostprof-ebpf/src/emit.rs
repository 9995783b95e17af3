//! Handing records to user space, and counting those that found no room.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP},
    helpers::{bpf_get_smp_processor_id, bpf_ringbuf_query},
};
use hostprof_common::{shed::Counted, stats::CpuStats};

use crate::{
    maps::{Ring, STATS, THREADS, layout},
    ring::{self, Pushed},
};

/// The running CPU and its counters. Tracepoints of one CPU do not nest here but in NMIs, which wake
/// no task, so plain increments are exact.
#[derive(Clone, Copy)]
pub struct Cpu {
    pub id: u32,
    stats: *mut CpuStats,
}

macro_rules! count {
    ($cpu:expr, $field:ident) => {
        // SAFETY: the pointer comes from a successful map lookup.
        unsafe { (*$cpu.stats()).$field += 1 }
    };
}
pub(crate) use count;

impl Cpu {
    /// `None` on a CPU beyond those the maps were made for; there is none.
    #[inline(always)]
    pub fn this() -> Option<Self> {
        let id = unsafe { bpf_get_smp_processor_id() };
        Some(Self { id, stats: STATS.get_ptr_mut(id)? })
    }

    #[inline(always)]
    pub fn stats(self) -> *mut CpuStats {
        self.stats
    }

    /// Writes an episode record into the CPU's ring. User space polls: no wakeup is sent.
    #[inline(always)]
    pub fn episode<T: Copy>(self, record: T) {
        match ring::push(self.id, record) {
            Pushed::Written => count!(self, episodes),
            Pushed::Full => count!(self, episodes_full),
            Pushed::Busy => count!(self, episodes_busy),
        }
    }

    /// Writes a sum of episodes into the CPU's ring. Where it is lost, all of them are.
    #[inline(always)]
    pub fn counted(self, record: Counted) {
        let episodes = u64::from(record.tally.episodes);
        match ring::push(self.id, record) {
            Pushed::Written => count!(self, episodes),
            // SAFETY: from a successful lookup.
            Pushed::Full => unsafe { (*self.stats).episodes_full += episodes },
            Pushed::Busy => unsafe { (*self.stats).episodes_busy += episodes },
        }
    }

    /// Writes a thread record; false when there was no room.
    #[inline(always)]
    pub fn thread<T: 'static>(self, record: T) -> bool {
        match THREADS.reserve_untyped::<T>(0) {
            Some(mut entry) => {
                entry.write(record);
                entry.submit(u64::from(BPF_RB_NO_WAKEUP));
                count!(self, threads);
                true
            }
            None => {
                if is_full(&THREADS, size_of::<T>() as u64, layout!(thread_ring_bytes)) {
                    count!(self, threads_full);
                } else {
                    count!(self, threads_busy);
                }
                false
            }
        }
    }
}

/// A reserve fails when the ring is full, and since 6.15 also when its lock is held by what this CPU
/// interrupted.
#[inline(always)]
pub fn is_full(ring: &Ring, record_bytes: u64, ring_bytes: u64) -> bool {
    // A record has a header of 8 bytes.
    let used = unsafe {
        bpf_ringbuf_query(core::ptr::from_ref(ring).cast_mut().cast(), u64::from(BPF_RB_AVAIL_DATA))
    };
    used + record_bytes + 8 > ring_bytes
}
