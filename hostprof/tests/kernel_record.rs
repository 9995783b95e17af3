//! `hostprof record` as a user meets it: how it ends, what it refuses, whose files it makes.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::duration_suboptimal_units,
    reason = "helpers of tests are tests"
)]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
    process::{Command, Output},
    thread::sleep,
    time::Duration,
};

use hostprof::{
    recording::{EndReason, Recording},
    table::{LossRow, OffCpuRow, ThreadRow},
};
use nix::sys::signal::Signal;
use support::{
    Recorder, Workload, hostprof, hostprof_path, mono_ns, poll,
    recorded::{self, check, line, number},
    workload_path,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `hostprof record -o OUT ARGUMENTS`, to its end.
fn record_in(out: &Path, arguments: &[&str]) -> Output {
    hostprof().arg("record").arg("-o").arg(out).args(arguments).output().expect("run hostprof")
}

/// Asserts a refusal: one line with the words, the status, and nothing left behind.
fn assert_refused(arguments: &[&str], status: i32, words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("runs");
    let output = record_in(&out, arguments);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {stderr}");
    assert!(words.iter().all(|word| stderr.contains(word)), "{arguments:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    let left = fs::read_dir(&out).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{arguments:?}: something is left in {}", out.display());
}

#[test]
fn a_commands_status_is_hostprofs() {
    for (script, status) in [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143)] {
        let recorded = Recorder::spawn(&["--", "sh", "-c", script]).finish();
        assert_eq!(recorded.status.code(), Some(status), "{script}: {}", recorded.stderr);
        assert_eq!(recorded.config().exit_status, Some(status), "{script}");
        assert_eq!(recorded.reason(), &EndReason::TargetExit);
        recorded.checked();
    }
}

#[test]
fn a_command_that_cannot_run_leaves_nothing_behind() {
    assert_refused(&["--", "no-such-command-here"], 127, &["command not found"]);
    assert_refused(&["--", "/etc/passwd"], 126, &["/etc/passwd"]);
}

#[test]
fn a_target_that_cannot_be_recorded_is_refused_in_one_line() {
    assert_refused(&["--pid", "4194303"], 1, &["no such process"]);
    if fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm.trim() == "kthreadd") {
        assert_refused(&["--pid", "2"], 1, &["kernel thread"]);
    }
    assert_refused(&["--probe", "sched,nonsense", "--", "true"], 125, &["nonsense", "none of that name"]);
    assert_refused(&["--probe=-sched", "--", "true"], 125, &["leave out probe", "sched"]);
}

#[test]
fn ctrl_c_goes_to_the_command_and_the_files_are_complete() {
    let script = "trap 'exit 9' INT; while :; do sleep 0.01; done";
    let recorder = Recorder::start(&["--", "sh", "-c", script]);
    sleep(Duration::from_millis(300));
    let recorded = recorder.interrupt().checked();
    assert_eq!(recorded.status.code(), Some(9), "{}", recorded.stderr);
    assert_eq!(recorded.reason(), &EndReason::TargetExit);
}

#[test]
fn a_recording_of_a_process_ends_on_a_signal_or_when_time_is_over_or_the_process() {
    let workload = Workload::start(&["deadlock"]);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let recorder = Recorder::attach(workload.pid());
        sleep(Duration::from_millis(200));
        recorder.send(signal);
        let recorded = recorder.finish().checked();
        assert!(recorded.status.success(), "{signal}: {}", recorded.stderr);
        assert_eq!(recorded.reason(), &EndReason::Signal);
    }
    let pid = workload.pid().to_string();
    let recorded = Recorder::spawn(&["--pid", &pid, "--duration", "300ms"]).finish().checked();
    assert_eq!((recorded.status.code(), recorded.reason()), (Some(0), &EndReason::Duration));
    let recorder = Recorder::attach(workload.pid());
    workload.kill();
    let recorded = recorder.finish();
    assert_eq!((recorded.status.code(), recorded.reason()), (Some(0), &EndReason::TargetExit));
    assert!(recorded.rows::<ThreadRow>().iter().all(|thread| thread.exit_mono_ns.is_some()));
}

#[test]
fn a_recording_ends_at_its_greatest_size() {
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    let pid = workload.pid().to_string();
    let recorded = Recorder::spawn(&["--pid", &pid, "--max-size", "100KiB"]).finish().checked();
    assert_eq!((recorded.status.code(), recorded.reason()), (Some(0), &EndReason::MaxSize));
    workload.stop();
}

