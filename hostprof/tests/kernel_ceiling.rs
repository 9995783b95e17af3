//! A ceiling on what recording costs, on the real kernel: what is shed is told, and what is counted adds up.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use hostprof::table::{OffCpuCountRow, OffCpuRow, ShedRow, ShedStep, State, SyscallRow, ThreadRow};
use support::{
    Recorded, Recorder, Workload,
    recorded::{number, record_with},
};

/// A storm of context switches, of which the programs alone cost a tenth of the CPU.
fn storm(most: &str, more: &[&str]) -> Recorded {
    let options = [&["--max-overhead", most, "--no-samples"][..], more].concat();
    record_with(&options, &["storm", "--threads", "4", "--seconds", "2"]).checked()
}

fn steps(recorded: &Recorded) -> Vec<ShedStep> {
    recorded.rows::<ShedRow>().iter().map(|row| row.step).collect()
}

/// The states of every thread, with what is counted, sum to its wall clock.
fn assert_states_sum(recorded: &Recorded) {
    let report = recorded.report();
    for thread in report["threads"].as_array().unwrap() {
        let states = thread["states_ns"].as_object().unwrap().values();
        let sum: u64 = states.map(|ns| ns.as_u64().unwrap()).sum();
        assert_eq!(sum, number(thread, "wall_ns"), "{thread}");
        assert_eq!(number(thread, "unattributed_ns"), 0, "{thread}");
    }
}

#[test]
fn a_storm_below_one_percent_ends_the_recording_of_threads_and_says_so() {
    let recorded = storm("1%", &[]);
    let shed = recorded.rows::<ShedRow>();
    assert_eq!(shed.first().unwrap().step, ShedStep::Everything);
    assert_eq!(shed.last().unwrap().step, ShedStep::Ended, "{shed:#?}");
    assert!(shed.iter().all(|row| (row.max_overhead_ratio - 0.01).abs() < 1e-9));
    let ended_ns = shed.last().unwrap().ts_mono_ns;
    let threads = recorded.rows::<ThreadRow>();
    let late = threads.iter().find(|thread| thread.end_mono_ns > ended_ns + 1_000_000);
    assert_eq!(late, None, "recorded to {ended_ns}");
    assert_eq!(recorded.dropped(), 0);
    assert_states_sum(&recorded);
    assert!(recorded.stderr.contains("to stay below 1 %"), "{}", recorded.stderr);
    let text = recorded.report_text();
    assert!(text.contains("COST OF RECORDING") && text.contains("only samples"), "{text}");
}

/// No second of the recording cost more than the ceiling.
fn assert_below(recorded: &Recorded, ceiling: f64) {
    let told = recorded.config().ceiling.unwrap();
    assert!(told.bpf_ns > 0 && told.own_ns > 0 && told.target_ns > 1_000_000_000, "{told:?}");
    let shed = recorded.rows::<ShedRow>();
    assert!(told.greatest_overhead_ratio <= ceiling, "{told:?} {shed:#?}");
}

#[test]
fn no_second_of_a_storm_costs_more_than_its_ceiling() {
    for (most, ceiling) in [("1%", 0.01), ("2%", 0.02), ("5%", 0.05), ("30%", 0.3)] {
        let arguments = ["storm", "--threads", "8", "--seconds", "2"];
        assert_below(&record_with(&["--max-overhead", most], &arguments).checked(), ceiling);
    }
}

#[test]
fn nor_does_one_of_a_storm_that_runs_already() {
    for (most, ceiling) in [("1%", 0.01), ("2%", 0.02), ("5%", 0.05), ("30%", 0.3)] {
        let workload = Workload::start(&["storm", "--threads", "8", "--seconds", "60"]);
        let pid = workload.pid().to_string();
        let options = ["--pid", &pid, "--max-overhead", most, "--duration", "2s"];
        let recorded = Recorder::spawn(&options).finish().checked();
        workload.kill();
        assert_below(&recorded, ceiling);
    }
}

#[test]
fn counted_episodes_hold_every_switch_and_every_nanosecond() {
    let recorded = storm("5%", &[]);
    let counted = recorded.rows::<OffCpuCountRow>();
    let episodes: u64 = counted.iter().map(|row| row.episodes).sum();
    assert!(episodes > 1_000, "{:?}", steps(&recorded));
    assert!(counted.iter().all(|row| row.dur_ns >= row.blocked_ns + row.runqueue_ns));
    assert!(counted.iter().any(|row| row.state == State::Futex && row.voluntary));
    assert_states_sum(&recorded);
    // Every switch that the kernel counted is a row, or in one.
    let rows = recorded.rows::<OffCpuRow>();
    for thread in recorded.rows::<ThreadRow>() {
        let (Some(first_ns), Some(last_ns)) = (thread.first_mono_ns, thread.last_mono_ns) else { continue };
        let of = rows.iter().filter(|row| {
            row.tid == thread.tid && row.ts_mono_ns > first_ns && row.ts_mono_ns <= last_ns && !row.open_start
        });
        let of = of.filter(|row| row.state != State::Runqueue).count() as u64;
        let counted = counted.iter().filter(|row| row.tid == thread.tid);
        let found = of + counted.map(|row| row.episodes).sum::<u64>();
        let delta = |first: Option<u64>, last: Option<u64>| last.unwrap() - first.unwrap();
        let kernel =
            delta(thread.nvcsw_first, thread.nvcsw_last) + delta(thread.nivcsw_first, thread.nivcsw_last);
        assert_eq!(found, kernel, "{thread:?}");
        assert_eq!(thread.lost_switches, 0);
    }
}

#[test]
fn no_call_becomes_a_span_once_spans_are_shed() {
    let recorded = storm("5%", &["--probe", "auto,futex", "--futex-threshold", "0"]);
    let shed = recorded.rows::<ShedRow>();
    let off = shed.iter().find(|row| row.step != ShedStep::Everything).unwrap();
    // A look's length: spans end before the row tells, or when it does.
    let after_ns = off.ts_mono_ns + 200_000_000;
    let late = recorded.rows::<SyscallRow>().into_iter().find(|row| row.ts_mono_ns + row.dur_ns > after_ns);
    assert_eq!(late, None);
}

#[test]
fn a_quiet_target_is_recorded_whole() {
    let recorded = record_with(
        &["--max-overhead", "10%", "--no-samples"],
        &["sleeps", "--count", "300", "--us", "1000"],
    )
    .checked();
    assert_eq!(steps(&recorded), [ShedStep::Everything]);
    assert_eq!(recorded.rows::<OffCpuCountRow>(), []);
    let ceiling = recorded.config().ceiling.unwrap();
    assert!(ceiling.bpf_runs > 300 && ceiling.bpf_ns > 0 && ceiling.own_ns > 0, "{ceiling:?}");
}
