//! `hostprof doctor` on the running kernel, and with parts of the machine taken away by namespaces.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::process::{Command, Output};

use hostprof::probe::PROBES;
use serde_json::Value;
use support::{hostprof, hostprof_path};

/// What a doctor's JSON says, and whether it exited with 0.
fn diagnosis(output: &Output) -> (bool, Value) {
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.success(), json)
}

/// The doctor as a shell in new namespaces starts it, after a script.
fn unshared(options: &[&str], script: &str) -> (bool, Value) {
    let script = format!("{script}\nexec \"$0\" doctor --json");
    let mut command = Command::new("unshare");
    command.args(options).args(["sh", "-euc", &script]).arg(hostprof_path());
    diagnosis(&command.output().expect("run unshare"))
}

fn verdict(json: &Value, name: &str) -> String {
    let parts = ["checks", "probes", "samplers"];
    let found = parts.iter().flat_map(|part| json[*part].as_array().unwrap()).find(|one| one["name"] == name);
    found.unwrap()["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn here_a_recording_can_run_and_every_probe_is_told() {
    let (works, json) = diagnosis(&hostprof().args(["doctor", "--json"]).output().unwrap());
    assert!(works && json["can_record"] == true, "{json:#}");
    for probe in PROBES {
        assert_eq!(verdict(&json, probe.name), "ok", "{}: {json:#}", probe.name);
    }
    assert!(!json["topology"]["online_cpus"].as_array().unwrap().is_empty());
    let text = hostprof().arg("doctor").output().unwrap();
    assert!(String::from_utf8_lossy(&text.stdout).ends_with("hostprof can record here\n"));
}

#[test]
fn without_capabilities_the_answer_is_no_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(1000), Some(1000)).unwrap();
    let copy = dir.path().join("hostprof");
    std::fs::copy(hostprof_path(), &copy).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "1000", "--regid", "1000", "--clear-groups"])
        .arg(copy)
        .args(["doctor", "--json"]);
    let (works, json) = diagnosis(&command.output().expect("run setpriv"));
    assert!(!works && json["can_record"] == false);
    assert_eq!(verdict(&json, "capabilities"), "missing");
    assert_eq!(verdict(&json, "sched"), "missing");
}

#[test]
fn a_container_without_the_hosts_ids_or_capabilities_is_known() {
    let (works, json) = unshared(&["-pf", "--mount-proc"], "");
    assert_eq!((works, verdict(&json, "pid namespace").as_str()), (false, "missing"));
    let (works, json) = unshared(&["-Ur"], "");
    assert_eq!((works, verdict(&json, "user namespace").as_str()), (false, "missing"));
    assert_eq!(verdict(&json, "sched"), "missing", "the kernel refuses");
}

#[test]
fn without_the_kernels_types_nothing_and_without_tracefs_all_can_be_recorded() {
    let (works, json) = unshared(&["-m"], "mount -t tmpfs none /sys/kernel/btf");
    assert_eq!((works, verdict(&json, "kernel types (BTF)").as_str()), (false, "missing"));
    let (works, json) = unshared(
        &["-m"],
        "umount -l /sys/kernel/tracing 2>/dev/null || true\numount -l /sys/kernel/debug 2>/dev/null || true",
    );
    assert_eq!((works, verdict(&json, "tracefs").as_str()), (true, "limited"));
    assert_eq!(verdict(&json, "sched"), "ok");
}

#[test]
fn cgroups_are_told_by_what_is_mounted() {
    let over = "mount -t tmpfs none /sys/fs/cgroup\n";
    let (works, json) = unshared(&["-m"], over);
    assert_eq!((works, verdict(&json, "cgroup_sample").as_str()), (true, "missing"));
    let (works, json) = unshared(&["-m"], &format!("{over}mount -t cgroup2 none /sys/fs/cgroup"));
    let told = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let v2_alone = !told.contains(" - cgroup cgroup ");
    let expected = if v2_alone { "ok" } else { "limited" };
    assert_eq!((works, verdict(&json, "cgroup_sample").as_str()), (true, expected), "{json:#}");
}
