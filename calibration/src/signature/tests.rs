//! Hand-made recordings, on an idle machine and on loaded ones, under right and wrong labels.

use serde_json::{Value, json};

use super::{Matrix, Metric, Observed, Pattern, judge, judge_all};

const MS: u64 = 1_000_000;

/// A thread of a hand-made recording, one second long: (state, milliseconds), futex episodes,
/// voluntary switches, minor faults; and what it says itself: operations, futex waits, pages.
struct Thread {
    name: &'static str,
    states: &'static [(&'static str, u64)],
    futex: u64,
    nvcsw: u64,
    min_flt: u64,
    operations: u64,
    futex_waits: u64,
    pages: u64,
}

fn observed(pattern: Pattern, barriers: u64, threads: &[Thread]) -> Observed {
    let report: Vec<Value> = threads
        .iter()
        .map(|t| {
            let states: serde_json::Map<_, _> =
                t.states.iter().map(|(state, ms)| ((*state).to_owned(), json!(ms * MS))).collect();
            let wall: u64 = t.states.iter().map(|(_, ms)| ms * MS).sum();
            json!({"tid": 7, "tgid": 7, "comm": t.name, "role": "main", "wall_ns": wall,
                   "states_ns": states, "episodes": {"futex": t.futex, "gpu_sync": null},
                   "nvcsw": t.nvcsw, "nivcsw": 3, "min_flt": t.min_flt, "maj_flt": 0})
        })
        .collect();
    let truth: Vec<Value> = threads
        .iter()
        .map(|t| {
            json!({"name": t.name, "operations": t.operations, "futex_waits": t.futex_waits,
                   "futex_misses": 0, "pages": t.pages, "mmaps": 0,
                   "usage": {"tid": 9, "nvcsw": t.nvcsw, "nivcsw": 3, "min_flt": t.min_flt, "maj_flt": 0, "cpu_ns": 0}})
        })
        .collect();
    let operations = threads[0].operations;
    let report = json!({"schema": 1, "threads": report, "loss": {"dropped": 0, "ranges": []}}).to_string();
    let truth = json!({"pattern": pattern, "backend": "cpu", "pid": 7, "start_mono_ns": 0, "run_ns": 1,
                       "parameters": {"threads": 2, "size": 1, "ops": null, "seconds": 1.0},
                       "operations": operations, "barriers": barriers, "threads": truth})
    .to_string();
    Observed::from_json(&report, &truth).unwrap()
}

/// A second on an idle machine with CPUs enough.
fn idle() -> Vec<(Pattern, Observed)> {
    let compute = |name| Thread {
        name,
        states: &[("on_cpu", 870), ("runqueue", 1), ("preempted", 2), ("futex", 127)],
        futex: 18,
        nvcsw: 19,
        min_flt: 12,
        operations: 480,
        futex_waits: 18,
        pages: 0,
    };
    let launch = |name| Thread {
        name,
        states: &[("on_cpu", 995), ("preempted", 5)],
        futex: 0,
        nvcsw: 1,
        min_flt: 8,
        operations: 20_000_000,
        futex_waits: 0,
        pages: 0,
    };
    let sync = |name| Thread {
        name,
        states: &[("on_cpu", 450), ("runqueue", 100), ("futex", 450)],
        futex: 99_000,
        nvcsw: 99_001,
        min_flt: 8,
        operations: 100_000,
        futex_waits: 99_000,
        pages: 0,
    };
    let alloc = Thread {
        name: "alloc-0",
        states: &[("on_cpu", 998), ("preempted", 2)],
        futex: 0,
        nvcsw: 2,
        min_flt: 1_280_010,
        operations: 20_000,
        futex_waits: 0,
        pages: 1_280_000,
    };
    vec![
        (
            Pattern::ComputeHeavy,
            observed(Pattern::ComputeHeavy, 36, &[compute("compute-0"), compute("compute-1")]),
        ),
        (Pattern::LaunchHeavy, observed(Pattern::LaunchHeavy, 0, &[launch("launcher"), launch("worker")])),
        (Pattern::SyncHeavy, observed(Pattern::SyncHeavy, 0, &[sync("ping"), sync("pong")])),
        (Pattern::AllocHeavy, observed(Pattern::AllocHeavy, 0, &[alloc])),
    ]
}

