//! Rows like those of a server under load, made up: identical ones would tell nothing, since files would shrink to
//! nothing and every branch be foreseen.
//!
//! Threads of three processes with their own habits, on two CPUs: lengths over five orders of magnitude, wakers and futexes
//! that recur but not in turn, ends that come at irregular times. The same rows each time.

use fastrand::Rng;
use hostprof::table::{FdKind, OffCpuRow, State, WakeSource};

const SEED: u64 = 5;
/// Time between two episodes of the process, on average.
const EVERY_NS: f64 = 8_000.0;
const FIRST_TID: u32 = 4_700;

/// What threads of a kind do.
struct Habit {
    threads: u32,
    /// How often one of them is next, of all weights.
    weight: u32,
    state: State,
    syscall_nr: Option<i32>,
    /// Median time blocked.
    blocked_ns: f64,
    /// Who wakes them, and how many others there are to do it.
    woken: Option<WakeSource>,
    /// Different first arguments.
    arguments: u64,
}

/// Compute threads at a barrier, what pre-empts them, workers that wait for sockets, a queue, a log and a timer.
const HABITS: [Habit; 7] = [
    Habit::of(8, 60, State::Futex, Some(202), 40e3, Some(WakeSource::Task), 3),
    Habit::of(8, 12, State::Preempted, None, 0.0, None, 1),
    Habit::of(24, 10, State::Poll, Some(232), 2e6, Some(WakeSource::Irq), 9),
    Habit::of(24, 8, State::Futex, Some(202), 300e3, Some(WakeSource::Task), 40),
    Habit::of(12, 5, State::Network, Some(45), 900e3, Some(WakeSource::Task), 70),
    Habit::of(2, 3, State::Write, Some(1), 20e3, Some(WakeSource::Irq), 2),
    Habit::of(6, 2, State::Sleep, Some(230), 5e6, Some(WakeSource::Irq), 1),
];

impl Habit {
    const fn of(
        threads: u32,
        weight: u32,
        state: State,
        syscall_nr: Option<i32>,
        blocked_ns: f64,
        woken: Option<WakeSource>,
        arguments: u64,
    ) -> Self {
        Self { threads, weight, state, syscall_nr, blocked_ns, woken, arguments }
    }
}

/// So many rows, in the order of their ends.
pub fn rows(count: usize) -> impl Iterator<Item = OffCpuRow> {
    let mut random = Rng::with_seed(SEED);
    let mut now_ns = 1_000_000_000_000_u64;
    let weights: u32 = HABITS.iter().map(|habit| habit.weight).sum();
    // When each thread last came back.
    let mut back_ns = vec![now_ns; (HABITS.iter().map(|habit| habit.threads).sum::<u32>()) as usize];
    (0..count).map(move |_| {
        now_ns += 200 + (-random.f64().max(1e-9).ln() * EVERY_NS) as u64;
        let mut turn = random.u32(0..weights);
        let mut first = 0;
        let mut habit = &HABITS[0];
        for next in &HABITS {
            habit = next;
            if turn < next.weight {
                break;
            }
            turn -= next.weight;
            first += next.threads;
        }
        let thread = first + random.u32(0..habit.threads);
        let row = row(&mut random, habit, thread, now_ns, now_ns - back_ns[thread as usize]);
        back_ns[thread as usize] = now_ns;
        row
    })
}

/// An episode of a thread that ends now, and has been back for `since_ns`.
fn row(random: &mut Rng, habit: &Habit, thread: u32, now_ns: u64, since_ns: u64) -> OffCpuRow {
    let runqueue_ns = spread(random, 3_000.0).min(since_ns / 4);
    let blocked_ns =
        if habit.blocked_ns > 0.0 { spread(random, habit.blocked_ns).min(since_ns / 2) } else { 0 };
    let process = thread % 3;
    let cpu = random.u16(0..2);
    let argument = random.u64(0..habit.arguments);
    let is_futex = habit.state == State::Futex;
    OffCpuRow {
        ts_mono_ns: now_ns - runqueue_ns - blocked_ns,
        tid: FIRST_TID + thread,
        tgid: FIRST_TID + process,
        state: habit.state,
        syscall_nr: habit.syscall_nr,
        arg0: habit
            .syscall_nr
            .map(|_| if is_futex { 0x7f31_c400_1000 + 64 * argument } else { 5 + argument }),
        arg1: habit.syscall_nr.map(|_| if is_futex { 0x80 } else { argument << 4 }),
        fd_kind: (!is_futex && habit.syscall_nr.is_some()).then_some(FdKind::Socket),
        blocked_ns,
        runqueue_ns,
        voluntary: habit.syscall_nr.is_some(),
        wake_source: habit.woken,
        waker_tid: (habit.woken == Some(WakeSource::Task)).then(|| FIRST_TID + random.u32(0..habit.threads)),
        cpu_out: Some(cpu),
        cpu_in: Some(if random.u8(0..8) == 0 { 1 - cpu } else { cpu }),
        ..OffCpuRow::default()
    }
}

/// A length of about `median_ns`, as waits are spread: most near it, some a hundred times as long.
fn spread(random: &mut Rng, median_ns: f64) -> u64 {
    let normal = (0..6).map(|_| random.f64()).sum::<f64>() - 3.0;
    (median_ns * (1.6 * normal).exp()) as u64
}
