//! Other tools in the same run: strace, perf and perf sched, as they are on this machine. One that is not there must be
//! refused with its line, so that each test holds with and without it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use hostprof::{
    recording::AlsoTool,
    table::{OffCpuRow, State},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use self::support::{
    Recorded, Recorder, Workload, hostprof, poll, record_with, recorded::number, status_field, workload_path,
};

const ALL: &str = "strace,perf,perf-sched";
const USER: u32 = 1000;

/// Whether a program is there and runs.
fn is_here(program: &str, option: &str) -> bool {
    let status = Command::new(program).arg(option).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn strace_is_here() -> bool {
    is_here("strace", "-V")
}

fn perf_is_here() -> bool {
    is_here("perf", "--version")
}

fn tool<'a>(recorded: &'a Recorded, name: &str) -> &'a AlsoTool {
    recorded.config().also.iter().find(|tool| tool.name == name).expect("the tool")
}

/// Of a tool that is not there: its line, its reason, no file. Whether it is.
fn ran(recorded: &Recorded, name: &str, is_here: bool, files: &[&str]) -> bool {
    let tool = tool(recorded, name);
    if is_here {
        assert_eq!((tool.reason.as_str(), &tool.notes), ("", &Vec::new()), "{name}");
        assert_eq!(tool.files, files, "{name}");
        let (start, end) = (tool.start_mono_ns.unwrap(), tool.end_mono_ns.unwrap());
        let config = recorded.config();
        assert!(config.started.mono_ns.0 <= start && start < end, "{name}: {start} to {end}");
        assert!(matches!(tool.exit_status, Some(0 | 130)), "{name}: {:?}", tool.exit_status);
        for file in files {
            let found = fs::metadata(recorded.run.join(file)).unwrap();
            assert!(found.len() > 0 && found.mode() & 0o777 == 0o600, "{file}: {found:?}");
        }
    } else {
        let line = format!("hostprof: {name} left out: ");
        assert_eq!(recorded.stderr.matches(&line).count(), 1, "{}", recorded.stderr);
        assert!(tool.reason.contains("install package"), "{}", tool.reason);
        assert!(files.iter().all(|file| !recorded.run.join(file).exists()));
    }
    assert!(!recorded.run.join(".sched.data").exists());
    is_here
}

fn read(recorded: &Recorded, file: &str) -> String {
    String::from_utf8_lossy(&fs::read(recorded.run.join(file)).unwrap()).into_owned()
}

/// Of those times, how many have another within `near` nanoseconds.
fn share_with_one_near(times: &[u64], others: &mut [u64], near: u64) -> f64 {
    others.sort_unstable();
    let has = |time: &&u64| {
        let at = others.partition_point(|&other| other + near < **time);
        others.get(at).is_some_and(|&other| other <= **time + near)
    };
    times.iter().filter(has).count() as f64 / times.len() as f64
}

/// `13693.101093` as nanoseconds.
fn nanoseconds(seconds: &str) -> Option<u64> {
    let (whole, fraction) = seconds.split_once('.')?;
    let scale = 10_u64.pow(9 - u32::try_from(fraction.len()).ok()?);
    Some(whole.parse::<u64>().ok()? * 1_000_000_000 + fraction.parse::<u64>().ok()? * scale)
}