/// A second in which each thread had a CPU for a tenth of the time, and both pairs shared one CPU.
fn loaded() -> Vec<(Pattern, Observed)> {
    let compute = |name, states| Thread {
        name,
        states,
        futex: 2,
        nvcsw: 3,
        min_flt: 40,
        operations: 60,
        futex_waits: 2,
        pages: 0,
    };
    let launch = |name| Thread {
        name,
        states: &[("on_cpu", 100), ("preempted", 895), ("runqueue", 5)],
        futex: 0,
        nvcsw: 2,
        min_flt: 40,
        operations: 700_000,
        futex_waits: 0,
        pages: 0,
    };
    let sync = |name| Thread {
        name,
        states: &[("on_cpu", 100), ("runqueue", 300), ("preempted", 200), ("futex", 400)],
        futex: 9_000,
        nvcsw: 9_002,
        min_flt: 40,
        operations: 18_000,
        futex_waits: 9_000,
        pages: 0,
    };
    let alloc = Thread {
        name: "alloc-0",
        states: &[("on_cpu", 100), ("preempted", 880), ("memory", 20)],
        futex: 0,
        nvcsw: 4,
        min_flt: 64_040,
        operations: 1_000,
        futex_waits: 0,
        pages: 64_000,
    };
    let waits = compute("compute-0", &[("on_cpu", 100), ("preempted", 200), ("futex", 700)]);
    let late = compute("compute-1", &[("on_cpu", 100), ("preempted", 860), ("futex", 40)]);
    vec![
        (Pattern::ComputeHeavy, observed(Pattern::ComputeHeavy, 4, &[waits, late])),
        (Pattern::LaunchHeavy, observed(Pattern::LaunchHeavy, 0, &[launch("launcher"), launch("worker")])),
        (Pattern::SyncHeavy, observed(Pattern::SyncHeavy, 0, &[sync("ping"), sync("pong")])),
        (Pattern::AllocHeavy, observed(Pattern::AllocHeavy, 0, &[alloc])),
    ]
}

fn assert_diagonal(matrix: &Matrix) {
    assert!(matrix.is_diagonal(), "\n{matrix}");
}

#[test]
fn on_an_idle_machine_exactly_the_right_labels_are_accepted() {
    assert_diagonal(&judge_all(&idle()));
}

#[test]
fn on_a_loaded_machine_exactly_the_right_labels_are_accepted() {
    assert_diagonal(&judge_all(&loaded()));
}

#[test]
fn every_wrong_label_misses_at_least_two_conditions_of_its_own() {
    for recordings in [idle(), loaded()] {
        for (recorded, verdicts) in judge_all(&recordings).rows {
            for verdict in verdicts.iter().filter(|v| v.pattern != recorded) {
                assert!(verdict.missed().count() >= 2, "{recorded} as {}:\n{verdict}", verdict.pattern);
            }
        }
    }
}

#[test]
fn a_lost_record_or_a_missing_thread_or_a_gap_refuses_the_right_label() {
    for (pattern, observed) in idle() {
        let mut lossy = observed.clone();
        lossy.dropped = 1;
        let mut fewer = observed.clone();
        fewer.threads.pop();
        let mut gap = observed.clone();
        gap.threads[0].ledger.wall_ns += 10 * MS;
        for (wrong, metric) in
            [(lossy, Metric::RecordsLost), (fewer, Metric::ThreadsSeen), (gap, Metric::LedgerGap)]
        {
            let verdict = judge(pattern, &wrong);
            assert!(verdict.missed().any(|f| f.condition.metric == metric), "{metric:?}\n{verdict}");
        }
    }
}

#[test]
fn half_of_the_futex_episodes_lost_refuses_sync_and_compute() {
    for (pattern, mut observed) in idle() {
        if !matches!(pattern, Pattern::SyncHeavy | Pattern::ComputeHeavy) {
            continue;
        }
        for thread in &mut observed.threads {
            for episodes in thread.ledger.episodes.values_mut().flatten() {
                *episodes /= 2;
            }
        }
        assert!(!judge(pattern, &observed).accepted(), "{pattern}");
    }
}

#[test]
fn a_thread_is_joined_by_name_and_by_tid_where_the_name_occurs_twice() {
    let report = r#"{"threads": [
        {"tid": 1, "comm": "ping", "wall_ns": 10, "states_ns": {"on_cpu": 10}},
        {"tid": 2, "comm": "ping", "wall_ns": 20, "states_ns": {"on_cpu": 20}},
        {"tid": 3, "comm": "pong", "wall_ns": 30, "states_ns": {"on_cpu": 30, "gpu_sync": null}}]}"#;
    let thread = |name: &str, tid: u32| {
        json!({"name": name, "operations": 1, "futex_waits": 0, "futex_misses": 0, "pages": 0, "mmaps": 0,
               "usage": {"tid": tid, "nvcsw": 0, "nivcsw": 0, "min_flt": 0, "maj_flt": 0, "cpu_ns": 0}})
    };
    let truth = json!({"pattern": "sync-heavy", "backend": "cpu", "pid": 1, "start_mono_ns": 0, "run_ns": 1,
                       "parameters": {"threads": 2, "size": 1, "ops": 1, "seconds": null},
                       "operations": 1, "barriers": 0, "threads": [thread("ping", 2), thread("pong", 99)]});
    let observed = Observed::from_json(report, &truth.to_string()).unwrap();
    let walls: Vec<u64> = observed.threads.iter().map(|t| t.wall_ns).collect();
    assert_eq!(walls, [20, 30]);
}

#[test]
fn a_verdict_prints_intended_observed_and_the_word() {
    let recordings = idle();
    let text = judge(Pattern::LaunchHeavy, &recordings[3].1).to_string();
    let line = text.lines().find(|l| l.starts_with("minor faults per second")).unwrap();
    assert!(line.contains("≤ 2 000") && line.contains("1 282 575") && line.ends_with("| miss"), "{line}");
}