#[test]
fn root_follows_no_link_that_stands_for_the_folder_of_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    let output = record_in(&link, &["--", "true"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("is a symbolic link"), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(&real).unwrap().count(), 0);
}

#[test]
fn two_recorders_at_once_have_a_folder_each() {
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("runs");
    let pid = workload.pid().to_string();
    let arguments = ["--pid", &pid, "--duration", "500ms"];
    let recorders =
        [(); 2].map(|()| Recorder::spawn_command(hostprof(), tempfile::tempdir().unwrap(), &out, &arguments));
    let runs = recorders.map(|recorder| recorder.finish().checked().run);
    assert_ne!(runs[0], runs[1]);
    workload.stop();
}

#[test]
fn a_command_is_told_the_folder_it_is_recorded_into() {
    let told = tempfile::NamedTempFile::new().unwrap();
    let script = format!("printf %s \"$HOSTPROF_RUN\" > {}", told.path().display());
    let recorded = Recorder::spawn(&["--", "sh", "-c", &script]).finish();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    assert_eq!(
        fs::read_to_string(told.path()).unwrap(),
        recorded.run.canonicalize().unwrap().to_string_lossy()
    );
}

#[test]
fn a_killed_recorder_leaves_whole_parts() {
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    let recorder = Recorder::attach(workload.pid());
    let run = recorder.out().join("run_001");
    let parts = || Recording::open(&run).ok()?.parts::<OffCpuRow>().ok().filter(|parts| !parts.is_empty());
    poll("a part", parts);
    recorder.send(Signal::SIGKILL);
    let (_, _, _, _scratch) = recorder.output();
    workload.stop();
    let recording = recorded::open(&run);
    assert!(recording.config().ended.is_none() && !recording.goes_on());
    assert!(!recorded::rows::<OffCpuRow>(&recording).is_empty());
}

#[test]
fn what_a_full_ring_drops_is_told_from_the_first_record_on() {
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    let pid = workload.pid().to_string();
    let arguments = ["--pid", &pid, "--ring-size", "4KiB", "--duration", "300ms"];
    let recorded = Recorder::spawn(&arguments).finish();
    workload.stop();
    let told: u64 = recorded.rows::<LossRow>().iter().map(|row| row.dropped).sum();
    let missed: u64 = recorded.rows::<ThreadRow>().iter().map(|thread| thread.lost_switches).sum();
    assert!(missed > 0, "56 records fill a ring of 4 KiB");
    assert!(told >= missed, "{told} told, {missed} missed");
}

/// A small file system in memory, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path());
        assert!(mount.status().expect("run mount").success(), "mount a tmpfs");
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_ends_the_recording_and_leaves_whole_parts() {
    let disk = SmallDisk::mount("64M");
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    let pid = workload.pid().to_string();
    let out = disk.0.path().join("runs");
    let arguments = ["--pid", &pid, "--min-free", "0%"];
    let recorder = Recorder::spawn_command(hostprof(), tempfile::tempdir().unwrap(), &out, &arguments);
    let run = out.join("run_001");
    poll("a part", || {
        Recording::open(&run).ok()?.parts::<OffCpuRow>().ok().filter(|parts| !parts.is_empty())
    });
    // As much as there is room for: the write ends with an error.
    let _ = fs::write(disk.0.path().join("filler"), vec![1; 128 << 20]);
    let recorded = recorder.finish();
    workload.stop();
    assert_eq!(recorded.reason(), &EndReason::DiskFull, "{}", recorded.stderr);
    assert!(!recorded.rows::<OffCpuRow>().is_empty());
}

/// Every file and folder below.
fn all_below(path: &Path, found: &mut Vec<fs::Metadata>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    if metadata.is_dir() {
        fs::read_dir(path).unwrap().flatten().for_each(|entry| all_below(&entry.path(), found));
    }
    found.push(metadata);
}

const USER: u32 = 1000;

/// A folder that belongs to the user, who may reach it.
fn users_folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(USER), Some(USER)).unwrap();
    dir
}

