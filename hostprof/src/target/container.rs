//! From the cgroup paths of a process to its container and pod.
//!
//! Knows the paths that Docker, containerd, CRI-O, Podman, the kubelet (both cgroup drivers) and LXC make, in
//! cgroup v1 and v2. Names of containers are no part of a path: `container_name` finds those.

use crate::probe::Placement;

/// A container's id in hexadecimal digits, as all runtimes but LXC make it.
const ID_DIGITS: usize = 64;

/// What runtimes set before the id in a scope's name. A monitor (`conmon`) is beside its container, not in it.
const SCOPES: &[&str] = &[
    "docker-",
    "cri-containerd-",
    "crio-",
    "libpod-",
    "nerdctl-",
    "containerd-",
    "buildkit-",
    "cri-docker-",
];

/// The container and pod of a process, by the text of its `/proc/PID/cgroup`.
///
/// The innermost counts: a container in a container has its own id. Where hierarchies differ, the first that
/// names a container does.
pub fn placement(cgroups: &str) -> Placement {
    let mut found = Placement::default();
    for line in cgroups.lines() {
        let Some(path) = line.splitn(3, ':').nth(2) else { continue };
        let here = of_path(path);
        found.container_id = found.container_id.or(here.container_id);
        found.pod = found.pod.or(here.pod);
    }
    found
}

fn of_path(path: &str) -> Placement {
    let mut found = Placement::default();
    let parts: Vec<&str> = path.split('/').collect();
    for (at, part) in parts.iter().enumerate() {
        let before = at.checked_sub(1).map_or("", |at| parts[at]);
        if let Some(pod) = pod(part) {
            found.pod = Some(pod);
            // A container around the node (kind) is not the pod's.
            found.container_id = None;
        }
        if let Some(id) = id(part).or_else(|| lxc(part, before)) {
            found.container_id = Some(id);
        }
    }
    found
}

/// The id in one part of a path: alone, or in a scope's name.
fn id(part: &str) -> Option<String> {
    // containerd with the kubelet's systemd driver, itself without: `kubepods-podU.slice:cri-containerd:ID`.
    let part = part.rsplit(':').next().unwrap_or(part);
    let part = part.strip_suffix(".scope").unwrap_or(part);
    let named = SCOPES.iter().find_map(|scope| part.strip_prefix(scope)).unwrap_or(part);
    is_id(named).then(|| named.to_owned())
}

