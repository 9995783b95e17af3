//! A little scheduler: threads that compute, block, yield, are preempted and move between CPUs, recorded
//! as hostprof records them, with the kernel's counters beside. Everything it yields is exactly consistent.

use std::{cmp::Reverse, collections::BinaryHeap, collections::VecDeque};

use hostprof::table::{LossRow, OffCpuCountRow, OffCpuRow, PageFaultRow, State, ThreadRow, WakeSource};

/// System calls of the states that threads block in here.
const BLOCKING: [(State, Option<i32>); 7] = [
    (State::Futex, Some(202)),
    (State::Poll, Some(232)),
    (State::Read, Some(0)),
    (State::Network, Some(45)),
    (State::Sleep, Some(230)),
    (State::PageFault, None),
    (State::Write, Some(1)),
];

/// The table of states by system call, as far as the simulator goes.
#[allow(dead_code, reason = "each test is a crate of its own, and not all check")]
pub fn state_of(nr: i32) -> State {
    BLOCKING.iter().find(|(_, of)| *of == Some(nr)).map_or(State::SyscallOther, |(state, _)| *state)
}

/// A recording in memory.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    pub threads: Vec<ThreadRow>,
    pub off_cpu: Vec<OffCpuRow>,
    pub page_faults: Vec<PageFaultRow>,
    pub loss: Vec<LossRow>,
}

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    pub seed: u64,
    pub cpus: u16,
    pub threads: u32,
    pub recorded_ns: u64,
}

/// `SplitMix64`: small, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least `low`, below `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }
}

/// When recording begins.
pub const BEGIN_NS: u64 = 1_000_000_000;
/// The first tid; the main thread and process.
pub const FIRST_TID: u32 = 4_711;

#[derive(Clone, Copy, Default)]
struct Counters {
    at_ns: u64,
    nvcsw: u64,
    nivcsw: u64,
    sum_exec_ns: u64,
    run_delay_ns: u64,
    min_flt: u64,
    maj_flt: u64,
}

struct Thread {
    tid: u32,
    begin_ns: u64,
    end_ns: Option<u64>,
    counters: Counters,
    first: Option<Counters>,
    last: Option<Counters>,
    faults_told_ns: u64,
    /// The episode that goes on, while off the CPU.
    row: Option<OffCpuRow>,
    wake_ns: Option<u64>,
    in_ns: u64,
    last_cpu: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The CPU's thread has run as long as it will.
    Stop(u16),
    Wake(usize),
}

struct Simulation {
    machine: Machine,
    random: Random,
    now_ns: u64,
    threads: Vec<Thread>,
    running: Vec<Option<usize>>,
    queue: VecDeque<usize>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    number: u64,
    recording: Recording,
}

/// Runs a machine and records it.
pub fn simulate(machine: Machine) -> Recording {
    let mut simulation = Simulation {
        machine,
        random: Random(machine.seed),
        now_ns: BEGIN_NS - 20_000_000,
        threads: Vec::new(),
        running: vec![None; machine.cpus.into()],
        queue: VecDeque::new(),
        events: BinaryHeap::new(),
        number: 0,
        recording: Recording::default(),
    };
    for _ in 0..machine.threads {
        simulation.make_thread();
    }
    simulation.run();
    simulation.finish()
}

