//! Made-up `off_cpu` streams with the traits of real ones: what to size files and readers with where no
//! kernel is at hand. Rows come in end order, as the collector's do.

use std::collections::VecDeque;

use hostprof::table::{OffCpuRow, State, WakeSource};

/// Repeatable random numbers (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Between 0 and 1.
    fn ratio(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.ratio()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.ratio()).cos()
    }

    /// A time around `median` nanoseconds; `spread` is the standard deviation of its logarithm.
    fn time(&mut self, median: f64, spread: f64) -> u64 {
        (median * (spread * self.normal()).exp()) as u64
    }
}

const START: u64 = 86_400_000_000_000;

/// Two processes on one CPU that wake each other through pipes (`perf bench sched pipe`): a switch every
/// 3 µs, one in a hundred late.
pub fn ping_pong(rows: usize) -> impl Iterator<Item = OffCpuRow> {
    let mut random = Random::new(1);
    let mut out = START;
    (0..rows).map(move |row| {
        let late = if random.below(100) == 0 { random.time(4_000.0, 1.0) } else { 0 };
        let blocked_ns = random.time(900.0, 0.07) + late;
        let runqueue_ns = random.time(2_100.0, 0.05);
        let side = row as u64 % 2;
        let ts_mono_ns = out;
        out += blocked_ns + runqueue_ns;
        OffCpuRow {
            ts_mono_ns,
            tid: 4_100 + side as u32,
            tgid: 4_100 + side as u32,
            state: State::Read,
            syscall_nr: Some(0),
            arg0: Some(3 + 2 * side),
            arg1: Some(0x7ffd_3e5a_1b7c),
            blocked_ns,
            runqueue_ns,
            voluntary: true,
            wake_source: Some(WakeSource::Task),
            waker_tid: Some(4_101 - side as u32),
            cpu_out: Some(1),
            cpu_in: Some(1),
            ..OffCpuRow::default()
        }
    })
}

const THREADS: usize = 40;

/// Forty processes on two CPUs that send to one another through sockets (`perf bench sched messaging`).
pub struct Messaging {
    random: Random,
    left: usize,
    /// When each CPU is free.
    free: [u64; 2],
    runnable: VecDeque<OffCpuRow>,
    blocked: Vec<OffCpuRow>,
}

/// See [`Messaging`].
pub fn messaging(rows: usize) -> Messaging {
    let blocked = (0..THREADS).map(|thread| row(thread, START, 0)).collect();
    Messaging { random: Random::new(2), left: rows, free: [START; 2], runnable: VecDeque::new(), blocked }
}

fn row(thread: usize, out: u64, cpu: u16) -> OffCpuRow {
    OffCpuRow {
        ts_mono_ns: out,
        tid: 5_000 + thread as u32,
        tgid: 5_000 + thread as u32,
        cpu_out: Some(cpu),
        ..OffCpuRow::default()
    }
}

impl Messaging {
    fn wake_one(&mut self, at: u64, waker: Option<u32>) {
        if self.blocked.is_empty() {
            return;
        }
        let index = self.random.below(self.blocked.len() as u64) as usize;
        let mut row = self.blocked.swap_remove(index);
        row.blocked_ns = at.saturating_sub(row.ts_mono_ns);
        row.wake_source = Some(if waker.is_some() { WakeSource::Task } else { WakeSource::Irq });
        row.waker_tid = waker;
        self.runnable.push_back(row);
    }
}

impl Iterator for Messaging {
    type Item = OffCpuRow;

    fn next(&mut self) -> Option<OffCpuRow> {
        self.left = self.left.checked_sub(1)?;
        let cpu = usize::from(self.free[1] < self.free[0]);
        let now = self.free[cpu];
        if self.runnable.is_empty() {
            self.wake_one(now, None);
        }
        let mut row = self.runnable.pop_front()?;
        let end = now.max(row.ts_mono_ns + row.blocked_ns) + self.random.time(1_200.0, 0.2);
        row.runqueue_ns = end - row.ts_mono_ns - row.blocked_ns;
        row.cpu_in = Some(cpu as u16);

        let tid = row.tid;
        let out = end + self.random.time(6_000.0, 0.8);
        for _ in 0..self.random.below(4) {
            let at = end + self.random.below(out - end);
            self.wake_one(at, Some(tid));
        }
        self.free[cpu] = out;
        let mut next = self::row(tid as usize - 5_000, out, cpu as u16);
        if self.random.below(20) == 0 {
            next.state = State::Preempted;
            self.runnable.push_back(next);
        } else {
            let writes = self.random.below(4) == 0;
            next.state = if writes { State::Write } else { State::Read };
            next.syscall_nr = Some(i32::from(writes));
            next.arg0 = Some(if writes { 4 + self.random.below(20) } else { 3 + u64::from(tid % 20) });
            next.arg1 = Some(0x7ffd_0000_1b00 + u64::from(tid) * 0x11_1000);
            next.voluntary = true;
            self.blocked.push(next);
        }
        Some(row)
    }
}
