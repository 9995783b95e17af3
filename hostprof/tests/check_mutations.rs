//! `check` passes what is true, and fails what is not and names the thread.

mod ledger_simulator;

use std::collections::BTreeSet;

use hostprof::{
    check::{Call, Check, Findings, Lane, Rule, ThreadFinding, Verdict},
    table::{LossRow, OffCpuCountRow, OffCpuRow, State},
};
use ledger_simulator::{Machine, Random, Recording, count_short, end_of, simulate, state_of};
use proptest::prelude::*;

fn check(recording: &Recording) -> Findings {
    let mut check = Check::new(&recording.threads, &recording.loss, true, state_of);
    recording.off_cpu.iter().for_each(|row| check.off_cpu(row));
    recording.page_faults.iter().for_each(|row| check.page_fault(row));
    check.finish(true)
}

/// Checks a recording of which a part was counted.
fn check_counted(recording: &Recording, counted: &[OffCpuCountRow]) -> Findings {
    let mut check = Check::new(&recording.threads, &recording.loss, true, state_of);
    for row in counted {
        check.off_cpu_count(row);
    }
    recording.off_cpu.iter().for_each(|row| check.off_cpu(row));
    recording.page_faults.iter().for_each(|row| check.page_fault(row));
    check.finish(true)
}

fn failed_tids(findings: &Findings) -> BTreeSet<u32> {
    findings.failures.iter().map(|finding| finding.tid).collect()
}

fn machine() -> impl Strategy<Value = Machine> {
    (any::<u64>(), 2..=4_u16, 4..14_u32).prop_map(|(seed, cpus, threads)| Machine {
        seed,
        cpus,
        threads,
        recorded_ns: 400_000_000,
    })
}

/// One row in a thousand, chosen by seed, at least one; not those open at the start, which no counter tells.
fn drop_rows(recording: &mut Recording, seed: u64) -> BTreeSet<u32> {
    let mut random = Random(seed);
    let mut dropped = BTreeSet::new();
    for _ in 0..recording.off_cpu.len().div_ceil(1000) {
        let at = random.next() as usize % recording.off_cpu.len();
        let row = &recording.off_cpu[at];
        if !row.open_start && row.state != State::Runqueue {
            dropped.insert(recording.off_cpu.remove(at).tid);
        }
    }
    dropped
}

/// Two rows of one thread exchange their states.
fn swap_states(recording: &mut Recording, seed: u64) -> Option<u32> {
    let plain = |row: &OffCpuRow| !row.open_start && !row.open_end && row.state != State::Exit;
    let rows = &mut recording.off_cpu;
    let from = Random(seed).next() as usize % rows.len();
    let one = (from..rows.len()).find(|&at| plain(&rows[at]) && rows[at].state != State::Runqueue)?;
    let (tid, state) = (rows[one].tid, rows[one].state);
    let other = (one + 1..rows.len()).find(|&at| {
        let row = &rows[at];
        row.tid == tid && row.state != state && plain(row) && row.state != State::Runqueue
    })?;
    rows[one].state = rows[other].state;
    rows[other].state = state;
    Some(tid)
}