impl Simulation {
    fn at(&mut self, ns: u64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((ns, self.number, event)));
    }

    fn recording(&self) -> bool {
        self.now_ns >= BEGIN_NS
    }

    fn end_ns(&self) -> u64 {
        BEGIN_NS + self.machine.recorded_ns
    }

    /// A new thread, waiting for its first CPU.
    fn make_thread(&mut self) {
        let tid = FIRST_TID + self.threads.len() as u32;
        let now_ns = self.now_ns;
        let zero = Counters { at_ns: now_ns, ..Counters::default() };
        self.threads.push(Thread {
            tid,
            begin_ns: now_ns.max(BEGIN_NS),
            end_ns: None,
            counters: zero,
            first: self.recording().then_some(zero),
            last: None,
            faults_told_ns: now_ns,
            row: Some(OffCpuRow {
                ts_mono_ns: now_ns,
                tid,
                tgid: FIRST_TID,
                state: State::Runqueue,
                wake_source: Some(WakeSource::New),
                waker_tid: Some(FIRST_TID),
                ..OffCpuRow::default()
            }),
            wake_ns: Some(now_ns),
            in_ns: 0,
            last_cpu: 0,
        });
        self.queue.push_back(self.threads.len() - 1);
    }

    fn run(&mut self) {
        let mut seeded = false;
        self.dispatch_idle();
        while let Some(&Reverse((at_ns, _, event))) = self.events.peek() {
            if !seeded && at_ns >= BEGIN_NS {
                self.adopt();
                seeded = true;
            }
            if at_ns > self.end_ns() {
                break;
            }
            self.events.pop();
            self.now_ns = at_ns;
            match event {
                Event::Stop(cpu) => self.stop(cpu),
                Event::Wake(thread) => self.wake(thread),
            }
            self.dispatch_idle();
        }
    }

    /// Recording begins: threads that are off the CPU have an episode that is open at the start.
    fn adopt(&mut self) {
        for cpu in 0..self.machine.cpus {
            if let Some(at) = self.running[usize::from(cpu)]
                && self.threads[at].in_ns <= BEGIN_NS
            {
                self.settle_in(at, cpu);
            }
        }
        for thread in &mut self.threads {
            if let Some(row) = &mut thread.row {
                row.ts_mono_ns = BEGIN_NS;
                row.open_start = true;
                row.cpu_out = None;
                // What a runnable thread waits for cannot be told from outside.
                if row.state == State::Runqueue || row.state.is_runnable() {
                    row.state = State::Other;
                }
                thread.wake_ns = thread.wake_ns.map(|ns| ns.max(BEGIN_NS));
            }
            thread.faults_told_ns = BEGIN_NS;
        }
    }

    fn wake(&mut self, at: usize) {
        let now_ns = self.now_ns;
        let others: Vec<u32> = self.running.iter().flatten().map(|&other| self.threads[other].tid).collect();
        let by =
            if others.is_empty() { None } else { Some(others[self.random.next() as usize % others.len()]) };
        let thread = &mut self.threads[at];
        thread.wake_ns = Some(now_ns);
        if let Some(row) = &mut thread.row {
            let by_task = by.filter(|_| row.state != State::Sleep);
            row.wake_source = Some(if by_task.is_some() { WakeSource::Task } else { WakeSource::Irq });
            row.waker_tid = by_task;
        }
        self.queue.push_back(at);
    }

    /// Gives idle CPUs to waiting threads, after the time an idle CPU takes to wake.
    fn dispatch_idle(&mut self) {
        loop {
            let idle: Vec<u16> =
                (0..self.machine.cpus).filter(|&cpu| self.running[usize::from(cpu)].is_none()).collect();
            if idle.is_empty() {
                return;
            }
            let Some(next) = self.queue.pop_front() else { return };
            let cpu = idle[self.random.next() as usize % idle.len()];
            let in_ns = self.now_ns + self.random.between(1_000, 30_000);
            self.switch_in(next, cpu, in_ns);
        }
    }

    fn switch_in(&mut self, at: usize, cpu: u16, in_ns: u64) {
        self.running[usize::from(cpu)] = Some(at);
        let burst_ns = if self.random.one_in(20) {
            self.random.between(200_000, 4_000_000)
        } else {
            self.random.between(5_000, 200_000)
        };
        let thread = &mut self.threads[at];
        thread.in_ns = in_ns;
        thread.last_cpu = cpu;
        self.at(in_ns + burst_ns, Event::Stop(cpu));
    }

    /// Writes the row of a thread that came back to a CPU, now that it is certain that it did.
    fn settle_in(&mut self, at: usize, cpu: u16) {
        let noise_ns = self.random.between(0, 3_000);
        let thread = &mut self.threads[at];
        let Some(mut row) = thread.row.take() else { return };
        let wake_ns = thread.wake_ns.take();
        let ready_ns = wake_ns.map_or(row.ts_mono_ns, |ns| ns.max(row.ts_mono_ns));
        row.blocked_ns = ready_ns - row.ts_mono_ns;
        row.runqueue_ns = thread.in_ns - ready_ns;
        row.cpu_in = Some(cpu);
        thread.counters.run_delay_ns += row.runqueue_ns.saturating_sub(noise_ns);
        if thread.in_ns > BEGIN_NS {
            self.recording.off_cpu.push(row);
        }
    }

    fn stop(&mut self, cpu: u16) {
        let Some(at) = self.running[usize::from(cpu)].take() else { return };
        self.settle_in(at, cpu);
        let now_ns = self.now_ns;
        let exits = at > 3 && self.recording() && self.random.one_in(300);
        let kind = self.random.between(0, 10);
        let (state, nr) = match kind {
            _ if exits => (State::Exit, None),
            0 | 1 => (State::Preempted, None),
            2 => (State::Yield, Some(24)),
            _ => BLOCKING[self.random.next() as usize % BLOCKING.len()],
        };
        let voluntary = !state.is_runnable();
        let faults = if self.random.one_in(5) { self.random.between(1, 40) } else { 0 };
        let major = state == State::PageFault && self.random.one_in(2);
        let blocked_ns = self.random.between(20_000, 3_000_000);
        let noise_ns = self.random.between(0, 2_000);
        let address = 0x7f00_0000_1000 + 64 * self.random.between(0, 5);
        let recording = self.recording();

        let thread = &mut self.threads[at];
        thread.counters.at_ns = now_ns;
        thread.counters.nvcsw += u64::from(voluntary);
        thread.counters.nivcsw += u64::from(!voluntary);
        thread.counters.sum_exec_ns += (now_ns - thread.in_ns).saturating_sub(noise_ns);
        if recording {
            let first = *thread.first.get_or_insert(Counters {
                // Faults up to the first switch are in its reading already.
                min_flt: thread.counters.min_flt + faults,
                maj_flt: thread.counters.maj_flt + u64::from(major),
                ..thread.counters
            });
            let counted = first.at_ns < now_ns && (faults > 0 || major);
            if counted {
                self.recording.page_faults.push(PageFaultRow {
                    ts_mono_ns: thread.faults_told_ns,
                    dur_ns: now_ns - thread.faults_told_ns,
                    tid: thread.tid,
                    tgid: FIRST_TID,
                    minor: faults,
                    major: u64::from(major),
                });
            }
            thread.faults_told_ns = now_ns;
        }
        thread.counters.min_flt += faults;
        thread.counters.maj_flt += u64::from(major);
        if recording {
            thread.last = Some(thread.counters);
        }
        let row = OffCpuRow {
            ts_mono_ns: now_ns,
            tid: thread.tid,
            tgid: FIRST_TID,
            state,
            syscall_nr: nr,
            arg0: nr.map(|_| address),
            voluntary,
            major,
            cpu_out: Some(cpu),
            ..OffCpuRow::default()
        };
        if exits {
            thread.end_ns = Some(now_ns);
            self.recording.off_cpu.push(row);
        } else {
            thread.row = Some(row);
            if voluntary {
                self.at(now_ns + blocked_ns, Event::Wake(at));
            } else {
                self.queue.push_back(at);
            }
        }
        if recording && self.random.one_in(400) {
            self.make_thread();
        }
        // The next thread begins at the very instant the last one leaves.
        if let Some(next) = self.queue.pop_front() {
            self.switch_in(next, cpu, now_ns);
        }
    }

    /// Recording ends: what is off the CPU stays open.
    fn finish(mut self) -> Recording {
        let end_ns = self.end_ns();
        for cpu in 0..self.machine.cpus {
            if let Some(at) = self.running[usize::from(cpu)]
                && self.threads[at].in_ns <= end_ns
            {
                self.settle_in(at, cpu);
            }
        }
        self.recording.off_cpu.sort_by_key(end_of);
        for thread in &mut self.threads {
            let Some(mut row) = thread.row.take() else { continue };
            let wake_ns = thread.wake_ns.unwrap_or(end_ns);
            let ready_ns = if row.state.is_runnable() { row.ts_mono_ns } else { wake_ns.max(row.ts_mono_ns) };
            row.blocked_ns = ready_ns - row.ts_mono_ns;
            row.runqueue_ns = end_ns - ready_ns;
            row.open_end = true;
            self.recording.off_cpu.push(row);
        }
        self.recording.threads = self.threads.iter().map(|thread| thread_row(thread, end_ns)).collect();
        self.recording
    }
}

