//! The checks, against files made as each machine has them.

use std::{fs, os::unix::fs::symlink, path::Path};

use caps::Capability;
use tempfile::TempDir;

use super::{Finding, Machine, Verdict, checks, run, sources};
use crate::recording::Gpu;

/// A machine of files.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            made.write(path, text.as_bytes());
        }
        made
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn machine(&self) -> Machine {
        Machine::under(self.0.path())
    }

    fn find(&self, name: &str) -> Finding {
        find(&self.machine(), name)
    }
}

fn find(machine: &Machine, name: &str) -> Finding {
    let found = run(machine, checks().chain(sources::CHECKS));
    found.into_iter().find(|finding| finding.name == name).unwrap()
}

#[test]
fn a_kernel_is_judged_by_its_release() {
    for (release, verdict) in [
        ("5.10.0-30-amd64", Verdict::Missing),
        ("5.15.0-91-generic", Verdict::Limited),
        ("6.18.44", Verdict::Ok),
        ("garbage", Verdict::Missing),
    ] {
        let found = Files::new(&[("proc/sys/kernel/osrelease", release)]).find("kernel");
        assert_eq!((found.verdict, found.needed), (verdict, true), "{release}");
    }
}

#[test]
fn lockdown_matters_in_one_mode() {
    for (modes, verdict) in [
        ("[none] integrity confidentiality", Verdict::Ok),
        ("none [integrity] confidentiality", Verdict::Ok),
        ("none integrity [confidentiality]", Verdict::Missing),
    ] {
        let found = Files::new(&[("sys/kernel/security/lockdown", modes)]).find("lockdown");
        assert_eq!(found.verdict, verdict, "{modes}");
    }
    assert_eq!(Files::new(&[]).find("lockdown").verdict, Verdict::NotApplicable);
}

#[test]
fn secure_boot_is_read_from_the_firmware() {
    const VARIABLE: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    let files = Files::new(&[]);
    assert_eq!(files.find("Secure Boot").verdict, Verdict::NotApplicable);
    files.write(VARIABLE, &[6, 0, 0, 0, 1]);
    assert!(files.find("Secure Boot").seen.starts_with("on"));
    files.write(VARIABLE, &[6, 0, 0, 0, 0]);
    assert_eq!(files.find("Secure Boot").seen, "off");
}

#[test]
fn perf_events_above_two_need_an_administrator() {
    let files = Files::new(&[("proc/sys/kernel/perf_event_paranoid", "4\n")]);
    assert_eq!(files.find("perf_event_paranoid").verdict, Verdict::Limited);
    let mut machine = files.machine();
    machine.capabilities.insert(Capability::CAP_SYS_ADMIN);
    assert_eq!(find(&machine, "perf_event_paranoid").verdict, Verdict::Ok);
    files.write("proc/sys/kernel/perf_event_paranoid", b"-1\n");
    assert_eq!(files.find("perf_event_paranoid").verdict, Verdict::Ok);
}

#[test]
fn sandboxes_and_other_kernels_are_known() {
    let gvisor = "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n";
    assert_eq!(Files::new(&[("proc/version", gvisor)]).find("gVisor").verdict, Verdict::Missing);
    for (release, verdict) in [
        ("5.15.153.1-microsoft-standard-WSL2", Verdict::Limited),
        ("4.19.128-microsoft-standard", Verdict::Limited),
        ("4.4.0-19041-Microsoft", Verdict::Missing),
        ("6.1.0-30-amd64", Verdict::NotApplicable),
    ] {
        let found = Files::new(&[("proc/sys/kernel/osrelease", release)]).find("WSL");
        assert_eq!(found.verdict, verdict, "{release}");
    }
}