/// All that was stamped on one CPU is 1 ms late; answers which threads were there.
fn shift_clock(recording: &mut Recording, cpu: u16) -> BTreeSet<u32> {
    const SHIFT_NS: u64 = 1_000_000;
    let shift = |on: Option<u16>| if on == Some(cpu) { SHIFT_NS } else { 0 };
    let mut there = BTreeSet::new();
    for row in &mut recording.off_cpu {
        if row.cpu_out == Some(cpu) || row.cpu_in == Some(cpu) {
            there.insert(row.tid);
        }
        let wake_ns = row.ts_mono_ns + row.blocked_ns;
        let in_ns = end_of(row) + shift(row.cpu_in);
        row.ts_mono_ns += shift(row.cpu_out);
        let runnable = row.state.is_runnable();
        let ready_ns = if runnable { row.ts_mono_ns } else { wake_ns.max(row.ts_mono_ns) };
        row.blocked_ns = ready_ns - row.ts_mono_ns;
        row.runqueue_ns = in_ns.saturating_sub(ready_ns);
    }
    recording.off_cpu.sort_by_key(end_of);
    there
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_true_recording_passes(machine in machine()) {
        let recording = simulate(machine);
        let findings = check(&recording);
        prop_assert_eq!(findings.verdict, Verdict::Pass, "{}", findings);
        prop_assert!(findings.threads_compared + 2 >= recording.threads.len(), "{}", findings);
        prop_assert!(recording.off_cpu.len() > 1000, "{} rows", recording.off_cpu.len());
    }

    #[test]
    fn a_true_recording_passes_whatever_is_counted_of_it(machine in machine(), below_us in 1..20_000_u64) {
        let mut recording = simulate(machine);
        let episodes = recording.off_cpu.len() as u64;
        let counted = count_short(&mut recording, below_us * 1_000);
        let findings = check_counted(&recording, &counted);
        prop_assert_eq!(findings.verdict, Verdict::Pass, "{}", findings);
        prop_assert_eq!(findings.counted + findings.episodes, episodes);
    }

    #[test]
    fn one_counted_episode_too_few_fails_and_names_the_thread(machine in machine(), seed: u64) {
        let mut recording = simulate(machine);
        let mut counted = count_short(&mut recording, 500_000);
        prop_assume!(!counted.is_empty());
        let at = seed as usize % counted.len();
        counted[at].episodes -= 1;
        let findings = check_counted(&recording, &counted);
        prop_assert_eq!(failed_tids(&findings), BTreeSet::from([counted[at].tid]), "{}", findings);
    }

    #[test]
    fn counted_time_that_is_not_the_kernels_fails(machine in machine(), seed: u64) {
        let mut recording = simulate(machine);
        let mut counted = count_short(&mut recording, 2_000_000);
        counted.retain(|row| row.dur_ns > row.blocked_ns + row.runqueue_ns + 5_000_000);
        prop_assume!(!counted.is_empty());
        let at = seed as usize % counted.len();
        counted[at].dur_ns = 1;
        let findings = check_counted(&recording, &counted);
        prop_assert!(failed_tids(&findings).contains(&counted[at].tid), "{}", findings);
    }

    #[test]
    fn a_row_in_a_thousand_dropped_fails_and_names_the_thread(machine in machine(), seed: u64) {
        let mut recording = simulate(machine);
        let dropped = drop_rows(&mut recording, seed);
        let findings = check(&recording);
        prop_assert!(dropped.is_subset(&failed_tids(&findings)), "{:?}\n{}", dropped, findings);
    }

    #[test]
    fn two_states_swapped_fail_and_name_the_thread(machine in machine(), seed: u64) {
        let mut recording = simulate(machine);
        if let Some(tid) = swap_states(&mut recording, seed) {
            prop_assert_eq!(failed_tids(&check(&recording)), BTreeSet::from([tid]));
        }
    }

    #[test]
    fn futex_and_poll_exchanged_everywhere_fail(machine in machine()) {
        let mut recording = simulate(machine);
        let mut touched = BTreeSet::new();
        for row in &mut recording.off_cpu {
            row.state = match row.state {
                State::Futex => State::Poll,
                State::Poll => State::Futex,
                other => other,
            };
            if matches!(row.state, State::Futex | State::Poll) {
                touched.insert(row.tid);
            }
        }
        prop_assert_eq!(failed_tids(&check(&recording)), touched);
    }

    #[test]
    fn a_cpus_clock_shifted_by_a_millisecond_fails_and_names_threads_that_were_there(
        machine in machine(),
        cpu in 0..2_u16,
    ) {
        let mut recording = simulate(machine);
        let there = shift_clock(&mut recording, cpu);
        let findings = check(&recording);
        prop_assert_eq!(findings.verdict, Verdict::Fail);
        let was_there = |finding: &&ThreadFinding| there.contains(&finding.tid);
        prop_assert!(findings.failures.iter().any(|finding| was_there(&finding)), "{}", findings);
        // A thread that was not is named only as the other party of one that was.
        for finding in findings.failures.iter().filter(|finding| !was_there(finding)) {
            let only = finding.breaches.iter().all(|breach| breach.rule == Rule::CpuExclusive);
            prop_assert!(only, "{}", findings);
        }
    }
}

const ONE: Machine = Machine { seed: 7, cpus: 2, threads: 6, recorded_ns: 300_000_000 };

fn rules(findings: &Findings) -> Vec<Rule> {
    findings.failures.iter().flat_map(|finding| finding.breaches.iter().map(|breach| breach.rule)).collect()
}

#[test]
fn a_row_lost_and_known_to_be_lost_leaves_the_verdict_undecided() {
    let mut recording = simulate(ONE);
    let at = recording.off_cpu.len() / 2;
    let row = recording.off_cpu.remove(at);
    let thread = recording.threads.iter_mut().find(|thread| thread.tid == row.tid).unwrap();
    thread.lost_switches = 1;
    recording.loss.push(LossRow {
        start_mono_ns: row.ts_mono_ns,
        end_mono_ns: end_of(&row),
        probe: "off_cpu".into(),
        dropped: 1,
        reason: "full".into(),
        ..LossRow::default()
    });
    let findings = check(&recording);
    assert_eq!(findings.verdict, Verdict::Undecided, "{findings}");
    assert_eq!(findings.failures, []);
}

#[test]
fn loss_does_not_excuse_a_thread_whose_count_has_no_gap() {
    let mut recording = simulate(ONE);
    let (one, other) = (recording.threads[0].tid, recording.threads[1].tid);
    recording.threads[0].lost_switches = 1;
    for tid in [one, other] {
        let at = recording.off_cpu.iter().rposition(|row| row.tid == tid && !row.open_end).unwrap();
        recording.off_cpu.remove(at);
    }
    recording.loss.push(LossRow { dropped: 1, reason: "full".into(), ..LossRow::default() });
    let findings = check(&recording);
    assert_eq!(findings.verdict, Verdict::Fail, "{findings}");
    assert_eq!(failed_tids(&findings), BTreeSet::from([other]));
}