fn thread_row(thread: &Thread, end_ns: u64) -> ThreadRow {
    let (first, last) = (thread.first, thread.last);
    ThreadRow {
        tid: thread.tid,
        tgid: FIRST_TID,
        comm: "llama-server".to_owned(),
        exit_mono_ns: thread.end_ns,
        begin_mono_ns: thread.begin_ns,
        end_mono_ns: thread.end_ns.unwrap_or(end_ns),
        first_mono_ns: first.map(|counters| counters.at_ns),
        last_mono_ns: last.map(|counters| counters.at_ns),
        nvcsw_first: first.map(|counters| counters.nvcsw),
        nvcsw_last: last.map(|counters| counters.nvcsw),
        nivcsw_first: first.map(|counters| counters.nivcsw),
        nivcsw_last: last.map(|counters| counters.nivcsw),
        sum_exec_ns_first: first.map(|counters| counters.sum_exec_ns),
        sum_exec_ns_last: last.map(|counters| counters.sum_exec_ns),
        run_delay_ns_first: first.map(|counters| counters.run_delay_ns),
        run_delay_ns_last: last.map(|counters| counters.run_delay_ns),
        min_flt_first: first.map(|counters| counters.min_flt),
        min_flt_last: last.map(|counters| counters.min_flt),
        maj_flt_first: first.map(|counters| counters.maj_flt),
        maj_flt_last: last.map(|counters| counters.maj_flt),
        ..ThreadRow::default()
    }
}

