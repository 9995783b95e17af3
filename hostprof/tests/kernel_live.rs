//! `hostprof live` on the real kernel, on a terminal of its own and in a pipe.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
};

use hostprof::recording::{EndReason, Recording};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::{Workload, hostprof, hostprof_path, poll, send, terminal::Terminal};

/// A process that is ended with the test.
struct Target(Child);

impl Target {
    /// A shell that waits for one short sleep after another.
    fn busy() -> Self {
        let script = "while :; do sleep 0.01; done";
        Self(Command::new("bash").args(["-c", script]).spawn().unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The picture that `--once --json` prints of a process.
fn picture(pid: &str, out: &Path, more: &[&str]) -> Value {
    let output = hostprof()
        .args(["live", "--pid", pid, "--once", "--json", "-o"])
        .arg(out)
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn runs(out: &Path) -> Vec<PathBuf> {
    Recording::list(out).unwrap()
}

/// Whether `hostprof check` passes.
fn passes(run: &Path) {
    let output = hostprof().arg("check").arg(run).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_process_deadlocked_before_it_was_watched_waits_for_a_futex_and_nothing_else() {
    let target = Workload::start(&["deadlock", "--threads", "4"]);
    let dir = tempfile::tempdir().unwrap();
    let picture = picture(&target.pid().to_string(), dir.path(), &["--window", "300ms"]);
    let threads = picture["threads"].as_array().unwrap();
    assert_eq!(threads.len(), 5, "{picture}");
    for thread in threads {
        let (wall, times) = (thread["share"]["wall_ns"].as_u64().unwrap(), &thread["share"]["times"]);
        assert!(times["futex"].as_u64().unwrap() as f64 >= 0.99 * wall as f64, "{thread}");
        assert_eq!(thread["now"], "futex");
        assert_eq!(thread["top_call"]["name"], "futex");
    }
    assert_eq!(picture["mostly"]["state"], "futex");
    assert_eq!(runs(dir.path()), Vec::<PathBuf>::new(), "nobody asked for the run");
}

#[test]
fn an_open_thread_shows_the_futex_and_who_else_waits_for_it() {
    let target = Workload::start(&["deadlock", "--threads", "4"]);
    let address = target.ready["futex_address"].as_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (pid, out) = (target.pid().to_string(), dir.path().to_str().unwrap().to_owned());
    let mut terminal = Terminal::start(&hostprof_path(), &["live", "--pid", &pid, "-o", &out], &[]);
    terminal.until("futex 100%");
    terminal.press("2");
    terminal.until("threads 5");
    // All but the main thread wait for one word; the main thread for the end of one of them.
    for _ in 0..5 {
        terminal.press("\r");
        terminal.until("futexes it waited for 1");
        if terminal.seen().contains("3: ") {
            break;
        }
        terminal.press("\x1b");
        terminal.until("threads 5");
        terminal.press("j");
    }
    terminal.until("3: ");
    assert!(terminal.seen().contains(address), "{}", terminal.seen());
    assert!(terminal.seen().contains("waiting"), "{}", terminal.seen());
    terminal.press("q");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_run_recorded_by_a_view_passes_check_and_replays() {
    let target = Target::busy();
    let dir = tempfile::tempdir().unwrap();
    let live = picture(&target.pid(), dir.path(), &["--window", "1s", "--record"]);
    let [run] = runs(dir.path()).try_into().unwrap();
    passes(&run);
    let begin = Recording::open(&run).unwrap().config().started.mono_ns.0;
    let at = format!("{}ns", live["to"].as_u64().unwrap() - begin);
    let output = hostprof()
        .args(["replay", "--once", "--json", "--window", "1s", "--at", &at])
        .arg(&run)
        .output()
        .unwrap();
    let replayed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&live["from"], &live["to"]), (&replayed["from"], &replayed["to"]));
    // What the view showed is what was recorded.
    for number in ["wall_ns", "switches", "times", "runqueue"] {
        assert_eq!(live["all"][number], replayed["all"][number], "{number}");
    }
}

#[test]
fn a_target_that_ends_leaves_the_view_which_goes_on_with_its_recording() {
    let target = Target::busy();
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["live", "--pid", &target.pid(), "-o", dir.path().to_str().unwrap()];
    let mut terminal = Terminal::start(&hostprof_path(), &arguments, &[]);
    terminal.until("(bash)");
    drop(target);
    terminal.until("ended: ");
    terminal.until("REPLAY");
    terminal.until("w saves its recording");
    terminal.press("w");
    terminal.press("q");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
    let [run] = runs(dir.path()).try_into().unwrap();
    let ended = Recording::open(&run).unwrap().config().ended.clone();
    assert_eq!(ended.map(|ended| ended.reason), Some(EndReason::TargetExit));
    passes(&run);
}

/// The state of each thread of a process: its name, nice value, and the system call it is in.
fn threads_of(pid: u32) -> Vec<(String, i32, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks
        .filter_map(|task| {
            let read = |file: &str| std::fs::read_to_string(task.path().join(file)).ok();
            let stat = read("stat")?;
            let nice = stat.rsplit(") ").next()?.split(' ').nth(16)?.parse().ok()?;
            Some((read("comm")?.trim().to_owned(), nice, read("syscall").unwrap_or_default()))
        })
        .collect()
}

#[test]
fn a_terminal_that_nobody_reads_loses_no_record_and_keeps_the_recorder_from_nothing() {
    let target = Workload::start(&["sleeps", "--us", "1000", "--more", "39", "--count", "1000000"]);
    let dir = tempfile::tempdir().unwrap();
    let (pid, out) = (target.pid().to_string(), dir.path().to_str().unwrap().to_owned());
    let arguments = ["live", "--record", "--refresh", "100ms", "--pid", &pid, "-o", &out];
    let mut terminal = Terminal::start(&hostprof_path(), &arguments, &[]);
    terminal.until("LIVE");
    terminal.stop(true);
    let view = terminal.child.id();
    // Its write waits for room in the terminal.
    let is_blocked =
        |(comm, _, call): &(String, i32, String)| comm == "hostprof-view" && call.starts_with("1 ");
    // Each tab that is opened is drawn anew: until there is no room any more.
    let blocked = ["2", "1"].iter().cycle().take(3000).any(|tab| {
        terminal.press(tab);
        std::thread::sleep(std::time::Duration::from_millis(20));
        threads_of(view).iter().any(is_blocked)
    });
    assert!(blocked, "the view waits for its terminal");
    let [run] = runs(dir.path()).try_into().unwrap();
    let written = || std::fs::read_dir(run.join("off_cpu")).map_or(0, Iterator::count);
    let before = written();
    poll("a part that is begun meanwhile", || (written() > before).then_some(()));
    drop(target);
    let totals = poll("a recording that has ended", || Recording::open(&run).ok()?.config().totals.clone());
    assert!(threads_of(view).iter().any(is_blocked), "the terminal was not full all the time");
    assert!(totals.dropped.is_empty(), "{:?}", totals.dropped);
    terminal.stop(false);
    terminal.until("REPLAY");
    terminal.press("q");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
    passes(&run);
}

#[test]
fn a_terminal_that_is_closed_ends_the_view_and_a_replay() {
    let target = Target::busy();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().to_str().unwrap();
    let terminal = Terminal::start(&hostprof_path(), &["live", "--pid", &target.pid(), "-o", out], &[]);
    terminal.until("LIVE");
    assert_eq!(terminal.hang_up(), Some(128 + 1));
    assert_eq!(runs(dir.path()), Vec::<PathBuf>::new());
    picture(&target.pid(), dir.path(), &["--window", "300ms", "--record"]);
    let [run] = runs(dir.path()).try_into().unwrap();
    let terminal = Terminal::start(&hostprof_path(), &["replay", run.to_str().unwrap()], &[]);
    terminal.until("REPLAY");
    assert_eq!(terminal.hang_up(), Some(128 + 1));
}

#[test]
fn threads_hurry_until_the_first_picture_and_no_longer() {
    let target = Target::busy();
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["live", "--pid", &target.pid(), "-o", dir.path().to_str().unwrap()];
    let mut terminal = Terminal::start(&hostprof_path(), &arguments, &[]);
    let view = terminal.child.id();
    poll("haste", || threads_of(view).iter().any(|(_, nice, _)| *nice == -19).then_some(()));
    terminal.until("LIVE");
    let (_, ours, _) = threads_of(std::process::id()).swap_remove(0);
    // What folds and what encodes is preferred throughout.
    let preferred = |comm: &str| comm == "hostprof-fold" || comm.starts_with("sink-");
    let ordinary = || threads_of(view).iter().all(|(comm, nice, _)| *nice == ours || preferred(comm));
    poll("ordinary threads", || ordinary().then_some(()));
    terminal.press("q");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn the_run_that_a_view_writes_is_told_and_so_is_its_ceiling() {
    let target = Target::busy();
    let dir = tempfile::tempdir().unwrap();
    let picture = picture(&target.pid(), dir.path(), &["--window", "500ms", "--max-overhead", "90%"]);
    let health = &picture["health"];
    let run = health["recorder"]["run"].as_str().unwrap();
    assert!(run.starts_with(dir.path().to_str().unwrap()), "{run}");
    assert_eq!(health["recorder"]["kept"], false);
    assert_eq!(health["ceiling"]["limit_ratio"], 0.9);
    assert_eq!(health["ceiling"]["shed"], "");
    assert!(health["ceiling"]["cost_ratio"].as_f64().unwrap() > 0.0, "{health}");
}

#[test]
fn a_frozen_view_shows_what_its_other_tabs_had_in_the_same_window() {
    let target = Workload::start(&["deadlock", "--threads", "4"]);
    let dir = tempfile::tempdir().unwrap();
    let (pid, out) = (target.pid().to_string(), dir.path().to_str().unwrap().to_owned());
    let mut terminal = Terminal::start(&hostprof_path(), &["live", "--pid", &pid, "-o", &out], &[]);
    terminal.until("LIVE");
    terminal.press("p");
    terminal.until("FROZEN");
    terminal.press("2");
    terminal.until("threads 5");
    terminal.press("\r");
    terminal.until("futexes it waited for 1");
    terminal.until("FROZEN");
    terminal.press("q");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_the_view_goes_on_and_small_terminals_say_so() {
    let target = Target::busy();
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["live", "--pid", &target.pid(), "-o", dir.path().to_str().unwrap()];
    let mut terminal = Terminal::start(&hostprof_path(), &arguments, &[]);
    terminal.until("LIVE");
    terminal.press("\x1a");
    poll("the terminal to be given back", || (!terminal.is_raw()).then_some(()));
    let stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", terminal.child.id())).unwrap();
        stat.contains(") T ").then_some(())
    };
    poll("a view that is stopped", stopped);
    send(terminal.child.id(), Signal::SIGCONT);
    poll("a view that goes on", || terminal.is_raw().then_some(()));
    terminal.resize(5, 20);
    send(terminal.child.id(), Signal::SIGWINCH);
    terminal.until("needs 80 x 24");
    terminal.resize(24, 100);
    send(terminal.child.id(), Signal::SIGWINCH);
    terminal.until("LIVE");
    terminal.press("q");
    let (code, text) = terminal.end();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_view_that_is_killed_leaves_no_probe_and_a_run_that_replays() {
    let target = Target::busy();
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["live", "--pid", &target.pid(), "--record", "-o", dir.path().to_str().unwrap()];
    let mut terminal = Terminal::start(&hostprof_path(), &arguments, &[]);
    terminal.until("LIVE");
    // The first part of a table is closed after five seconds.
    let has_part = || {
        let run = runs(dir.path()).pop()?;
        std::fs::read_dir(run.join("off_cpu"))
            .ok()?
            .flatten()
            .find(|part| part.file_name().to_string_lossy().starts_with("part-"))
    };
    poll("a part that is closed", has_part);
    let pid = terminal.child.id();
    send(pid, Signal::SIGKILL);
    terminal.child.wait().unwrap();
    // Programs and maps are held by the process's fds alone: nothing is pinned.
    assert!(!pinned(), "a map or program of ours is pinned");
    let [run] = runs(dir.path()).try_into().unwrap();
    let output = hostprof().args(["replay", "--once", "--json"]).arg(&run).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let picture: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(picture["target"]["end"]["reason"], "recording was cut short");
    assert!(picture["all"]["switches"].as_u64().unwrap() > 10, "{}", picture["all"]);
}

/// Whether anything is in the file system that keeps programs alive.
fn pinned() -> bool {
    std::fs::read_dir("/sys/fs/bpf").is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().contains("hostprof"))
    })
}