#[test]
fn namespaces_of_a_container_are_told() {
    let files = Files::new(&[("proc/self/uid_map", "         0     100000      65536\n")]);
    assert_eq!(files.find("user namespace").verdict, Verdict::Missing);
    files.write("proc/self/uid_map", b"         0          0 4294967295\n");
    assert_eq!(files.find("user namespace").verdict, Verdict::Ok);
    let link = |root: &Path, to: &str| {
        let path = root.join("proc/self/ns/pid");
        let _ = fs::remove_file(&path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    };
    link(files.0.path(), "pid:[4026532281]");
    let found = files.find("pid namespace");
    assert_eq!(found.verdict, Verdict::Missing);
    assert!(found.remedy.contains("--pid=host"), "{found:?}");
    link(files.0.path(), "pid:[4026531836]");
    assert_eq!(files.find("pid namespace").verdict, Verdict::Ok);
}

#[test]
fn cgroups_of_either_version_are_told_apart() {
    const V1: &str = "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
    const V2: &str = "31 25 0:27 / /sys/fs/cgroup rw - cgroup2 none rw\n";
    let v1 = Files::new(&[("proc/self/mountinfo", V1)]);
    assert_eq!(
        (v1.find("cgroups").verdict, v1.find("cgroups").seen.as_str()),
        (Verdict::Limited, "v1: memory")
    );
    assert_eq!(v1.find("cgroup_sample").verdict, Verdict::Limited);
    let v2 = Files::new(&[
        ("proc/self/mountinfo", V2),
        ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n"),
    ]);
    assert_eq!(v2.find("cgroups").verdict, Verdict::Ok);
    assert_eq!(v2.find("cgroup_sample").verdict, Verdict::Ok);
    v2.write("sys/fs/cgroup/cgroup.controllers", b"cpuset io\n");
    assert_eq!((v2.find("cgroups").verdict, v2.find("cgroups").seen.as_str()), (Verdict::Limited, "v2: io"));
    assert_eq!(Files::new(&[]).find("cgroup_sample").verdict, Verdict::Missing);
}

#[test]
fn each_capability_that_lacks_is_named() {
    let files = Files::new(&[]);
    assert_eq!(files.find("capabilities").seen, "no CAP_BPF, no CAP_PERFMON");
    let mut machine = files.machine();
    machine.capabilities.insert(Capability::CAP_BPF);
    assert_eq!(find(&machine, "capabilities").seen, "no CAP_PERFMON");
    machine.capabilities.insert(Capability::CAP_PERFMON);
    assert_eq!(find(&machine, "capabilities").verdict, Verdict::Ok);
    machine.capabilities = [Capability::CAP_SYS_ADMIN].into_iter().collect();
    assert_eq!(find(&machine, "capabilities").verdict, Verdict::Ok, "older than both");
    assert_eq!(find(&machine, "other users' processes").verdict, Verdict::Limited);
}

#[test]
fn a_gpu_without_its_driver_library_or_counters_is_told() {
    let files = Files::new(&[]);
    for name in ["NVIDIA driver", "NVML", "GPU counters", "GPM", "MIG", "gpu_sample"] {
        assert_eq!(files.find(name).verdict, Verdict::NotApplicable, "{name}");
    }
    let mut machine = files.machine();
    machine.host.gpus.devices.push(Gpu { pci: "0000:18:00.0".into(), ..Gpu::default() });
    assert_eq!(find(&machine, "NVIDIA driver").verdict, Verdict::Missing);
    machine.host.gpus.driver = Some("580.159.04".into());
    assert_eq!(find(&machine, "NVIDIA driver").verdict, Verdict::Limited, "no device file");
    machine.host.gpus.nvml_missing = Some("load libnvidia-ml.so.1: not found".into());
    assert_eq!(find(&machine, "NVML").verdict, Verdict::Missing);
    assert_eq!(find(&machine, "gpu_sample").verdict, Verdict::Missing);
    assert_eq!(find(&machine, "GPM").verdict, Verdict::Missing);
    machine.host.gpus.nvml_missing = None;
    machine.host.gpus.nvml = Some("13.580.159.04".into());
    assert!(find(&machine, "NVML").seen.ends_with("13.580.159.04"));
    assert_eq!(find(&machine, "GPM").verdict, Verdict::Limited);
    assert_eq!(find(&machine, "gpu_sample").verdict, Verdict::Limited, "no GPM");
    machine.host.gpus.devices[0].gpm = Some(true);
    assert_eq!(find(&machine, "gpu_sample").verdict, Verdict::Ok);
    machine.host.gpus.devices[0].mig = Some(true);
    assert_eq!(find(&machine, "MIG").seen, "divided: 0000:18:00.0");
    files.write("proc/driver/nvidia/params", b"ResmanDebugLevel: 4294967295\nRmProfilingAdminOnly: 1\n");
    assert_eq!(files.find("GPU counters").verdict, Verdict::Limited);
    files.write("proc/driver/nvidia/params", b"RmProfilingAdminOnly: 0\n");
    assert_eq!(files.find("GPU counters").verdict, Verdict::Ok);
}

#[test]
fn what_is_limited_or_missing_has_a_remedy_and_the_rest_has_none() {
    let bare = Files::new(&[]);
    let found = run(&bare.machine(), checks().chain(sources::CHECKS));
    assert!(found.len() > 20);
    for finding in found {
        let wanting = matches!(finding.verdict, Verdict::Limited | Verdict::Missing);
        assert_eq!(wanting, !finding.remedy.is_empty(), "{finding:?}");
        assert!(!finding.why.is_empty() && !finding.seen.is_empty(), "{finding:?}");
    }
}
