//! Containers as runtimes make them, by hand: cgroups of either version with a runtime's paths, namespaces.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use hostprof::table::ThreadRow;
use support::{Recorder, Workload, hostprof, poll, workload_path};

const UID: &str = "7b2c8f0e-1d3a-4c5b-9e8f-0a1b2c3d4e5f";

/// Every hierarchy that processes can be moved about in: v2, and one of v1.
fn hierarchies() -> Vec<PathBuf> {
    let is_v2 = |path: &&&str| Path::new(path).join("cgroup.subtree_control").exists();
    let v2 = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let v1 = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/freezer"];
    let v1 = v1.iter().find(|path| Path::new(path).join("cgroup.procs").exists() && !is_v2(path));
    let found: Vec<PathBuf> = v2.iter().find(is_v2).into_iter().chain(v1).map(PathBuf::from).collect();
    assert!(!found.is_empty(), "no cgroup file system is mounted");
    found
}

/// An id that no other test has.
fn id(salt: u32) -> String {
    format!("{:08x}{:08x}{:048x}", std::process::id() ^ 0xa5a5_0000, salt, 0xabcu32)
}

/// A cgroup, removed with those above it that were made for it.
struct Cgroup {
    root: PathBuf,
    path: PathBuf,
}

impl Cgroup {
    fn make(root: &Path, path: &str) -> Self {
        let made = Self { root: root.to_owned(), path: root.join(path) };
        fs::create_dir_all(&made.path).unwrap();
        made
    }

    /// A shell line that moves the shell.
    fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.path.display())
    }

    fn take(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let mut path = self.path.clone();
        // Processes leave a little after they were waited for.
        for _ in 0..200 {
            if fs::remove_dir(&path).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        while path.pop() && path != self.root && fs::remove_dir(&path).is_ok() {}
    }
}

fn places(threads: &[ThreadRow]) -> Vec<(Option<&str>, Option<&str>)> {
    let mut places: Vec<_> =
        threads.iter().map(|thread| (thread.container_id.as_deref(), thread.pod.as_deref())).collect();
    places.sort_unstable();
    places.dedup();
    places
}

#[test]
fn a_container_is_recorded_by_part_of_its_id_and_what_is_outside_is_not() {
    for (salt, root) in hierarchies().iter().enumerate() {
        let id = id(salt as u32);
        let cgroup = Cgroup::make(root, &format!("kubepods/burstable/pod{UID}/{id}"));
        let inside = Workload::start(&["storm", "--seconds", "60"]);
        let outside = Workload::start(&["storm", "--seconds", "60"]);
        cgroup.take(inside.pid());
        let recorder = Recorder::start(&["--container", &id[..16], "--duration", "500ms"]);
        let recorded = recorder.finish().checked();
        let threads = recorded.rows::<ThreadRow>();
        assert_eq!(places(&threads), [(Some(id.as_str()), Some(UID))], "{}", root.display());
        assert!(threads.iter().all(|thread| thread.tgid != outside.pid()), "{}", root.display());
        assert!(threads.iter().any(|thread| thread.tgid == inside.pid()));
        assert_eq!(recorded.config().target.kind, "container");
        inside.kill();
        outside.kill();
    }
}

#[test]
fn a_process_that_a_runtime_moves_before_its_exec_is_in_the_container() {
    for (salt, root) in hierarchies().iter().enumerate() {
        let id = id(0x100 + salt as u32);
        let cgroup = Cgroup::make(root, &format!("system.slice/docker-{id}.scope"));
        let inner = format!("{}; exec sh -c \"sleep 0.3; true\"", cgroup.enter());
        let script = format!("sh -c '{inner}' & sleep 0.4; wait");
        let recorded = Recorder::spawn(&["--", "sh", "-c", &script]).finish().checked();
        assert!(recorded.status.success(), "{}", recorded.stderr);
        let threads = recorded.rows::<ThreadRow>();
        assert_eq!(places(&threads), [(None, None), (Some(id.as_str()), None)], "{}", root.display());
        let sleeps =
            threads.iter().filter(|thread| thread.exe.as_deref().is_some_and(|exe| exe.ends_with("sleep")));
        let mut inside: Vec<bool> = sleeps.map(|thread| thread.container_id.is_some()).collect();
        inside.sort_unstable();
        assert_eq!(inside, [false, true], "one in it, as a child of its shell, and one outside");
    }
}

#[test]
fn a_container_is_found_by_the_name_its_runtime_knows() {
    let root = hierarchies().remove(0);
    let id = id(0x200);
    let cgroup = Cgroup::make(&root, &format!("docker/{id}"));
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    cgroup.take(workload.pid());
    let bin = tempfile::tempdir().unwrap();
    let docker = bin.path().join("docker");
    let script = format!("#!/bin/sh\nfor name; do :; done\n[ \"$name\" = server ] && echo {id}\n");
    fs::write(&docker, script).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
    let mut command = hostprof();
    command.env("PATH", path);
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("runs");
    let arguments = ["--container", "server", "--duration", "300ms"];
    let recorded = Recorder::spawn_command(command, scratch, &out, &arguments).finish();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    assert_eq!(places(&recorded.rows::<ThreadRow>()), [(Some(id.as_str()), None)]);
    assert_eq!(recorded.config().target.value, "server");
    workload.kill();
}

#[test]
fn a_container_that_is_not_there_is_refused_with_what_was_tried() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("runs");
    for name in ["no-such-container", &"f".repeat(64), "--help"] {
        let output = hostprof()
            .arg("record")
            .arg("-o")
            .arg(&out)
            .arg(format!("--container={name}"))
            .output()
            .expect("run hostprof");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{name}: {stderr}");
        assert!(stderr.contains("there is none") && stderr.contains("Docker"), "{stderr}");
        assert!(!out.exists());
    }
}

#[test]
fn hostprof_in_a_container_that_shares_the_hosts_ids_records_another_container() {
    let root = hierarchies().remove(0);
    let id = id(0x300);
    let cgroup = Cgroup::make(&root, &format!("docker/{id}"));
    // Its own pid, mount, network, host name and cgroup namespaces, as a runtime gives a container.
    let mut command = Command::new("unshare");
    command.args(["-pmnuif", "-C", "--mount-proc"]).arg(workload_path()).args(["storm", "--seconds", "60"]);
    let workload = Workload::start_command(&mut command);
    let init = poll("the container's first process", || {
        let path = format!("/proc/{0}/task/{0}/children", workload.child_pid());
        fs::read_to_string(path).ok()?.split_whitespace().next()?.parse::<u32>().ok()
    });
    cgroup.take(init);
    // And the recorder in all but the pid namespace.
    let mut outer = Command::new("unshare");
    outer.args(["-mnui", "-C"]).arg(support::hostprof_path());
    for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER"] {
        outer.env_remove(name);
    }
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("runs");
    let arguments = ["--container", &id, "--duration", "500ms"];
    let recorded = Recorder::spawn_command(outer, scratch, &out, &arguments).finish().checked();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let threads = recorded.rows::<ThreadRow>();
    assert_eq!(places(&threads), [(Some(id.as_str()), None)]);
    let main = threads.iter().find(|thread| thread.tid == init).expect("its first process");
    assert_eq!(main.ns_tid, Some(1));
    workload.kill();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(init.cast_signed()), nix::sys::signal::Signal::SIGKILL)
        .ok();
}
