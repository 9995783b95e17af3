//! The workloads do what they say: counted by the kernel's own counters, which they print.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workload"));
    command.args(arguments);
    command
}

/// Runs a workload to its end and returns its lines.
fn lines(arguments: &[&str]) -> Vec<Value> {
    let output = command(arguments).output().expect("run workload");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    parsed(&String::from_utf8_lossy(&output.stdout))
}

fn parsed(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect()
}

fn last(lines: &[Value]) -> &Value {
    lines.last().expect("a last line")
}

/// The counter of the thread with this name.
fn usage(lines: &[Value], name: &str, counter: &str) -> u64 {
    let all = lines.iter().map(|line| &line["usage"]);
    let of = all.into_iter().find(|usage| usage["name"] == name).expect("a usage line for the thread");
    of[counter].as_u64().expect("a counter")
}

fn terminate(child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("run kill").success());
}

#[test]
fn each_wait_in_each_system_call_really_blocks() {
    let help = command(&["syscall-wait", "--help"]).output().expect("run workload");
    let help = String::from_utf8_lossy(&help.stdout).replace('\n', " ");
    let kinds = help.split("[possible values: ").nth(1).and_then(|rest| rest.split(']').next());
    let kinds: Vec<&str> = kinds.expect("the kinds in the help text").split(',').map(str::trim).collect();
    assert!(kinds.len() > 25, "{kinds:?}");
    for kind in kinds {
        let lines = lines(&["syscall-wait", kind, "--count", "20"]);
        let done = last(&lines);
        if done["unsupported"].is_string() {
            println!("{done}");
            continue;
        }
        assert_eq!(done["waits"], 20, "{kind}");
        // Whether a file that is synced waits for its disk is up to the file system.
        if !kind.ends_with("sync") {
            assert_eq!(done["blocked"], 20, "{kind}");
            // A page of the program that is read from disk is a switch too.
            let switches = done["switches"].as_u64().expect("a number");
            assert!((20..=22).contains(&switches), "{kind}: {switches} switches");
        }
    }
}

#[test]
fn deadlocked_threads_stay_asleep_until_sigterm() {
    let mut child =
        command(&["deadlock", "--threads", "3"]).stdout(Stdio::piped()).spawn().expect("run workload");
    let mut out = BufReader::new(child.stdout.take().expect("its output"));
    let mut ready = String::new();
    out.read_line(&mut ready).expect("the ready line");
    let ready: Value = serde_json::from_str(&ready).expect("a JSON object");
    for tid in ready["tids"].as_array().expect("tids") {
        let status = std::fs::read_to_string(format!("/proc/{}/task/{tid}/status", child.id())).unwrap();
        assert!(status.contains("State:\tS"), "{status}");
    }
    assert!(ready["futex_address"].as_str().is_some_and(|address| address.starts_with("0x")));
    terminate(&child);
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("the rest");
    assert_eq!(last(&parsed(&rest))["done"], true);
    assert!(child.wait().expect("its end").success());
}

