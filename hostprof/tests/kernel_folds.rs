//! Records folded by several threads on the real kernel: each thread's account is whole, whichever fold has it.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use hostprof::table::{OffCpuRow, Table as _, ThreadRow};
use support::recorded::{number, record_with};

const FOLDS: [&str; 2] = ["--folds", "4"];

#[test]
fn a_storm_of_switches_folded_by_four_is_exact() {
    let recorded = record_with(&FOLDS, &["storm", "--threads", "10", "--seconds", "2"]).checked();
    assert_eq!(recorded.dropped(), 0);
    let rows = recorded.rows::<OffCpuRow>();
    assert!(rows.is_sorted_by_key(|row| row.span_mono_ns().1), "rows are in the order of their ends");
    let tids: BTreeSet<u32> = rows.iter().map(|row| row.tid).collect();
    assert!(tids.len() >= 10, "{tids:?}");
}

#[test]
fn a_tree_of_processes_folded_by_four_has_its_parents_and_programs() {
    let recorded =
        record_with(&FOLDS, &["fork-tree", "--depth", "2", "--width", "3", "--sleeps", "4"]).checked();
    let processes: Vec<_> =
        recorded.lines.iter().map(|line| &line["process"]).filter(|process| !process.is_null()).collect();
    assert_eq!(processes.len(), 13);
    let root = number(recorded.ready(), "pid") as u32;
    let exe = recorded.thread(root).exe;
    assert!(exe.is_some());
    for process in processes {
        let pid = number(process, "pid") as u32;
        let thread = recorded.thread(pid);
        assert_eq!(thread.exe, exe, "{process}");
        if pid != root {
            assert_eq!(thread.parent_tid.map(u64::from), process["ppid"].as_u64(), "{process}");
        }
    }
}

#[test]
fn a_thread_that_executes_a_program_changes_folds_and_loses_nothing() {
    let recorded = record_with(&FOLDS, &["exec-from-thread", "--seconds", "0.2"]).checked();
    let main = number(recorded.ready(), "main_tid") as u32;
    let lives: Vec<ThreadRow> =
        recorded.rows::<ThreadRow>().into_iter().filter(|life| life.tid == main).collect();
    assert!(lives.len() > 1, "{lives:?}");
}
