//! Every map of the kernel half. Sizes given here are placeholders where user space sets them at load.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, PerCpuHashMap, Queue, RingBuf},
    macros::btf_map,
};
use hostprof_common::{
    function,
    http::{Connection, HttpStats, PORT_WORDS},
    layout::KernelLayout,
    nvidia,
    ring::{Cell, RingHead, RingTail},
    shed::{Budget, Tallies},
    slot::Slot,
    socket::SocketBytes,
    span::{CallCounts, CountKey, Filter, Open, SpanStats},
    stats::CpuStats,
};

/// A ring buffer of the kernel's, for records that are rare or have no one length.
pub type Ring = RingBuf<u64, 4096>;

/// Episodes and spans: the cells of CPU 0, then those of CPU 1 and so on. User space maps and reads them.
#[btf_map]
pub static CELLS: Array<Cell, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Of each CPU's cells, what is written. Mapped so that each head has a cache line: such arrays begin a page.
#[btf_map]
pub static RING_HEADS: Array<RingHead, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Of each CPU's cells, what user space has read, which it writes here.
#[btf_map]
pub static RING_TAILS: Array<RingTail, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Thread records: rare and critical, so no episode can crowd them out.
#[btf_map]
pub static THREADS: Ring = Ring::new();

/// Records that have no room in a cell: of connections, with their text, and of the NVIDIA driver's calls.
#[btf_map]
pub static LONG_RECORDS: Ring = Ring::new();

/// The slot of each recorded tid; 0 where the tid is not recorded. Sized to the kernel's `pid_max`.
#[btf_map]
pub static TIDS: Array<u32, 1> = Array::new();

/// Recorded threads. Index 0 is never used.
#[btf_map]
pub static SLOTS: Array<Slot, 1> = Array::new();

/// Indices of [`SLOTS`] that were used and are free again.
#[btf_map]
pub static FREE_SLOTS: Queue<u32, 1> = Queue::new();

/// The slot of a thread by what never changes of it: for the moments in which a tid's slot is another
/// thread's (exec by a thread that is not the leader, a tid used again before its last owner is gone).
#[btf_map]
pub static SLOT_BY_START: HashMap<StartKey, u32, 1> = HashMap::new();

/// How many thread numbers have been given out, and how many slots have ever been used: see
/// `hostprof_common::slot::given_out`.
#[btf_map]
pub static GIVEN_OUT: Array<u64, 2> = Array::new();

/// What the kernel half may spend, in its one entry.
#[btf_map]
pub static BUDGET: Array<Budget, 1> = Array::new();

/// When recording ended, by the kernel half's decision or user space's; 0 while it goes on. Not in [`BUDGET`], which user
/// space writes again and again.
#[btf_map]
pub static ENDED: Array<u64, 1> = Array::new();

/// Wakes user space where the kernel half took a step by itself. The record means nothing.
#[btf_map]
pub static ALARM: Ring = Ring::new();

/// What is counted of each recorded thread, by its slot's index. One entry where no ceiling is set.
#[btf_map]
pub static COUNTED: Array<Tallies, 1> = Array::new();

/// Counters, a block for each CPU.
#[btf_map]
pub static STATS: Array<CpuStats, 1> = Array::new();

/// Bytes that each process sent and received, by tgid; user space forgets those that have ended. Entries are made as
/// they are needed: room for all of them on every CPU would be mebibytes.
#[btf_map]
pub static SOCKET_BYTES: PerCpuHashMap<u32, SocketBytes, 1, { BPF_F_NO_PREALLOC as usize }> =
    PerCpuHashMap::new();

/// Connections to the target's HTTP servers, by socket cookie, from the first byte to the last change of state.
#[btf_map]
pub static CONNECTIONS: HashMap<u64, Connection, 1, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();

/// The ports that the target's servers listen on, a bit each.
#[btf_map]
pub static PORTS: Array<u64, { PORT_WORDS as usize }> = Array::new();

/// Counters of connections, a block for each CPU.
#[btf_map]
pub static HTTP_STATS: Array<HttpStats, 1> = Array::new();

/// The call each recorded thread is in, by its slot's index. One entry where no call becomes a span.
#[btf_map]
pub static OPEN: Array<Open, 1> = Array::new();

/// What was read of the NVIDIA call each recorded thread is in, by its slot's index. One entry where none is decoded.
#[btf_map]
pub static NVIDIA_OPEN: Array<nvidia::Call, 1> = Array::new();

/// What to read of each structure of the NVIDIA driver.
#[btf_map]
pub static NVIDIA_SHAPES: HashMap<nvidia::ShapeKey, nvidia::Shape, 512> = HashMap::new();

/// The calls of libraries' functions each recorded thread is in, by its slot's index and lane. One entry where none is
/// recorded.
#[btf_map]
pub static FUNCTION_OPEN: Array<function::Open, 1> = Array::new();

/// Calls of libraries' functions counted by process and call.
#[btf_map]
pub static FUNCTION_COUNTS: PerCpuHashMap<CountKey, CallCounts, 16384, { BPF_F_NO_PREALLOC as usize }> =
    PerCpuHashMap::new();

/// Not 0 once those are recorded no more: to take their probes away takes a while.
#[btf_map]
pub static FUNCTION_FROZEN: Array<u64, 1> = Array::new();

/// Counters of calls, a block for each CPU.
#[btf_map]
pub static SPAN_STATS: Array<SpanStats, 1> = Array::new();

/// Calls counted by process and number, for each CPU. Memory is taken for those that are made.
#[btf_map]
pub static CALL_COUNTS: PerCpuHashMap<CountKey, CallCounts, 16384, { BPF_F_NO_PREALLOC as usize }> =
    PerCpuHashMap::new();

/// The same where no memory was to be had: set aside, and shared by all CPUs. One entry where no call is counted.
#[btf_map]
pub static SPARE_COUNTS: HashMap<CountKey, CallCounts, 1> = HashMap::new();

/// What a pair of process and call begins with in [`CALL_COUNTS`]: larger than a program's stack.
pub static NO_CALLS: CallCounts = CallCounts::ZERO;

/// Key of [`SLOT_BY_START`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct StartKey {
    pub start_ns: u64,
    pub tgid: u64,
}

/// Set by user space before load; the verifier then knows each offset as a constant.
#[unsafe(no_mangle)]
pub static LAYOUT: KernelLayout = KernelLayout::ZERO;

/// Reads one field of [`LAYOUT`].
macro_rules! layout {
    ($field:ident) => {
        $crate::maps::read(&$crate::maps::LAYOUT.$field)
    };
}
pub(crate) use layout;

/// Which calls become spans; set by user space before load.
#[unsafe(no_mangle)]
pub static FILTER: Filter = Filter::NONE;

/// Reads one field of [`FILTER`].
macro_rules! filter {
    ($($field:tt)+) => {
        $crate::maps::read(&$crate::maps::FILTER.$($field)+)
    };
}
pub(crate) use filter;

/// Which of the selected devices are NVIDIA's; set by user space before load.
#[unsafe(no_mangle)]
pub static NVIDIA: nvidia::Settings = nvidia::Settings::NONE;

/// Reads one field of [`NVIDIA`].
macro_rules! nvidia_setting {
    ($($field:tt)+) => {
        $crate::maps::read(&$crate::maps::NVIDIA.$($field)+)
    };
}
pub(crate) use nvidia_setting;

/// Volatile: the value the compiler sees is not the one that runs.
#[inline(always)]
pub fn read<T: Copy>(field: &'static T) -> T {
    // SAFETY: a reference is valid and aligned.
    unsafe { core::ptr::read_volatile(field) }
}