#[test]
fn a_held_workload_starts_when_told_and_a_lingering_one_stays() {
    let mut child = command(&["--hold", "--linger", "sleeps", "--count", "3"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run workload");
    let mut out = BufReader::new(child.stdout.take().expect("its output")).lines().map(Result::unwrap);
    assert!(out.next().is_some_and(|line| line.contains("\"ready\":true")));
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count();
    assert_eq!(tasks, 1, "it has not started yet");
    drop(child.stdin.take());
    let done = out.find(|line| line.contains("\"done\":true")).expect("a last line");
    assert!(done.contains("\"sleeps\":3"), "{done}");
    assert!(child.try_wait().unwrap().is_none(), "it lingers");
    terminate(&child);
    assert!(child.wait().expect("its end").success());
}

#[test]
fn sleeps_are_voluntary_switches() {
    let lines = lines(&["sleeps", "--count", "25", "--us", "300"]);
    assert_eq!(last(&lines)["sleeps"], 25);
    assert_eq!(usage(&lines, "sleeper", "nvcsw"), 25);
}

#[test]
fn the_32_bit_entry_sleeps_or_says_that_there_is_none() {
    let lines = lines(&["int80-sleep", "--count", "10", "--us", "300"]);
    if !last(&lines)["unsupported"].is_string() {
        assert_eq!(last(&lines)["sleeps"], 10);
        assert_eq!(usage(&lines, "sleeper", "nvcsw"), 10);
    }
}

#[test]
fn after_an_exec_by_a_thread_the_pid_is_the_same() {
    let lines = lines(&["exec-from-thread", "--seconds", "0.05"]);
    let targets: Vec<_> = lines.iter().filter(|line| line["ready"] == true).collect();
    assert_eq!(targets[0]["pid"], targets[1]["pid"]);
    assert_ne!(targets[0]["exec_tid"], targets[0]["main_tid"]);
    assert_eq!(last(&lines)["sleeps"], 10);
}

#[test]
fn a_tree_of_forks_has_each_process_once() {
    let lines = lines(&["fork-tree", "--depth", "2", "--width", "3", "--sleeps", "1"]);
    let mut pids: Vec<u64> = lines.iter().filter_map(|line| line["process"]["pid"].as_u64()).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!((pids.len(), &last(&lines)["processes"]), (13, &13.into()));
}

#[test]
fn children_in_turn_get_the_same_pid() {
    let lines = lines(&["pid-reuse", "--count", "5"]);
    let pids: Vec<u64> = lines.iter().filter_map(|line| line["child"]["pid"].as_u64()).collect();
    if last(&lines)["taken"] == 0 {
        assert!(pids.len() == 5 && pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    }
}

#[test]
fn faults_are_as_many_as_pages() {
    let lines_minor = lines(&["minor-fault", "--pages", "500", "--threads", "2"]);
    assert_eq!(last(&lines_minor)["min_flt"], 1000);
    // The build's folder is on a disk where the temporary folder may not be.
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("major-fault");
    let lines_major = lines(&["major-fault", "--pages", "32", "--file", &file.to_string_lossy()]);
    assert_eq!(last(&lines_major)["maj_flt"], 32, "on a file system without a page cache of its own?");
    assert!(!file.exists());
}

#[test]
fn names_are_told_byte_for_byte() {
    let lines = lines(&["rename", "--us", "1000"]);
    let names: Vec<_> = lines.iter().filter_map(|line| line["rename"]["hex"].as_str()).collect();
    assert_eq!(names[2], "1b5b33316dff");
}

#[test]
fn every_signal_is_handled() {
    for arguments in [&["signals", "--count", "300"][..], &["signals", "--count", "50", "--asleep"]] {
        let lines = lines(arguments);
        assert_eq!(last(&lines)["handled"], last(&lines)["sent"]);
    }
}

#[test]
fn spinning_threads_use_their_time_and_yielding_ones_count_their_calls() {
    let spin = lines(&["spin", "--seconds", "0.1", "--threads", "2"]);
    assert!(usage(&spin, "spin-0", "cpu_ns") > 1_000_000 && usage(&spin, "spin-1", "cpu_ns") > 1_000_000);
    let spin = lines(&["yield-spin", "--seconds", "0.1"]);
    assert!(last(&spin)["calls"].as_u64().is_some_and(|calls| calls > 100));
    let storm = lines(&["storm", "--threads", "4", "--seconds", "0.2"]);
    assert!(last(&storm)["futex_waits"].as_u64().is_some_and(|waits| waits > 100));
    let churn = lines(&["thread-churn", "--count", "5"]);
    assert_eq!(last(&churn)["tids"].as_array().map(Vec::len), Some(5));
    assert_eq!(last(&lines(&["pipe-ping", "--count", "50"]))["round_trips"], 50);
}
