//! From what the user calls a container to its id: part of the id, or a name.
//!
//! Ids are those of the processes that run. A name is looked up where the runtimes keep it on disk, then asked
//! of their command lines, each for a moment only.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    container::{is_id, placement},
    proc::Proc,
    scan::TargetError,
};

/// The least of an id that is taken for one: a name may look like two or three of its digits.
const LEAST_DIGITS: usize = 4;

/// How long a runtime's command line may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The questions to the runtimes' command lines; the name comes behind.
const ASKED: &[&[&str]] = &[
    &["docker", "inspect", "--type", "container", "--format", "{{.Id}}"],
    &["podman", "container", "inspect", "--format", "{{.Id}}"],
    &["nerdctl", "container", "inspect", "--format", "{{.ID}}"],
    &["crictl", "ps", "--quiet", "--no-trunc", "--name"],
];

/// What was tried, for whoever finds nothing.
pub const TRIED: &str = "ids of running processes, the state files of Docker, Podman, CRI-O and containerd, and docker, podman, nerdctl and crictl";

/// A container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// As the user named it.
    pub named: String,
    /// Its id.
    pub id: String,
}

/// Finds a container by part of its id, or by its name.
///
/// # Errors
///
/// None is called so, more than one is, or it has no process.
pub fn resolve(proc: &Proc, named: &str) -> Result<Container, TargetError> {
    let running = running(proc)?;
    let resolved = |id: &str| Container { named: named.to_owned(), id: id.to_owned() };
    match one(named, ids_like(&running, named))? {
        Some(id) => return Ok(resolved(&id)),
        None if is_id(named) => return Err(TargetError::NoSuchContainer(named.to_owned())),
        None => {}
    }
    // The host's files, also from within a container that shares its pid namespace.
    let roots = [PathBuf::from("/"), PathBuf::from("/proc/1/root")];
    let mut ids: BTreeSet<String> = roots.iter().flat_map(|root| in_state_files(root, named)).collect();
    if ids.is_empty() {
        ids =
            ASKED.iter().map(|question| ask(question, named)).find(|ids| !ids.is_empty()).unwrap_or_default();
    }
    if ids.is_empty() {
        return Err(TargetError::NoSuchContainer(named.to_owned()));
    }
    // State files keep containers that ended.
    let live = ids.intersection(&running).cloned().collect();
    one(named, live)?.map(|id| resolved(&id)).ok_or_else(|| TargetError::ContainerStopped(named.to_owned()))
}

/// The ids of the containers that have a process.
fn running(proc: &Proc) -> Result<BTreeSet<String>, TargetError> {
    let processes = proc.processes()?;
    Ok(processes.iter().filter_map(|process| placement(&proc.cgroups(process.tgid)).container_id).collect())
}

/// The ids that begin with a text; one that is the text comes alone.
fn ids_like(ids: &BTreeSet<String>, text: &str) -> BTreeSet<String> {
    if ids.contains(text) {
        return BTreeSet::from([text.to_owned()]);
    }
    let is_part = text.len() >= LEAST_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    ids.iter().filter(|id| is_part && is_id(id) && id.starts_with(text)).cloned().collect()
}

fn one(named: &str, ids: BTreeSet<String>) -> Result<Option<String>, TargetError> {
    match ids.len() {
        0 | 1 => Ok(ids.into_iter().next()),
        count => Err(TargetError::ManyContainers(named.to_owned(), count)),
    }
}

