//! The machine a recording was made on, from `/proc` and `/sys`. What cannot be read is empty or 0.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{
    sys::utsname::uname,
    unistd::{SysconfVar, sysconf},
};
use serde::{Deserialize, Serialize};

use super::gpu::Gpus;

/// A NUMA node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NumaNode {
    /// Its number.
    pub node: u32,
    /// Its CPUs.
    pub cpus: Vec<u32>,
    /// Its memory.
    pub memory_bytes: u64,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Its name.
    pub hostname: String,
    /// `uname -r`.
    pub kernel_release: String,
    /// `uname -m`.
    pub machine: String,
    /// As the CPU calls itself.
    pub cpu_model: String,
    /// CPUs online.
    pub online_cpus: Vec<u32>,
    /// Memory the kernel has.
    pub memory_bytes: u64,
    /// Size of a page.
    pub page_size_bytes: u64,
    /// Another in every boot: CLOCK_MONOTONIC of two recordings compares only within one.
    pub boot_id: String,
    /// NUMA nodes; one where the machine is not NUMA.
    pub numa_nodes: Vec<NumaNode>,
    /// GPUs.
    pub gpus: Gpus,
}

impl Host {
    /// Reads this machine, and its GPUs, which may take a second.
    pub fn read() -> Self {
        Self { gpus: Gpus::read(Path::new("/")), ..Self::without_gpus() }
    }

    /// Reads this machine.
    pub fn without_gpus() -> Self {
        let mut host = Self::read_under(Path::new("/"));
        if let Ok(name) = uname() {
            host.hostname = name.nodename().to_string_lossy().into_owned();
            host.kernel_release = name.release().to_string_lossy().into_owned();
            host.machine = name.machine().to_string_lossy().into_owned();
        }
        host.page_size_bytes = sysconf(SysconfVar::PAGE_SIZE)
            .ok()
            .flatten()
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0);
        host
    }

    /// Reads what `/proc` and `/sys` under a root tell.
    fn read_under(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        Self {
            cpu_model: cpu_model(&read("proc/cpuinfo")),
            online_cpus: cpu_list(&read("sys/devices/system/cpu/online")),
            memory_bytes: memory_bytes(&read("proc/meminfo")),
            boot_id: read("proc/sys/kernel/random/boot_id").trim().to_owned(),
            numa_nodes: numa_nodes(&root.join("sys/devices/system/node")),
            ..Self::default()
        }
    }
}

/// The model of the first CPU in `/proc/cpuinfo`; Arm's has none.
fn cpu_model(cpuinfo: &str) -> String {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == "model name")
        .map(|(_, model)| model.trim().to_owned())
        .unwrap_or_default()
}

/// `0-2,5` as 0, 1, 2, 5.
pub(super) fn cpu_list(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// `MemTotal` of `/proc/meminfo`, or of a node's: there a line begins with `Node 0`.
fn memory_bytes(meminfo: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| line.split_once("MemTotal:"))
        .and_then(|(_, size)| size.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

fn numa_nodes(folder: &Path) -> Vec<NumaNode> {
    let nodes: Vec<(u32, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let node = entry.file_name().to_str()?.strip_prefix("node")?.parse().ok()?;
            Some((node, entry.path()))
        })
        .collect();
    let mut nodes: Vec<NumaNode> = nodes
        .into_iter()
        .map(|(node, path)| NumaNode {
            node,
            cpus: cpu_list(&fs::read_to_string(path.join("cpulist")).unwrap_or_default()),
            memory_bytes: memory_bytes(&fs::read_to_string(path.join("meminfo")).unwrap_or_default()),
        })
        .collect();
    nodes.sort_by_key(|node| node.node);
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_list_is_its_ranges_spelled_out() {
        assert_eq!(cpu_list("0-2,5,7-8\n"), [0, 1, 2, 5, 7, 8]);
        assert_eq!(cpu_list("0\n"), [0]);
        assert!(cpu_list("").is_empty());
    }

    #[test]
    fn memory_is_told_of_the_machine_and_of_a_node() {
        assert_eq!(memory_bytes("MemTotal:        4030524 kB\nMemFree: 1 kB\n"), 4_030_524 * 1024);
        assert_eq!(memory_bytes("Node 0 MemTotal:       16 kB\n"), 16 * 1024);
        assert_eq!(memory_bytes(""), 0);
    }

    #[test]
    fn the_cpu_model_is_the_first_cpus() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 143\nmodel name\t: Xeon @ 2.1GHz\n\nmodel name\t: other\n";
        assert_eq!(cpu_model(cpuinfo), "Xeon @ 2.1GHz");
        assert_eq!(cpu_model("CPU implementer\t: 0x41\n"), "");
    }

    #[test]
    fn nodes_come_in_order_and_a_missing_tree_is_empty() {
        let root = tempfile::tempdir().unwrap();
        let node = |name: &str, cpus: &str| {
            let path = root.path().join("sys/devices/system/node").join(name);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("cpulist"), cpus).unwrap();
            fs::write(path.join("meminfo"), "Node 0 MemTotal: 1 kB\n").unwrap();
        };
        assert_eq!(Host::read_under(root.path()), Host::default());
        node("node10", "4-5\n");
        node("node2", "0-3\n");
        let nodes = Host::read_under(root.path()).numa_nodes;
        assert_eq!(nodes[0], NumaNode { node: 2, cpus: vec![0, 1, 2, 3], memory_bytes: 1024 });
        assert_eq!(nodes[1].node, 10);
    }

    #[test]
    fn this_machine_can_be_read() {
        let host = Host::read();
        assert!(!host.kernel_release.is_empty() && !host.online_cpus.is_empty());
        assert!(host.memory_bytes > 1 << 20 && host.page_size_bytes >= 4096);
    }
}
