//! Every rule on made rows: what was planted is named, and nothing where nothing was.

use super::*;
use crate::{
    ledger::{Replay, Window},
    story::{
        Beside, Handoff, InFlight,
        path::{
            path,
            tests::{row, scene, threads},
        },
    },
    table::{FdKind, OffCpuRow, ThreadRow},
};

const MS: u64 = 1_000_000;

/// Three threads, of which the first answers.
fn recorded() -> Vec<ThreadRow> {
    threads(3).into_iter().map(|row| ThreadRow { end_mono_ns: 1000 * MS, ..row }).collect()
}

fn ms(tid: u32, state: State, times: [u64; 3], waker: Option<u32>) -> OffCpuRow {
    row(tid, state, times.map(|ms| ms * MS), waker)
}

/// A window of so many ms from the first on, as the rows have it.
fn facts(rows: &[OffCpuRow], length: u64) -> Facts {
    let threads = recorded();
    let window = Window { start_ns: 0, end_ns: length * MS };
    let mut marks = crate::ledger::Marks::new(vec![window.start_ns, window.end_ns], threads.len());
    let mut replay = Replay::new(&threads, &[]);
    for row in rows {
        replay.off_cpu(row, |piece| marks.add(piece)).unwrap();
    }
    replay.finish(|piece| marks.add(piece));
    marks.finish();
    Facts {
        window,
        path: Some(path(&scene(&threads, rows), 0, window)),
        threads: (0..3).map(|thread| (thread, marks.window(thread, window))).collect(),
        in_flight: InFlight::default(),
        prefills: InFlight::default(),
        beside: Beside::default(),
    }
}

fn idle(tid: u32, until: u64) -> OffCpuRow {
    ms(tid, State::Poll, [0, until, until], None)
}

/// The answering thread waits for the second one, which computes.
fn typical() -> Facts {
    facts(&[idle(3, 900), ms(1, State::Futex, [1, 39, 39], Some(2))], 40)
}

fn found(slow: Facts, typical: Vec<Facts>) -> Vec<Finding> {
    let threads = recorded();
    let scene = scene(&threads, &[]);
    let name = |thread: usize| format!("t{}", thread + 1);
    let of = Contrast { slow: vec![slow], typical, all: 10 };
    in_order(findings("gaps between tokens", &of, &Names { scene: &scene, name: &name }))
}

fn first(slow: Facts) -> (&'static str, u64) {
    let found = found(slow, vec![typical(), typical()]);
    let first = found.first().unwrap_or_else(|| panic!("nothing found"));
    (first.cause, first.slow_ns / MS)
}

#[test]
fn a_helper_that_was_stopped_is_named() {
    let rows = [
        idle(3, 900),
        ms(2, State::Stopped, [5, 105, 106], Some(99)),
        ms(1, State::Futex, [1, 139, 139], Some(2)),
    ];
    assert_eq!(first(facts(&rows, 140)), ("stopped", 100));
}

#[test]
fn others_on_the_cpu_of_a_thread_that_is_waited_for_are_named() {
    let held = |at| ms(2, State::Preempted, [at, at, at + 8], None);
    let mut rows = vec![idle(3, 900)];
    rows.extend((1..=7).map(|at| held(at * 10)));
    rows.push(ms(1, State::Futex, [1, 99, 99], Some(2)));
    assert_eq!(first(facts(&rows, 100)), ("cpu_contention", 56));
}

#[test]
fn others_on_the_cpu_of_a_thread_that_spins_with_one_waited_for_are_named() {
    let mut rows: Vec<OffCpuRow> =
        (1..=7).map(|at| ms(3, State::Preempted, [at * 10, at * 10, at * 10 + 8], None)).collect();
    rows.push(ms(1, State::Futex, [1, 99, 99], Some(2)));
    assert_eq!(first(facts(&rows, 100)), ("cpu_contention", 56), "t2 spins, t3 was held");
}