/// The ids under which the runtimes' files keep a name.
fn in_state_files(root: &Path, name: &str) -> Vec<String> {
    let mut ids = docker(&root.join("var/lib/docker/containers"), name);
    ids.extend(storage(&root.join("var/lib/containers/storage/overlay-containers/containers.json"), name));
    ids.extend(bundles(
        &root.join("run/containerd/io.containerd.runtime.v2.task/k8s.io"),
        "config.json",
        name,
    ));
    ids.extend(bundles(
        &root.join("run/containers/storage/overlay-containers"),
        "userdata/config.json",
        name,
    ));
    ids.extend(nerdctl(&root.join("var/lib/nerdctl"), name));
    ids
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn file_name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

fn json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Docker: `ID/config.v2.json` with `Name`, a slash before it.
fn docker(containers: &Path, name: &str) -> Vec<String> {
    folders(containers)
        .filter(|folder| {
            let config = json(&folder.join("config.v2.json"));
            config.is_some_and(|config| {
                config["Name"].as_str().map(|kept| kept.trim_start_matches('/')) == Some(name)
            })
        })
        .filter_map(|folder| file_name(&folder))
        .collect()
}

/// Podman and CRI-O: one list of `id` and `names`.
fn storage(containers: &Path, name: &str) -> Vec<String> {
    let Some(Value::Array(list)) = json(containers) else { return Vec::new() };
    list.iter()
        .filter(|entry| entry["names"].as_array().is_some_and(|names| names.iter().any(|kept| kept == name)))
        .filter_map(|entry| entry["id"].as_str().map(str::to_owned))
        .collect()
}

/// Kubernetes: a bundle a container, the container's and the pod's name in its annotations.
fn bundles(folder: &Path, config: &str, name: &str) -> Vec<String> {
    const CONTAINER: [&str; 2] = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name"];
    const POD: [&str; 2] = ["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"];
    folders(folder)
        .filter(|bundle| {
            let Some(config) = json(&bundle.join(config)) else { return false };
            let noted = |keys: [&str; 2]| {
                keys.iter().find_map(|key| config["annotations"][key].as_str().map(str::to_owned))
            };
            match (noted(CONTAINER), noted(POD)) {
                (Some(container), Some(pod)) => name == container || name == format!("{pod}/{container}"),
                (container, _) => container.as_deref() == Some(name),
            }
        })
        .filter_map(|bundle| file_name(&bundle))
        .collect()
}

/// nerdctl: `ADDRESS/names/NAMESPACE/NAME` holds the id.
fn nerdctl(root: &Path, name: &str) -> Vec<String> {
    if name.contains('/') {
        return Vec::new();
    }
    folders(root)
        .flat_map(|address| folders(&address.join("names")).collect::<Vec<_>>())
        .filter_map(|namespace| fs::read_to_string(namespace.join(name)).ok())
        .map(|id| id.trim().to_owned())
        .collect()
}

/// Asks a runtime's command line; nothing where it is not installed, fails, or takes too long.
fn ask(question: &[&str], name: &str) -> BTreeSet<String> {
    let (program, arguments) =
        question.split_first().map_or(("", question), |(program, rest)| (*program, rest));
    // A name is no flag.
    if name.starts_with('-') {
        return BTreeSet::new();
    }
    let mut command = Command::new(program);
    command.args(arguments).arg(name).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(child) = command.spawn() else { return BTreeSet::new() };
    let answer = answer(child).unwrap_or_default();
    answer.lines().map(str::trim).filter(|line| is_id(line)).map(str::to_owned).collect()
}

fn answer(mut child: Child) -> Option<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => {
                let mut text = String::new();
                child.stdout.take()?.read_to_string(&mut text).ok()?;
                return Some(text);
            }
            Ok(None) if Instant::now() < end => sleep(Duration::from_millis(10)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4f5a1c0d9e8b7a6f5e4d3c2b1a09f8e7d6c5b4a3928170605f4e3d2c1b0a9f8e";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_name_is_found_where_each_runtime_keeps_it() {
        let cri = r#"{"annotations":{"io.kubernetes.cri.container-name":"server","io.kubernetes.cri.sandbox-name":"vllm-0"}}"#;
        let crio =
            r#"{"annotations":{"io.kubernetes.container.name":"server","io.kubernetes.pod.name":"vllm-0"}}"#;
        let (task, run) = ("run/containerd/io.containerd.runtime.v2.task/k8s.io", "run/containers/storage");
        for (path, text, names) in [
            (format!("var/lib/docker/containers/{ID}/config.v2.json"), r#"{"Name":"/server"}"#.to_owned(), 1),
            (
                "var/lib/containers/storage/overlay-containers/containers.json".to_owned(),
                format!(r#"[{{"id":"{ID}","names":["server"]}},{{"id":"other","names":["x"]}}]"#),
                1,
            ),
            (format!("{task}/{ID}/config.json"), cri.to_owned(), 2),
            (format!("{run}/overlay-containers/{ID}/userdata/config.json"), crio.to_owned(), 2),
            ("var/lib/nerdctl/1935db59/names/default/server".to_owned(), format!("{ID}\n"), 1),
        ] {
            let root = tempfile::tempdir().unwrap();
            write(root.path(), &path, &text);
            for name in &["server", "vllm-0/server"][..names] {
                assert_eq!(in_state_files(root.path(), name), [ID], "{path}: {name}");
            }
            assert!(in_state_files(root.path(), "serve").is_empty(), "{path}");
        }
    }

    #[test]
    fn an_id_may_be_cut_short_but_not_stand_for_two() {
        let other = format!("4f5a{}", &ID[4..].replace('1', "2"));
        let ids = BTreeSet::from([ID.to_owned(), other, "web".to_owned()]);
        assert_eq!(ids_like(&ids, &ID[..12]).len(), 1);
        assert_eq!(ids_like(&ids, "4f5a").len(), 2);
        assert!(matches!(one("4f5a", ids_like(&ids, "4f5a")), Err(TargetError::ManyContainers(_, 2))));
        assert!(ids_like(&ids, "4f5").is_empty(), "too short to be meant as one");
        assert_eq!(ids_like(&ids, "web").len(), 1, "LXC's ids are names");
    }

    #[test]
    fn a_command_line_that_fails_or_hangs_has_no_answer() {
        assert!(ask(&["no-such-command-here"], "x").is_empty());
        assert!(ask(&["false"], "x").is_empty());
        assert_eq!(ask(&["echo"], ID), BTreeSet::from([ID.to_owned()]));
        assert!(ask(&["echo"], "--help").is_empty());
        let begun = Instant::now();
        assert!(ask(&["sleep"], "60").is_empty());
        assert!(begun.elapsed() < PATIENCE * 3);
    }
}
