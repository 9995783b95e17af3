//! Threads and processes on the real kernel: they come, go, take each other's ids, and hang.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::duration_suboptimal_units,
    reason = "helpers of tests are tests"
)]

#[path = "kernel/support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use hostprof::table::{OffCpuRow, State, ThreadRow};
use support::{
    Recorder, Workload, record,
    recorded::{line, number, off_cpu_ns},
};

/// The sleeps in one life of a thread.
fn sleeps_in(rows: &[OffCpuRow], life: &ThreadRow) -> usize {
    let within = |row: &&OffCpuRow| {
        row.tid == life.tid
            && row.state == State::Sleep
            && row.ts_mono_ns >= life.begin_mono_ns
            && row.ts_mono_ns < life.end_mono_ns
    };
    rows.iter().filter(within).count()
}

#[test]
fn each_process_of_a_tree_is_there_with_its_parent_and_its_sleeps() {
    let recorded = record(&["fork-tree", "--depth", "2", "--width", "3", "--sleeps", "4"]).checked();
    let processes: Vec<_> =
        recorded.lines.iter().map(|line| &line["process"]).filter(|process| !process.is_null()).collect();
    assert_eq!(processes.len(), 13);
    let root = number(recorded.ready(), "pid") as u32;
    for process in processes {
        let pid = number(process, "pid") as u32;
        let thread = recorded.thread(pid);
        assert!(thread.tgid == pid && thread.exit_mono_ns.is_some(), "{thread:?}");
        if pid != root {
            assert_eq!(thread.parent_tid.map(u64::from), process["ppid"].as_u64(), "{process}");
        }
        assert_eq!(recorded.in_state(pid, State::Sleep).len(), 4, "{process}");
    }
}

#[test]
fn each_of_many_short_threads_has_its_row_and_its_sleep() {
    let recorded = record(&["thread-churn", "--count", "200"]).checked();
    let mut threads = recorded.rows::<ThreadRow>();
    threads.retain(|thread| thread.comm == "churned");
    assert_eq!(threads.len(), 200);
    let rows = recorded.rows::<OffCpuRow>();
    for thread in &threads {
        assert!(thread.exit_mono_ns.is_some(), "{thread:?}");
        assert_eq!(sleeps_in(&rows, thread), 1, "{thread:?}");
    }
}

#[test]
fn a_thread_that_executes_a_program_goes_on_under_its_processs_id() {
    let recorded = record(&["exec-from-thread", "--seconds", "0.2"]).checked();
    let ready = recorded.ready();
    let (main, exec) = (number(ready, "main_tid") as u32, number(ready, "exec_tid") as u32);
    let mut lives = recorded.rows::<ThreadRow>();
    lives.retain(|life| life.tid == main || life.tid == exec);
    let of = |tid: u32| lives.iter().filter(|life| life.tid == tid).collect::<Vec<_>>();
    assert_eq!((of(main).len(), of(exec).len()), (2, 1), "{lives:#?}");
    assert!(lives.iter().all(|life| life.exit_mono_ns.is_some() && life.tgid == main), "{lives:#?}");
    // What was the leader ended before the other took its id.
    let end = of(main).iter().map(|life| life.end_mono_ns).min();
    assert!(of(main).iter().any(|life| Some(life.begin_mono_ns) >= end), "{lives:#?}");
    let done = recorded.done();
    assert_eq!(recorded.in_state(number(done, "tid") as u32, State::Sleep).len(), 40, "{done}");
}

#[test]
fn children_that_share_a_pid_each_have_their_own_row() {
    let recorded = record(&["pid-reuse", "--count", "20", "--us", "2000"]).checked();
    if let Some(reason) = recorded.unsupported() {
        println!("unsupported: {reason}");
        assert!(reason.contains("clone with a chosen pid"), "{reason}");
        return;
    }
    let children: Vec<_> =
        recorded.lines.iter().map(|line| &line["child"]).filter(|c| !c.is_null()).collect();
    let pids: BTreeSet<u64> = children.iter().map(|child| number(child, "pid")).collect();
    let mut lives = recorded.rows::<ThreadRow>();
    lives.retain(|life| pids.contains(&life.tid.into()));
    lives.sort_by_key(|life| life.begin_mono_ns);
    assert_eq!((children.len(), lives.len()), (20, 20));
    let rows = recorded.rows::<OffCpuRow>();
    for (child, life) in children.iter().zip(&lives) {
        assert_eq!(number(child, "pid"), u64::from(life.tid));
        assert!(life.begin_mono_ns >= number(child, "fork_mono_ns"), "{child} {life:?}");
        assert!(life.exit_mono_ns.is_some_and(|exit| exit >= life.begin_mono_ns), "{life:?}");
        assert_eq!(sleeps_in(&rows, life), 1, "{child}");
    }
}

#[test]
fn a_name_with_control_characters_is_escaped_everywhere() {
    let recorded = record(&["rename", "--names", r"first,\x1b[31m\xff"]).checked();
    let tid = number(&line(&recorded.lines, "rename")["rename"], "tid") as u32;
    let name = r"\x1b[31m\xff";
    assert_eq!(recorded.thread(tid).comm, name);
    let report = recorded.report();
    let threads = report["threads"].as_array().expect("threads");
    assert!(threads.iter().any(|thread| thread["tid"] == tid && thread["comm"] == name), "{report}");
    let text = recorded.report_text();
    assert!(!text.contains('\x1b') && text.contains(name), "{text:?}");
}

#[test]
fn threads_that_hung_before_the_recording_are_in_it_from_end_to_end() {
    let workload = Workload::start(&["deadlock", "--threads", "3"]);
    let address = workload.ready["futex_address"].as_str().expect("an address").to_owned();
    let value = u64::from_str_radix(address.trim_start_matches("0x"), 16).expect("a number");
    let recorder = Recorder::start(&["--pid", &workload.pid().to_string(), "--duration", "1s"]);
    let recorded = recorder.finish().checked();
    let (started, ended) = {
        let config = recorded.config();
        (config.started.mono_ns.0, config.ended.as_ref().expect("an end").at.mono_ns.0)
    };
    for tid in workload.ready["tids"].as_array().expect("tids") {
        let rows = recorded.off_cpu(tid.as_u64().expect("a tid") as u32);
        assert_eq!(rows.len(), 1, "{rows:#?}");
        let row = &rows[0];
        assert_eq!((row.state, row.syscall_nr, row.arg0), (State::Futex, Some(202), Some(value)));
        assert!(row.open_start && row.open_end && row.waker_tid.is_none(), "{row:?}");
        assert!(off_cpu_ns(&rows) * 10 >= (ended - started) * 9, "{row:?} of {}", ended - started);
    }
    let report = recorded.report();
    let futexes = report["never_ran"].to_string() + &report["futexes"].to_string();
    assert!(futexes.contains(&address) || futexes.contains(&value.to_string()), "{address} in {futexes}");
    let totals = &report["totals"];
    let futex = number(&totals["states_ns"], "futex");
    let wall: u64 = report["threads"].as_array().expect("threads").iter().map(|t| number(t, "wall_ns")).sum();
    assert!(futex * 100 >= wall * 99, "{futex} of {wall}");
    assert!(recorded.report_text().contains(&address));
    workload.stop();
}