#[test]
fn a_quota_is_named() {
    let rows = [
        idle(3, 900),
        ms(2, State::Throttled, [20, 20, 80], None),
        ms(1, State::Futex, [1, 99, 99], Some(2)),
    ];
    assert_eq!(first(facts(&rows, 100)), ("cpu_quota", 60));
}

#[test]
fn who_held_a_lock_is_named_with_what_it_did() {
    let rows = [
        ms(3, State::Sleep, [2, 80, 80], None),
        ms(2, State::Futex, [5, 90, 90], Some(3)),
        ms(1, State::Futex, [1, 119, 119], Some(2)),
    ];
    let found = found(facts(&rows, 120), vec![typical(), typical()]);
    assert_eq!((found[0].cause, found[0].slow_ns / MS), ("lock", 85));
    let evidence = found[0].evidence.join("\n");
    assert!(evidence.contains("t2 waited 85.0 ms for a futex, which t3 ended"), "{evidence}");
    assert!(evidence.contains("t3 meanwhile: on_cpu 10.0 ms · sleep 75.0 ms"), "{evidence}");
}

#[test]
fn files_that_are_not_in_memory_are_named_and_a_slow_disk_before_them() {
    let fault = OffCpuRow { major: true, ..ms(2, State::PageFault, [10, 60, 60], None) };
    let rows = [idle(3, 900), fault, ms(1, State::Futex, [1, 99, 99], Some(2))];
    let cold = facts(&rows, 100);
    assert_eq!(first(cold.clone()), ("cold_page_cache", 50));
    let disk_await_ns = Some(SLOW_DISK_NS);
    let slow = Facts { beside: Beside { disk_await_ns, ..Beside::default() }, ..cold };
    assert_eq!(first(slow), ("slow_disk", 50));
}

#[test]
fn memory_that_had_to_be_made_free_is_named() {
    let memory_some_ratio = Some(0.6);
    let beside = Beside { memory_some_ratio, refaults_per_second: Some(900.0), ..Beside::default() };
    assert_eq!(first(Facts { beside, ..facts(&[idle(2, 900), idle(3, 900)], 100) }), ("memory_reclaim", 60));
}

#[test]
fn files_that_are_read_again_for_want_of_memory_are_told_as_such_before_they_are_told_as_cold() {
    let fault = OffCpuRow { major: true, ..ms(2, State::PageFault, [10, 70, 70], None) };
    let rows = [idle(3, 900), fault, ms(1, State::Futex, [1, 99, 99], Some(2))];
    let causes = |beside| {
        let told = found(Facts { beside, ..facts(&rows, 100) }, vec![typical(), typical()]);
        told.iter().map(|of| of.cause).collect::<Vec<_>>()
    };
    let refaults = |rate| Beside { refaults_per_second: Some(rate), ..Beside::default() };
    assert_eq!(causes(refaults(REFAULTS_PER_SECOND)), ["memory_reclaim", "cold_page_cache"]);
    assert_eq!(causes(refaults(REFAULTS_PER_SECOND - 1.0)), ["cold_page_cache"]);
    let waited = |ratio| Beside { memory_some_ratio: Some(ratio), ..Beside::default() };
    assert_eq!(causes(waited(0.4)), ["memory_reclaim", "cold_page_cache"]);
    assert_eq!(causes(waited(0.2)), ["cold_page_cache", "memory_reclaim"], "too little to explain it");
}

#[test]
fn a_finding_comes_after_one_that_may_be_why_it_was_found() {
    let of = |cause, slow_ns| Finding {
        cause,
        title: "",
        windows: "",
        slow_ns,
        slow_length_ns: 100,
        typical_ns: 0,
        typical_length_ns: 100,
        steady: false,
        evidence: Vec::new(),
    };
    let order = |found| in_order(found).iter().map(|of| of.cause).collect::<Vec<_>>();
    assert_eq!(
        order(vec![of("gpu_idle", 99), of("cpu_contention", 80), of("lock", 70), of("yield_spin", 40)]),
        ["lock", "yield_spin", "cpu_contention", "gpu_idle"]
    );
    assert_eq!(order(vec![of("yield_spin", 30), of("cpu_contention", 80)]), ["cpu_contention", "yield_spin"]);
}