/// When a row's thread was switched in again.
pub fn end_of(row: &OffCpuRow) -> u64 {
    row.ts_mono_ns + row.blocked_ns + row.runqueue_ns
}

/// Counts the episodes below a length as the kernel half does: not a thread's first or last, nor those open at an end.
#[allow(dead_code, reason = "each test is a crate of its own")]
pub fn count_short(recording: &mut Recording, below_ns: u64) -> Vec<OffCpuCountRow> {
    const INTERVAL_NS: u64 = 10_000_000;
    let mut counted: Vec<OffCpuCountRow> = Vec::new();
    for thread in &recording.threads {
        let of = |row: &OffCpuRow| row.tid == thread.tid;
        let Some(last) = recording.off_cpu.iter().rposition(of) else { continue };
        let mut at = 0;
        recording.off_cpu.retain(|row| {
            let keep = !of(row)
                || at == last
                || row.open_start
                || matches!(row.state, State::Exit | State::Runqueue)
                || thread.first_mono_ns.is_none_or(|first_ns| row.ts_mono_ns <= first_ns)
                || row.blocked_ns + row.runqueue_ns >= below_ns;
            at += 1;
            if keep {
                return true;
            }
            let alike = |sum: &OffCpuCountRow| {
                (sum.tid, sum.state, sum.syscall_nr, sum.voluntary)
                    == (row.tid, row.state, row.syscall_nr, row.voluntary)
                    && row.ts_mono_ns < sum.ts_mono_ns + INTERVAL_NS
            };
            let place = counted.iter().position(alike);
            let place = place.unwrap_or_else(|| {
                counted.push(OffCpuCountRow {
                    ts_mono_ns: row.ts_mono_ns,
                    tid: row.tid,
                    tgid: row.tgid,
                    state: row.state,
                    syscall_nr: row.syscall_nr,
                    voluntary: row.voluntary,
                    ..OffCpuCountRow::default()
                });
                counted.len() - 1
            });
            let sum = &mut counted[place];
            sum.dur_ns = end_of(row) - sum.ts_mono_ns;
            sum.episodes += 1;
            sum.blocked_ns += row.blocked_ns;
            sum.runqueue_ns += row.runqueue_ns;
            false
        });
    }
    counted
}