#[test]
fn missing_switches_that_no_row_of_loss_tells_fail() {
    let mut recording = simulate(ONE);
    let tid = recording.threads[0].tid;
    let at = recording.off_cpu.iter().rposition(|row| row.tid == tid && !row.open_end).unwrap();
    recording.off_cpu.remove(at);
    recording.threads[0].lost_switches = 1;
    let findings = check(&recording);
    assert_eq!((findings.verdict, failed_tids(&findings)), (Verdict::Fail, BTreeSet::from([tid])));
    assert_eq!(rules(&findings), [Rule::LossTold], "{findings}");
}

#[test]
fn a_recording_with_no_counters_is_undecided() {
    let mut recording = simulate(ONE);
    for thread in &mut recording.threads {
        (thread.nvcsw_last, thread.sum_exec_ns_last) = (None, None);
    }
    let findings = check(&recording);
    assert_eq!((findings.verdict, findings.threads_compared), (Verdict::Undecided, 0));
}

#[test]
fn rows_of_a_thread_that_was_never_seen_fail() {
    let mut recording = simulate(ONE);
    let gone = recording.threads.remove(0).tid;
    let findings = check(&recording);
    assert_eq!(findings.verdict, Verdict::Fail);
    assert!(findings.strangers.contains_key(&gone));
}

#[test]
fn a_thread_that_outstays_the_next_on_its_cpu_is_named() {
    let mut recording = simulate(ONE);
    // The switch-out of a thread that another displaced at once, made to seem 3 µs later.
    let outs: BTreeSet<(u64, Option<u16>)> =
        recording.off_cpu.iter().map(|row| (end_of(row), row.cpu_in)).collect();
    let row = recording
        .off_cpu
        .iter_mut()
        .find(|row| row.state == State::Futex && outs.contains(&(row.ts_mono_ns, row.cpu_out)))
        .unwrap();
    row.ts_mono_ns += 3_000;
    row.blocked_ns -= 3_000;
    let tid = row.tid;
    let findings = check(&recording);
    assert!(failed_tids(&findings).contains(&tid), "{findings}");
    assert!(rules(&findings).contains(&Rule::CpuExclusive), "{findings}");
}

#[test]
fn page_faults_that_no_row_tells_fail() {
    let mut recording = simulate(ONE);
    let tid = recording.page_faults.remove(10).tid;
    let findings = check(&recording);
    assert_eq!(failed_tids(&findings), BTreeSet::from([tid]), "{findings}");
    assert!(rules(&findings).iter().all(|rule| matches!(rule, Rule::MinorFaults | Rule::MajorFaults)));
}

#[test]
fn a_failure_reads_as_a_line() {
    let mut recording = simulate(ONE);
    let at = recording.off_cpu.iter().rposition(|row| row.state == State::Futex && !row.open_end).unwrap();
    recording.off_cpu.remove(at);
    insta::assert_snapshot!(check(&recording).to_string());
}

/// Checks a recording in which every third episode is a call of its own, one of them by `off_by` too long.
fn check_calls(recording: &Recording, wrong: Option<usize>, off_by: u64) -> Findings {
    let mut check = Check::new(&recording.threads, &recording.loss, true, state_of);
    check.expect_calls(true, false, false);
    for (at, row) in recording.off_cpu.iter().enumerate() {
        check.off_cpu(row);
        let told_ns = row.blocked_ns + row.runqueue_ns + if wrong == Some(at) { off_by } else { 0 };
        if at % 3 == 0 {
            check.call(&Call {
                tid: row.tid,
                enter_ns: row.ts_mono_ns,
                exit_ns: end_of(row),
                off_cpu_ns: Some(told_ns),
                lane: Lane::System,
            });
        }
    }
    recording.page_faults.iter().for_each(|row| check.page_fault(row));
    check.finish(true)
}

#[test]
fn a_call_whose_time_off_the_cpu_is_a_nanosecond_off_fails_and_names_the_thread() {
    let recording = simulate(Machine { seed: 5, cpus: 2, threads: 6, recorded_ns: 100_000_000 });
    let findings = check_calls(&recording, None, 1);
    assert_eq!(findings.verdict, Verdict::Pass, "{findings}");
    assert_eq!(findings.calls_seen, recording.off_cpu.len().div_ceil(3) as u64);
    assert_eq!(findings.calls_compared, findings.calls_seen);
    let wrong = recording.off_cpu.len() / 6 * 3;
    let findings = check_calls(&recording, Some(wrong), 1);
    assert_eq!(findings.verdict, Verdict::Fail);
    assert_eq!(failed_tids(&findings), BTreeSet::from([recording.off_cpu[wrong].tid]));
    assert_eq!(findings.failures[0].breaches[0].rule, Rule::CallOffCpu);
    assert!(findings.to_string().contains("to the nanosecond: 1 other"), "{findings}");
}