#[test]
fn through_sudo_the_files_are_the_users() {
    let dir = users_folder();
    let out = dir.path().join("runs");
    let mut command = hostprof();
    command.env("SUDO_UID", USER.to_string()).env("SUDO_GID", USER.to_string());
    let workload = workload_path();
    let arguments = ["--".as_ref(), workload.as_os_str(), "sleeps".as_ref()];
    let recorder = Recorder::spawn_command(command, tempfile::tempdir().unwrap(), &out, &arguments);
    let recorded = recorder.finish().checked();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    assert_eq!(recorded.config().capabilities, ["CAP_BPF"]);
    let mut found = Vec::new();
    all_below(&out.join("run_001"), &mut found);
    assert!(found.len() > 5);
    for metadata in found {
        let mode = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o777), (USER, USER, mode));
    }
}

/// hostprof as the user, from a copy in the user's folder, with the file capabilities given.
fn as_user(dir: &Path, capabilities: Option<&str>) -> Command {
    let copy = dir.join("hostprof");
    fs::copy(hostprof_path(), &copy).unwrap();
    if let Some(capabilities) = capabilities {
        let mut setcap = Command::new("setcap");
        assert!(setcap.arg(capabilities).arg(&copy).status().expect("run setcap").success());
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "1000", "--regid", "1000", "--clear-groups"]).arg(copy).current_dir(dir);
    command.env_remove("SUDO_UID").env_remove("SUDO_GID");
    command
}

#[test]
fn a_user_with_two_file_capabilities_records_and_checks() {
    let dir = users_folder();
    let workload = dir.path().join("workload");
    fs::copy(workload_path(), &workload).unwrap();
    let command = as_user(dir.path(), Some("cap_bpf,cap_perfmon+ep"));
    let arguments = ["--".as_ref(), workload.as_os_str(), "sleeps".as_ref()];
    let out = dir.path().join("runs");
    let recorder = Recorder::spawn_command(command, tempfile::tempdir().unwrap(), &out, &arguments);
    let recorded = recorder.finish();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    check(&recorded.run);
    assert_eq!(recorded.config().user.uid, USER);
    assert_eq!(number(recorded.done(), "sleeps"), 100);
}

#[test]
fn a_user_without_capabilities_is_told_the_remedy() {
    let dir = users_folder();
    let mut command = as_user(dir.path(), None);
    let output = command.args(["record", "--pid", "1", "-o", "runs"]).output().expect("run setpriv");
    let stderr = text(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    assert!(stderr.contains("operation not permitted") && stderr.contains("setcap"), "{stderr}");
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn a_folder_that_the_user_may_not_write_to_is_refused() {
    let roots = tempfile::tempdir().unwrap();
    let dir = users_folder();
    let mut command = as_user(dir.path(), Some("cap_bpf,cap_perfmon+ep"));
    let output = command
        .args(["record", "-o"])
        .arg(roots.path().join("runs"))
        .args(["--", "true"])
        .output()
        .expect("run setpriv");
    assert_eq!(output.status.code(), Some(125), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("-o"), "{}", text(&output.stderr));
}

#[test]
fn a_process_in_another_pid_namespace_has_both_its_ids() {
    let mut command = Command::new("unshare");
    command.args(["-pmf", "--mount-proc"]).arg(workload_path());
    command.args(["--hold", "sleeps", "--count", "50"]);
    let mut workload = Workload::start_command(&mut command);
    assert_eq!(workload.pid(), 1, "its own view");
    let begun = mono_ns();
    let recorder = Recorder::attach(workload.child_pid());
    workload.go();
    let lines = workload.finish();
    let recorded = recorder.finish().checked();
    let ns_tid = number(line(&lines, "done"), "tid") as u32;
    let threads = recorded.rows::<ThreadRow>();
    let sleeper = threads.iter().find(|thread| thread.comm == "sleeper").expect("the sleeper");
    assert!(sleeper.begin_mono_ns > begun && sleeper.tid != ns_tid, "{sleeper:?}");
    let main = threads.iter().find(|thread| thread.comm == "workload").expect("the main thread");
    assert!(main.ns_tid == Some(1) && main.tid != 1, "{main:?}");
    let sleeps = recorded.off_cpu(sleeper.tid);
    assert!(sleeps.iter().filter(|row| row.syscall_nr == Some(230)).count() == 50, "{}", sleeps.len());
}

#[test]
fn hostprof_inside_a_pid_namespace_refuses_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-pf", "--mount-proc"]).arg(hostprof_path()).args(["record", "-o"]);
    let output = command.arg(dir.path().join("runs")).args(["--pid", "1"]).output().expect("run unshare");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("--pid=host") && stderr.lines().count() == 1, "{stderr}");
}
