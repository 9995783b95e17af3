//! The ledger's states sum to the wall clock, of a thread and of any window, whatever the rows say.

mod ledger_simulator;

use hostprof::{
    ledger::{Ledger, ThreadLedger, Window, WindowLedger},
    table::{LossRow, OffCpuRow, State, Word},
};
use ledger_simulator::{Machine, Random, Recording, count_short, simulate};
use proptest::prelude::*;

fn ledger(recording: &Recording) -> Vec<ThreadLedger> {
    let mut ledger = Ledger::new(&recording.threads, &recording.loss);
    for row in &recording.off_cpu {
        ledger.off_cpu(row);
    }
    ledger.finish()
}

/// What SQL over `off_cpu` gives, by its documented rule.
fn sql(rows: &[OffCpuRow], tid: u32, state: State) -> u64 {
    let of = rows.iter().filter(|row| row.tid == tid);
    match state {
        State::Preempted | State::Yield | State::Throttled => {
            of.filter(|row| row.state == state).map(|row| row.runqueue_ns).sum()
        }
        State::Runqueue => of.filter(|row| !row.state.is_runnable()).map(|row| row.runqueue_ns).sum(),
        _ => of.filter(|row| row.state == state).map(|row| row.blocked_ns).sum(),
    }
}

fn prop_assert_some(thread: Option<usize>) {
    assert!(thread.is_some(), "a row of no thread");
}

fn machine(seed: u64) -> Machine {
    Machine { seed, cpus: 2, threads: 8, recorded_ns: 100_000_000 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn states_sum_to_the_wall_clock_and_to_what_sql_gives(seed: u64) {
        let recording = simulate(machine(seed));
        for (thread, account) in recording.threads.iter().zip(ledger(&recording)) {
            prop_assert_eq!(account.times.total_ns(), thread.end_mono_ns - thread.begin_mono_ns);
            prop_assert_eq!(account.times.unattributed_ns, 0);
            prop_assert_eq!(account.recorded(), account.times);
            for &state in State::ALL {
                prop_assert_eq!(account.times.off(state), sql(&recording.off_cpu, thread.tid, state));
            }
        }
    }

    #[test]
    fn counted_episodes_are_in_the_account_as_recorded_ones_are(seed: u64, below_us in 1..5_000_u64) {
        let mut recording = simulate(machine(seed));
        let whole = ledger(&recording);
        let counted = count_short(&mut recording, below_us * 1_000);
        let mut ledger = Ledger::new(&recording.threads, &recording.loss);
        for row in &counted {
            prop_assert_some(ledger.off_cpu_count(row));
        }
        recording.off_cpu.iter().for_each(|row| prop_assert_some(ledger.off_cpu(row)));
        prop_assert_eq!(ledger.finish(), whole);
    }

    #[test]
    fn states_sum_to_the_wall_clock_even_of_rows_that_contradict_one_another(seed: u64) {
        let mut recording = simulate(machine(seed));
        let mut random = Random(seed);
        for row in &mut recording.off_cpu {
            match random.between(0, 20) {
                0 => row.blocked_ns += random.between(1, 5_000_000),
                1 => row.ts_mono_ns -= random.between(1, 5_000_000),
                2 => row.runqueue_ns = u64::MAX,
                3 => row.state = State::ALL[random.next() as usize % State::ALL.len()],
                _ => (),
            }
        }
        for (thread, account) in recording.threads.iter().zip(ledger(&recording)) {
            prop_assert_eq!(account.times.total_ns(), thread.end_mono_ns - thread.begin_mono_ns);
        }
    }

    #[test]
    fn windows_that_tile_the_recording_sum_to_the_ledger(seed: u64, windows in 1..20_u64) {
        let recording = simulate(machine(seed));
        let begin_ns = ledger_simulator::BEGIN_NS;
        let step_ns = 100_000_000_u64.div_ceil(windows);
        let tiles: Vec<Window> = (0..windows)
            .map(|at| Window { start_ns: begin_ns + at * step_ns, end_ns: begin_ns + (at + 1) * step_ns })
            .collect();
        let mut in_windows = WindowLedger::new(&tiles);
        let mut ledger = Ledger::new(&recording.threads, &[]);
        for row in &recording.off_cpu {
            ledger.off_cpu_with(row, |piece| in_windows.add(piece));
        }
        let accounts = ledger.finish_with(|piece| in_windows.add(piece));
        let mut sums = vec![0; accounts.len()];
        for share in in_windows.finish() {
            prop_assert!(share.ns <= step_ns);
            sums[share.thread] += share.ns;
        }
        let walls: Vec<u64> = accounts.iter().map(|account| account.wall_ns).collect();
        prop_assert_eq!(sums, walls);
    }
}

#[test]
fn a_gap_in_which_records_of_the_thread_were_lost_is_unattributed() {
    let mut recording = simulate(machine(1));
    let row = recording.off_cpu.remove(100);
    let at = recording.threads.iter().position(|thread| thread.tid == row.tid).unwrap();
    recording.threads[at].lost_switches = 1;
    recording.loss.push(LossRow {
        start_mono_ns: row.ts_mono_ns,
        end_mono_ns: row.ts_mono_ns + 1,
        dropped: 1,
        ..LossRow::default()
    });
    let accounts = ledger(&recording);
    assert!(accounts[at].times.unattributed_ns >= row.blocked_ns + row.runqueue_ns);
    let others = accounts.iter().enumerate().filter(|(other, _)| *other != at);
    assert!(others.into_iter().all(|(_, account)| account.times.unattributed_ns == 0));
}
