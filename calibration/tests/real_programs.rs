//! The real binary, judged by its own account: a stand-in for a recording, made of the kernel's
//! counters that each thread read of itself. What is true of it must be true of a recording.

use std::process::Command;

use calibration::{
    Pattern,
    signature::{Observed, judge_all, observed::Report},
    truth::Truth,
};
use serde_json::json;

fn run(pattern: Pattern, arguments: &[&str]) -> Truth {
    let output = Command::new(env!("CARGO_BIN_EXE_calibration"))
        .arg(pattern.name())
        .args(arguments)
        .output()
        .expect("run calibration");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object on standard output")
}

/// Time off the CPU counts as futex in proportion to the voluntary switches.
fn stand_in(truth: &Truth) -> Observed {
    let threads: Vec<_> = truth
        .threads
        .iter()
        .map(|t| {
            let wall_ns = truth.run_ns.max(t.usage.cpu_ns);
            let off_ns = wall_ns - t.usage.cpu_ns;
            let switches = (t.usage.nvcsw + t.usage.nivcsw).max(1);
            let futex_ns = off_ns / switches * t.usage.nvcsw;
            json!({"tid": t.usage.tid, "comm": t.name, "wall_ns": wall_ns,
                   "states_ns": {"on_cpu": t.usage.cpu_ns, "futex": futex_ns, "preempted": off_ns - futex_ns},
                   "episodes": {"futex": t.usage.nvcsw.min(t.futex_waits)},
                   "nvcsw": t.usage.nvcsw, "nivcsw": t.usage.nivcsw, "min_flt": t.usage.min_flt})
        })
        .collect();
    let report: Report = serde_json::from_value(json!({"threads": threads})).expect("a report");
    Observed::new(&report, truth)
}

#[test]
fn each_program_shows_its_own_signature_and_no_other() {
    let recordings: Vec<_> =
        Pattern::ALL.iter().map(|p| (*p, stand_in(&run(*p, &["--seconds", "1.5"])))).collect();
    let matrix = judge_all(&recordings);
    for (_, verdicts) in &matrix.rows {
        for verdict in verdicts {
            println!("{}\n{verdict}", verdict.pattern);
        }
    }
    println!("{matrix}");
    assert!(matrix.is_diagonal(), "\n{matrix}");
}

#[test]
fn operations_asked_for_are_operations_done() {
    for (pattern, expected) in
        [(Pattern::LaunchHeavy, 50_000), (Pattern::SyncHeavy, 500), (Pattern::AllocHeavy, 100)]
    {
        let truth = run(pattern, &["--ops", &expected.to_string()]);
        assert_eq!(truth.operations, expected, "{pattern}");
        assert_eq!(truth.pattern, pattern);
        assert!(truth.threads.iter().all(|t| t.name.len() <= 15 && t.operations == expected), "{pattern}");
    }
    assert_eq!(run(Pattern::ComputeHeavy, &["--ops", "6", "--size", "2"]).barriers, 3);
}

#[test]
fn a_wrong_number_of_threads_is_an_error_that_says_what_is_right() {
    let output = Command::new(env!("CARGO_BIN_EXE_calibration"))
        .args(["sync-heavy", "--threads", "3"])
        .output()
        .expect("run calibration");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("it takes 2 to 2"), "{said}");
}