#[test]
fn a_gpu_without_work_is_named_after_what_kept_the_host() {
    let busy = Beside { gpu_idle_ns: Some(MS), ..Beside::default() };
    let usual = || vec![Facts { beside: busy.clone(), ..typical() }];
    let idling = Beside { gpu_idle_ns: Some(90 * MS), ..Beside::default() };
    let computed = [idle(3, 900), ms(1, State::Futex, [1, 99, 99], Some(2))];
    let told = found(Facts { beside: idling.clone(), ..facts(&computed, 100) }, usual());
    assert_eq!(told.iter().map(|of| of.cause).collect::<Vec<_>>(), ["gpu_idle"]);
    assert!(told[0].evidence.join("\n").contains("t2 99.0 ms in on_cpu"), "{:?}", told[0].evidence);
    let stopped = [
        idle(3, 900),
        ms(2, State::Stopped, [20, 60, 60], Some(9)),
        ms(1, State::Futex, [1, 99, 99], Some(2)),
    ];
    let told = found(Facts { beside: idling, ..facts(&stopped, 100) }, usual());
    assert_eq!(told.iter().map(|of| of.cause).collect::<Vec<_>>(), ["stopped", "gpu_idle"]);
}

#[test]
fn a_neighbour_that_spins_in_sched_yield_is_named() {
    let mut rows: Vec<OffCpuRow> =
        (1..=9).map(|at| ms(3, State::Yield, [at * 10, at * 10, at * 10 + 6], None)).collect();
    rows.push(ms(2, State::Preempted, [20, 20, 40], None));
    rows.push(ms(1, State::Futex, [1, 99, 99], Some(2)));
    assert_eq!(first(facts(&rows, 100)), ("yield_spin", 54));
}

#[test]
fn a_client_that_takes_no_more_is_named() {
    let send = OffCpuRow {
        syscall_nr: Some(44),
        fd_kind: Some(FdKind::Socket),
        ..ms(1, State::Network, [10, 90, 90], None)
    };
    assert_eq!(first(facts(&[idle(2, 900), idle(3, 900), send], 100)), ("slow_client", 80));
}

#[test]
fn where_nothing_was_in_the_way_nothing_is_found() {
    let long = facts(&[idle(3, 900), ms(1, State::Futex, [1, 399, 399], Some(2))], 400);
    assert!(found(long, vec![typical(); 3]).is_empty());
    assert!(found(typical(), Vec::new()).is_empty());
}

#[test]
fn what_typical_windows_have_as_well_is_named_as_steady() {
    let held = || {
        facts(
            &[
                idle(3, 900),
                ms(2, State::Throttled, [10, 10, 60], None),
                ms(1, State::Futex, [1, 99, 99], Some(2)),
            ],
            100,
        )
    };
    let found = found(held(), vec![held(), held()]);
    assert_eq!((found[0].cause, found[0].steady), ("cpu_quota", true));
}

#[test]
fn a_thread_that_waits_for_work_of_the_one_that_answers_waits_for_no_lock() {
    let rows = [
        idle(3, 900),
        ms(2, State::Futex, [1, 60, 60], Some(1)),
        ms(1, State::Poll, [5, 55, 55], None),
        ms(1, State::Futex, [61, 95, 95], Some(2)),
    ];
    assert_eq!(found(facts(&rows, 100), vec![typical(), typical()]), []);
}

#[test]
fn handoffs_of_other_waits_hold_no_lock() {
    let handoff = Handoff { waiter: 0, waker: 2, at_ns: 0, state: State::Read, arg0: None, blocked_ns: 9 };
    let mut facts = facts(&[idle(3, 900), ms(1, State::Read, [1, 99, 99], Some(2))], 100);
    facts.path.as_mut().unwrap().handoffs.push(handoff);
    assert_eq!(futex_handoffs(&facts).count(), 0);
}
