//! Rows of `off_cpu` as the records that the kernel half would have written for them.

use hostprof::table::{OffCpuRow, State, WakeSource};
use hostprof_common::{
    RecordKind,
    episode::{Blocked, Head, Runnable, flag},
    thread::{Begin, Counters, End, cause},
};

/// A thread of a replay.
pub struct Thread {
    utid: u32,
    switches: u32,
}

impl Thread {
    /// The thread of that number.
    pub fn new(utid: u32) -> Self {
        Self { utid, switches: 0 }
    }

    /// Its beginning, just before its first row.
    pub fn begin(&self, row: &OffCpuRow, out: &mut Vec<u8>) {
        let begin = Begin {
            kind: RecordKind::ThreadBegin as u16,
            cause: cause::FORK,
            utid: self.utid,
            at_ns: row.ts_mono_ns,
            start_ns: row.ts_mono_ns,
            tid: row.tid,
            tgid: row.tgid,
            ns_tid: row.tid,
            comm: *b"replayed\0\0\0\0\0\0\0\0",
            ..Begin::default()
        };
        append(&begin, out);
    }

    /// Its end.
    pub fn end(&mut self, row: &OffCpuRow, out: &mut Vec<u8>) {
        self.switches += 1;
        let counters = Counters { at_ns: row.ts_mono_ns, nvcsw: self.switches.into(), ..Counters::ZERO };
        let end = End {
            kind: RecordKind::ThreadEnd as u16,
            cause: cause::EXIT,
            utid: self.utid,
            at_ns: row.ts_mono_ns,
            cpu: row.cpu_out.unwrap_or_default().into(),
            flags: if row.voluntary { flag::VOLUNTARY.into() } else { 0 },
            counters,
        };
        append(&end, out);
    }

    /// One of its episodes.
    pub fn episode(&mut self, row: &OffCpuRow, out: &mut Vec<u8>) {
        // A new thread's first wait is no switch-out.
        self.switches += u32::from(row.state != State::Runqueue);
        let (task_state, flags) = kernel_state(row);
        let woken_by = match row.wake_source {
            None => 0,
            Some(WakeSource::Task) => flag::WAKE_TASK,
            Some(WakeSource::Irq) => flag::WAKE_IRQ,
            Some(WakeSource::New) => flag::WAKE_NEW,
        };
        let voluntary = if row.voluntary { flag::VOLUNTARY } else { 0 };
        let kind = if row.state.is_runnable() { RecordKind::Runnable } else { RecordKind::Blocked };
        let head = Head {
            kind: kind as u16,
            cpu_in: row.cpu_in.unwrap_or_default(),
            utid: self.utid,
            in_ns: row.ts_mono_ns + row.blocked_ns + row.runqueue_ns,
            out_ns: row.ts_mono_ns,
            seq: self.switches,
            min_flt: self.switches / 64,
            maj_flt: 0,
            task_state,
            syscall: row.syscall_nr.unwrap_or(-1),
            cpu_out: row.cpu_out.unwrap_or_default(),
            flags: flags | woken_by | voluntary,
        };
        if row.state.is_runnable() {
            append(&Runnable { head }, out);
        } else {
            let blocked = Blocked {
                head,
                wake_ns: row.wake_source.map_or(0, |_| row.ts_mono_ns + row.blocked_ns),
                arg0: row.arg0.unwrap_or_default(),
                arg1: row.arg1.unwrap_or_default(),
                waker_tid: row.waker_tid.unwrap_or_default(),
                rdev: 0,
            };
            append(&blocked, out);
        }
    }
}

/// State bits and flags that make this state.
fn kernel_state(row: &OffCpuRow) -> (u32, u16) {
    match row.state {
        State::Preempted => (0, flag::PREEMPT),
        State::Throttled => (0, flag::THROTTLED),
        State::Yield => (0, 0),
        State::Stopped => (0x4, flag::BLOCKED),
        State::Traced => (0x8, flag::BLOCKED),
        State::Frozen => (0x8000, flag::BLOCKED),
        State::IoWorker => (0x1, flag::BLOCKED | flag::IO_WORKER),
        State::PageFault => (0x2, flag::BLOCKED),
        _ => (0x1, flag::BLOCKED),
    }
}

/// Appends a wire struct.
fn append<T: Copy>(record: &T, out: &mut Vec<u8>) {
    // SAFETY: a wire struct is integers without padding, so that each of its bytes is written.
    let bytes =
        unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast::<u8>(), size_of::<T>()) };
    out.extend_from_slice(bytes);
}