/// Whether a text is an id in full.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// LXC names its containers: `/lxc/NAME`, `/lxc.payload/NAME`, `/lxc.payload.NAME`.
fn lxc(part: &str, before: &str) -> Option<String> {
    let name = part
        .strip_prefix("lxc.payload.")
        .or_else(|| matches!(before, "lxc" | "lxc.payload").then_some(part))?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// The pod in one part of a path: the kubelet's `podUID` and `kubepods-burstable-podU_I_D.slice`, Podman's
/// `machine-libpod_pod_ID.slice`.
fn pod(part: &str) -> Option<String> {
    let part = part.split(':').next().unwrap_or(part);
    let stem = part.strip_suffix(".slice").unwrap_or(part);
    if let Some((_, id)) = stem.split_once("libpod_pod_") {
        return is_id(id).then(|| id.to_owned());
    }
    let uid = match stem.rsplit_once("-pod") {
        Some((before, uid)) if before.starts_with("kubepods") || before.contains("-kubepods") => uid,
        _ => stem.strip_prefix("pod")?,
    };
    // A static pod's UID has no hyphens; a systemd unit's name has underscores in their place.
    let uid = uid.replace('_', "-");
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    let hyphens = uid.bytes().filter(|&byte| byte == b'-').count();
    (digits == 32 && digits + hyphens == uid.len()).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f5a1c0d9e8b7a6f5e4d3c2b1a09f8e7d6c5b4a3928170605f4e3d2c1b0a9f8e";
    const INNER: &str = "00000000000000000000000000000000000000000000000000000000000000ab";
    const UID: &str = "7b2c8f0e-1d3a-4c5b-9e8f-0a1b2c3d4e5f";

    fn of(cgroups: &str) -> (Option<String>, Option<String>) {
        let unit = UID.replace('-', "_");
        let cgroups = cgroups.replace("INNER", INNER).replace("ID", ID);
        let found = placement(&cgroups.replace("UNIT", &unit).replace("POD", UID));
        (found.container_id, found.pod)
    }

    #[test]
    fn a_container_is_told_by_the_path_its_runtime_made() {
        for (runtime, cgroups) in [
            (
                "docker, v1",
                "12:memory:/docker/ID\n1:name=systemd:/docker/ID\n0::/system.slice/containerd.service\n",
            ),
            ("docker, systemd", "0::/system.slice/docker-ID.scope\n"),
            ("docker, systemd inside", "0::/system.slice/docker-ID.scope/init.scope\n"),
            ("docker, in a slice", "0::/docker.slice/docker-ID.scope\n"),
            ("docker, beside one in a cgroup namespace", "0::/../ID\n"),
            (
                "docker, rootless",
                "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope\n",
            ),
            ("nerdctl", "0::/system.slice/nerdctl-ID.scope\n"),
            ("containerd", "0::/default/ID\n"),
            ("podman", "0::/machine.slice/libpod-ID.scope/container\n"),
            (
                "podman, rootless",
                "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container\n",
            ),
            ("podman, v1", "11:cpu,cpuacct:/machine.slice/libpod-ID.scope\n"),
            ("podman, cgroupfs", "0::/libpod_parent/libpod-ID\n"),
            ("ecs", "9:memory:/ecs/8c1d7f3bd5b84e9aaf0e/ID\n"),
        ] {
            assert_eq!(of(cgroups), (Some(ID.to_owned()), None), "{runtime}");
        }
    }

    #[test]
    fn a_pod_is_told_with_either_cgroup_driver() {
        for (runtime, cgroups) in [
            ("containerd, cgroupfs", "11:memory:/kubepods/burstable/podPOD/ID\n"),
            ("guaranteed, cgroupfs", "0::/kubepods/podPOD/ID\n"),
            (
                "containerd, systemd",
                "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUNIT.slice/cri-containerd-ID.scope\n",
            ),
            ("guaranteed, systemd", "0::/kubepods.slice/kubepods-podUNIT.slice/cri-containerd-ID.scope\n"),
            (
                "cri-o",
                "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podUNIT.slice/crio-ID.scope/container\n",
            ),
            (
                "drivers that differ",
                "8:cpu:/system.slice/containerd.service/kubepods-besteffort-podUNIT.slice:cri-containerd:ID\n",
            ),
            (
                "kubelet in a slice",
                "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUNIT.slice/cri-containerd-ID.scope\n",
            ),
        ] {
            assert_eq!(of(cgroups), (Some(ID.to_owned()), Some(UID.to_owned())), "{runtime}");
        }
        let fixed = "0123456789abcdef0123456789abcdef";
        let cgroups = format!("0::/kubepods/burstable/pod{fixed}/{ID}\n");
        assert_eq!(of(&cgroups), (Some(ID.to_owned()), Some(fixed.to_owned())), "a static pod");
        let cgroups = "0::/machine.slice/machine-libpod_pod_INNER.slice/libpod-ID.scope/container\n";
        assert_eq!(of(cgroups), (Some(ID.to_owned()), Some(INNER.to_owned())), "a pod of podman");
    }

    #[test]
    fn lxc_names_its_containers() {
        for cgroups in [
            "0::/lxc.payload.web/system.slice/nginx.service\n",
            "4:cpu:/lxc/web\n",
            "4:cpu:/lxc.payload/web/init.scope\n",
        ] {
            assert_eq!(of(cgroups), (Some("web".to_owned()), None), "{cgroups}");
        }
        assert_eq!(of("0::/lxc.payload.web/docker/ID\n"), (Some(ID.to_owned()), None), "docker in it");
    }

    #[test]
    fn the_innermost_container_counts() {
        assert_eq!(of("0::/docker/ID/docker/INNER\n"), (Some(INNER.to_owned()), None));
        assert_eq!(
            of("0::/docker/ID/kubelet/kubepods/burstable/podPOD/INNER\n"),
            (Some(INNER.to_owned()), Some(UID.to_owned())),
            "kind"
        );
        assert_eq!(
            of("0::/docker/ID/kubelet/kubepods/burstable/podPOD\n"),
            (None, Some(UID.to_owned())),
            "a pod's sandbox"
        );
    }

    #[test]
    fn what_is_in_none_is_told_so() {
        for cgroups in [
            "",
            "0::/\n",
            "0::/user.slice/user-1000.slice/session-3.scope\n",
            "0::/system.slice/docker.service\n",
            "0::/system.slice/containerd.service\n",
            "0::/lxc.monitor.web\n",
            "0::/machine.slice/libpod-conmon-ID.scope\n",
            "0::/system.slice/crio-conmon-ID.scope\n",
            "0::/podracer/pod\n",
            "0::/system.slice/docker-ID0.scope\n",
        ] {
            assert_eq!(of(cgroups), (None, None), "{cgroups}");
        }
    }

    #[test]
    fn of_several_hierarchies_the_one_that_tells_counts() {
        assert_eq!(of("4:memory:/process_api/20374\n3:cpu:/docker/ID\n0::/\n"), (Some(ID.to_owned()), None));
    }
}
