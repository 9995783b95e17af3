//! What the benchmarks of the collector share: a recording turned back into what the kernel half wrote.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub mod made;
mod wire;

use std::{collections::HashMap, hint::black_box, path::Path};

use hostprof::{
    bpf::{Drained, Streams},
    probe::{Life, Rows},
    recording::Recording,
    table::{
        CudaCallRow, GpuIoctlRow, OffCpuCountRow, OffCpuRow, PageFaultRow, RequestRow, State, StepRow,
        SyscallRow, TokenRow,
    },
    units::MonoNs,
};

pub use self::wire::Thread;

/// As long as the drains rest: what a round holds.
const ROUND_NS: u64 = 20_000_000;
/// As many bytes as a drain hands on at a time.
const BATCH_BYTES: usize = 256 << 10;

/// The drained records of a recording, in the order and the portions in which drains hand them on.
#[derive(Clone)]
pub struct Replay {
    /// A drain for each CPU.
    pub of: Streams,
    /// Records of episodes.
    pub records: u64,
    /// What the drains hand on.
    pub drained: Vec<Drained>,
}

impl Replay {
    /// From a run folder: times, threads and wakers are those of real threads.
    pub fn of_run(path: &Path, cpus: usize) -> Self {
        let recording = Recording::open(path).expect("open the recording");
        let rows = recording.rows::<OffCpuRow>().expect("read off_cpu");
        Self::of_rows(rows.flat_map(|rows| rows.expect("read rows")), cpus)
    }

    /// From rows in the order of their ends.
    pub fn of_rows(rows: impl Iterator<Item = OffCpuRow>, cpus: usize) -> Self {
        let mut replay = Self { of: Streams { cpus, drains: cpus }, records: 0, drained: Vec::new() };
        let mut streams = vec![Vec::new(); replay.of.count()];
        let mut threads: HashMap<u32, Thread> = HashMap::new();
        let mut begun = 0;
        let mut round_ends = 0;
        for row in rows.filter(|row| !row.open_start && !row.open_end) {
            let ends = row.ts_mono_ns + row.blocked_ns + row.runqueue_ns;
            if round_ends == 0 {
                round_ends = ends + ROUND_NS;
            }
            while ends >= round_ends {
                replay.round(&mut streams, round_ends);
                round_ends += ROUND_NS;
            }
            let thread = threads.entry(row.tid).or_insert_with(|| {
                begun += 1;
                let thread = Thread::new(begun);
                thread.begin(&row, &mut streams[replay.of.threads()]);
                thread
            });
            let stream = usize::from(row.cpu_in.or(row.cpu_out).unwrap_or_default()) % cpus;
            if row.state == State::Exit {
                thread.end(&row, &mut streams[replay.of.threads()]);
                threads.remove(&row.tid);
            } else {
                thread.episode(&row, &mut streams[stream]);
                replay.records += 1;
            }
            if streams[stream].len() + 4096 > BATCH_BYTES {
                replay.batch(stream, &mut streams[stream]);
            }
        }
        replay.round(&mut streams, round_ends);
        replay
    }

    fn batch(&mut self, stream: usize, bytes: &mut Vec<u8>) {
        if !bytes.is_empty() {
            self.drained.push(Drained::Records { stream, bytes: std::mem::take(bytes) });
        }
    }

    fn round(&mut self, streams: &mut [Vec<u8>], at_ns: u64) {
        // The thread records first, as the first drain reads them.
        for stream in (0..streams.len()).rev() {
            self.batch(stream, &mut streams[stream]);
        }
        self.drained.push(Drained::Round { at: MonoNs(at_ns) });
    }
}

/// Takes rows, and does nothing with them or keeps those of `off_cpu`.
#[derive(Default)]
pub struct Taker {
    keeps: bool,
    /// Those it kept.
    pub rows: Vec<OffCpuRow>,
}

impl Taker {
    /// One that keeps.
    pub fn keeping() -> Self {
        Self { keeps: true, rows: Vec::new() }
    }
}

impl Rows for Taker {
    fn off_cpu(&mut self, row: OffCpuRow) {
        if self.keeps {
            self.rows.push(row);
        } else {
            black_box(row);
        }
    }
    fn off_cpu_count(&mut self, row: OffCpuCountRow) {
        black_box(row);
    }
    fn page_fault(&mut self, row: PageFaultRow) {
        black_box(row);
    }
    fn syscall(&mut self, row: SyscallRow) {
        black_box(row);
    }
    fn cuda_call(&mut self, row: CudaCallRow) {
        black_box(row);
    }
    fn step(&mut self, row: StepRow) {
        black_box(row);
    }
    fn gpu_ioctl(&mut self, row: GpuIoctlRow) {
        black_box(row);
    }
    fn request(&mut self, row: RequestRow) {
        black_box(row);
    }
    fn token(&mut self, row: TokenRow) {
        black_box(row);
    }
    fn thread(&mut self, life: &Life) {
        black_box(life);
    }
}