#[test]
fn the_tools_see_the_sleeps_of_a_command_when_hostprof_sees_them() {
    let recorded = record_with(&["--also", ALL], &["sleeps", "--count", "100"]).checked();
    let tid = number(recorded.usage("sleeper"), "tid") as u32;
    let sleeps: Vec<OffCpuRow> = recorded.in_state(tid, State::Sleep);
    let times: Vec<u64> = sleeps.iter().map(|row| row.ts_mono_ns).collect();
    assert!(times.len() >= 100, "{} sleeps", times.len());

    if ran(&recorded, "perf-sched", perf_is_here(), &["sched.txt"]) {
        let text = read(&recorded, "sched.txt");
        let of = format!("[{tid}/");
        let lines = text.lines().filter(|line| line.contains(&of));
        let mut outs: Vec<u64> =
            lines.filter_map(|line| nanoseconds(line.split_whitespace().next()?)).collect();
        let share = share_with_one_near(&times, &mut outs, 20_000);
        assert!(share >= 0.95, "{share} of the sleeps are in sched.txt");
        for part in ["-time summary", &format!("sleeper[{tid}/"), &format!("sleeper:{tid} ")] {
            assert!(text.contains(part), "{part} is not in sched.txt");
        }
    }
    if ran(&recorded, "strace", strace_is_here(), &["strace.txt"]) {
        let anchor = recorded.config().clock_anchors[0];
        let text = read(&recorded, "strace.txt");
        let of = format!("{tid} ");
        let calls = text.lines().filter(|line| line.starts_with(&of) && line.contains("nanosleep("));
        let wall = calls.filter_map(|line| nanoseconds(line.split_whitespace().nth(1)?));
        let mut calls: Vec<u64> = wall.map(|wall| wall - anchor.wall_ns + anchor.mono_ns).collect();
        let share = share_with_one_near(&times, &mut calls, 2_000_000);
        assert!(share >= 0.95, "{share} of the sleeps are in strace.txt");
    }
    if ran(&recorded, "perf", perf_is_here(), &["perf.data", "perf-flamegraph.svg"]) {
        let svg = read(&recorded, "perf-flamegraph.svg");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}

#[test]
fn the_flame_graph_names_the_function_that_burns() {
    let recorded = record_with(&["--also", "perf"], &["spin", "--seconds", "1"]).checked();
    if ran(&recorded, "perf", perf_is_here(), &["perf.data", "perf-flamegraph.svg"]) {
        let svg = read(&recorded, "perf-flamegraph.svg");
        let samples = svg.split("<title>all · ").nth(1).and_then(|rest| rest.split(' ').next());
        let samples: u64 = samples.unwrap().parse().unwrap();
        assert!(samples > 100, "{samples} samples");
        // By the thread's name, then by what the compiler left of the functions.
        assert!(svg.contains("<title>spin-0 · "), "the thread is not in the picture");
        let function =
            ["<title>workload::", "__rust_begin_short_backtrace"].iter().any(|name| svg.contains(name));
        assert!(function, "no function of the program is in the picture");
    }
}

#[test]
fn without_the_tools_each_is_a_line_and_the_recording_goes_on() {
    let nothing = tempfile::tempdir().unwrap();
    let mut command = hostprof();
    command.env("PATH", nothing.path());
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("runs");
    let workload = workload_path();
    let arguments = ["--also".as_ref(), ALL.as_ref(), "--".as_ref(), workload.as_os_str(), "sleeps".as_ref()];
    let recorded = Recorder::spawn_command(command, scratch, &out, &arguments).finish().checked();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    ran(&recorded, "strace", false, &["strace.txt"]);
    ran(&recorded, "perf", false, &["perf.data", "perf-flamegraph.svg"]);
    ran(&recorded, "perf-sched", false, &["sched.txt"]);
    assert_eq!(number(recorded.done(), "sleeps"), 100);
}

/// What writes, sends, opens, runs and names a secret for a second, `$S`, in the folder `$D`.
const SCRIPT: &str = r#"sleep 1; n=0; while [ $n -lt 20 ]; do n=$((n+1))
echo "$S" > "$D/$S.txt"; cat "$D/$S.txt"; mv "$D/$S.txt" "$D/$S.2"; ls "$D/$S.none"; /bin/echo "$S" | cat; rm "$D/$S.2"
(exec env "X=$S" true "$S"); cd "$D"; done"#;

#[test]
fn nothing_that_the_target_writes_opens_or_runs_with_is_in_a_file_of_a_tool() {
    const SECRET: &str = "Xq7vPlanted9Zk2mW4";
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).env("S", SECRET).env("D", folder.path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let recorded = Recorder::start(&["--pid", &child.id().to_string(), "--also", ALL]).finish();
    assert!(child.wait().unwrap().success());
    assert!(recorded.status.success(), "{}", recorded.stderr);
    recorded.assert_nowhere(SECRET);
    if ran(&recorded, "strace", strace_is_here(), &["strace.txt"]) {
        let text = read(&recorded, "strace.txt");
        for call in ["openat(", "execve(", "write(", "read(", "rename"] {
            assert!(text.contains(call), "{call} is in no line: nothing was looked at");
        }
    }
    ran(&recorded, "perf", perf_is_here(), &["perf.data", "perf-flamegraph.svg"]);
    ran(&recorded, "perf-sched", perf_is_here(), &["sched.txt"]);
}

fn tracer(pid: u32) -> u32 {
    status_field(pid, pid, "TracerPid").and_then(|tracer| tracer.parse().ok()).unwrap_or(0)
}

#[test]
fn a_target_that_is_traced_already_is_recorded_without_strace() {
    let workload = Workload::start(&["sleeps", "--linger"]);
    let pid = workload.pid().to_string();
    let other = strace_is_here().then(|| {
        let mut strace = Command::new("strace");
        strace
            .args(["-o", "/dev/null", "-e", "trace=none", "-p", &pid])
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    if let Some(other) = &other {
        poll("a tracer", || (tracer(workload.pid()) == other.id()).then_some(()));
    }
    let recorded = Recorder::spawn(&["--pid", &pid, "--duration", "300ms", "--also", "strace"]).finish();
    let line = match &other {
        Some(other) => format!("strace left out: process {pid} is traced by process {} already", other.id()),
        None => "strace left out: strace not found".to_owned(),
    };
    assert!(recorded.stderr.contains(&line), "{}", recorded.stderr);
    assert!(!recorded.run.join("strace.txt").exists());
    assert!(recorded.status.success());
    if let Some(mut other) = other {
        other.kill().unwrap();
        other.wait().unwrap();
    }
    workload.kill();
}

#[test]
fn a_tool_that_ends_early_is_told_and_one_does_not_outlive_hostprof() {
    if !strace_is_here() {
        let recorded = record_with(&["--also", "strace"], &["sleeps"]);
        ran(&recorded, "strace", false, &["strace.txt"]);
        return;
    }
    let workload = Workload::start(&["sleeps", "--count", "1000000"]);
    let pid = workload.pid().to_string();
    let recorder = Recorder::start(&["--pid", &pid, "--also", "strace"]);
    let strace = poll("strace", || Some(tracer(workload.pid())).filter(|&tracer| tracer != 0));
    thread::sleep(Duration::from_millis(200));
    kill(Pid::from_raw(strace.cast_signed()), Signal::SIGKILL).unwrap();
    poll("the end of strace", || (tracer(workload.pid()) == 0).then_some(()));
    thread::sleep(Duration::from_millis(300));
    let recorded = recorder.interrupt();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    assert!(recorded.stderr.contains("strace: ended early with status 137"), "{}", recorded.stderr);
    assert!(recorded.run.join("strace.txt").exists());

    let recorder = Recorder::start(&["--pid", &pid, "--also", "strace"]);
    poll("strace", || (tracer(workload.pid()) != 0).then_some(()));
    recorder.send(Signal::SIGKILL);
    poll("the end of strace", || (tracer(workload.pid()) == 0).then_some(()));
    assert_eq!(support::task_state(workload.pid(), workload.pid()).map(|state| state == 'T'), Some(false));
    workload.kill();
}

#[test]
fn through_sudo_the_files_of_the_tools_are_the_users() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(USER), Some(USER)).unwrap();
    let out = folder.path().join("runs");
    let mut command = hostprof();
    command.env("SUDO_UID", USER.to_string()).env("SUDO_GID", USER.to_string());
    let workload = workload_path();
    let arguments = ["--also".as_ref(), ALL.as_ref(), "--".as_ref(), workload.as_os_str(), "sleeps".as_ref()];
    let recorder = Recorder::spawn_command(command, tempfile::tempdir().unwrap(), &out, &arguments);
    let recorded = recorder.finish();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let strace = ran(&recorded, "strace", strace_is_here(), &["strace.txt"]);
    let owned =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.uid() == USER && found.gid() == USER);
    assert!(!strace || owned(&recorded.run.join("strace.txt")));
    if perf_is_here() {
        // What is left out of a picture for want of rights is a note: not whether there is one.
        for file in ["perf.data", "perf-flamegraph.svg", "sched.txt"] {
            assert!(owned(&recorded.run.join(file)), "{file}: {}", recorded.stderr);
        }
    }
    support::recorded::check(&recorded.run);
}
