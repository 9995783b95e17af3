//! GPUs and how they reach each other: NVIDIA devices on the PCI bus from `/sys`, and of each what the driver's
//! library (NVML, loaded while hostprof runs) tells.

use std::{fs, path::Path};

use nvml_wrapper::{Device, Nvml, enum_wrappers::device::TopologyLevel};
use serde::{Deserialize, Serialize};

use super::host::cpu_list;
use crate::nvml;

/// NVIDIA's number on the PCI bus.
const NVIDIA_VENDOR: &str = "0x10de";
/// Display and 3D controllers; a card's audio and USB functions have other classes.
const DISPLAY_CLASS: &str = "0x03";
/// The most NVLinks of any GPU so far (Hopper, Blackwell: 18).
const MOST_LINKS: u32 = 36;

/// A GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpu {
    /// Where it is on the PCI bus: `0000:18:00.0`. Source: /sys, or NVML where that is not mounted.
    pub pci: String,
    /// NVML's number of it; null where NVML does not tell, as all below but NUMA node, CPUs and PCIe.
    pub index: Option<u32>,
    /// Its model.
    pub name: Option<String>,
    /// `GPU-…`.
    pub uuid: Option<String>,
    /// Its memory.
    pub memory_bytes: Option<u64>,
    /// The NUMA node it hangs on; null where the machine is not NUMA or does not tell.
    pub numa_node: Option<u32>,
    /// The CPUs near it.
    pub cpus: Vec<u32>,
    /// The fastest its PCIe link can be, as the kernel tells: `32.0 GT/s PCIe x16`; null where unknown.
    pub pcie: Option<String>,
    /// Whether it is divided into instances (MIG); null where it cannot be.
    pub mig: Option<bool>,
    /// Whether it has the performance counters of Hopper and later (GPM).
    pub gpm: Option<bool>,
    /// NVLinks that are up.
    pub nvlinks: Option<u32>,
}

/// How two GPUs reach each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuPath {
    /// One, by its place on the PCI bus.
    pub from: String,
    /// The other.
    pub to: String,
    /// What the path through PCIe crosses: `board`, `switch`, `switches`, `host_bridge`, `numa_node`,
    /// `system`; null where NVML does not tell.
    pub pcie: Option<String>,
    /// NVLinks that lead from one straight to the other. Through a switch all GPUs reach each other: those
    /// links end at the switch and count in [`Gpu::nvlinks`] alone.
    pub nvlinks: u32,
}

/// All of a machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpus {
    /// The NVIDIA driver; null where none is loaded.
    pub driver: Option<String>,
    /// NVML's version; null where it told nothing.
    pub nvml: Option<String>,
    /// Why NVML told nothing; null where it did, or was not asked since there is no GPU.
    pub nvml_missing: Option<String>,
    /// The GPUs, in the order of the bus.
    pub devices: Vec<Gpu>,
    /// The paths between them, each once.
    pub paths: Vec<GpuPath>,
}

impl Gpus {
    /// Reads this machine's. NVML is asked only where there is a GPU or its device file: to load it
    /// takes a moment, and wakes the GPU.
    pub fn read(root: &Path) -> Self {
        let mut gpus = Self::from_files(root);
        if !gpus.devices.is_empty() || nvml::is_worth_loading(root) {
            match nvml::start() {
                Ok(nvml) => gpus.add(&nvml),
                Err(error) => gpus.nvml_missing = Some(nvml::why(&error)),
            }
        }
        gpus
    }

    /// Whether NVML tells of any.
    pub fn are_told(&self) -> bool {
        self.devices.iter().any(|gpu| gpu.index.is_some())
    }

    /// What `/proc` and `/sys` tell.
    pub(super) fn from_files(root: &Path) -> Self {
        let driver = fs::read_to_string(root.join("sys/module/nvidia/version")).ok();
        let mut devices: Vec<Gpu> = fs::read_dir(root.join("sys/bus/pci/devices"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| pci_gpu(&entry.path()))
            .collect();
        devices.sort_by(|a, b| a.pci.cmp(&b.pci));
        Self { driver: driver.map(|text| text.trim().to_owned()), devices, ..Self::default() }
    }

    /// Adds what NVML tells. What it does not support stays null.
    fn add(&mut self, nvml: &Nvml) {
        if let Ok(version) = nvml.sys_driver_version() {
            self.driver = Some(version);
        }
        self.nvml = nvml.sys_nvml_version().ok();
        let mut known = Vec::new();
        for index in 0..nvml.device_count().unwrap_or(0) {
            let Ok(device) = nvml.device_by_index(index) else { continue };
            let Ok(pci) = device.pci_info().map(|pci| pci_address(&pci.bus_id)) else { continue };
            if !self.devices.iter().any(|gpu| gpu.pci == pci) {
                self.devices.push(Gpu { pci: pci.clone(), ..Gpu::default() });
            }
            if let Some(gpu) = self.devices.iter_mut().find(|gpu| gpu.pci == pci) {
                describe(gpu, index, &device);
            }
            known.push((pci, device, index));
        }
        for (at, (from, device, _)) in known.iter().enumerate() {
            let peers = link_peers(device);
            for (to, _, index) in &known[at + 1..] {
                let level =
                    nvml.device_by_index(*index).and_then(|other| device.topology_common_ancestor(other));
                self.paths.push(GpuPath {
                    from: from.clone(),
                    to: to.clone(),
                    pcie: level.ok().map(|level| crossed(level).to_owned()),
                    nvlinks: peers.iter().filter(|peer| *peer == to).count() as u32,
                });
            }
        }
    }
}

/// A device of the PCI bus, if it is an NVIDIA GPU.
fn pci_gpu(folder: &Path) -> Option<Gpu> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok().map(|text| text.trim().to_owned());
    if read("vendor")? != NVIDIA_VENDOR || !read("class")?.starts_with(DISPLAY_CLASS) {
        return None;
    }
    let link = read("max_link_speed").zip(read("max_link_width"));
    Some(Gpu {
        pci: folder.file_name()?.to_str()?.to_owned(),
        // -1 where the machine is not NUMA.
        numa_node: read("numa_node").and_then(|node| node.parse().ok()),
        cpus: read("local_cpulist").map(|list| cpu_list(&list)).unwrap_or_default(),
        pcie: link.map(|(speed, width)| format!("{speed} x{width}")),
        ..Gpu::default()
    })
}

fn describe(gpu: &mut Gpu, index: u32, device: &Device<'_>) {
    gpu.index = Some(index);
    gpu.name = device.name().ok();
    gpu.uuid = device.uuid().ok();
    gpu.memory_bytes = device.memory_info().ok().map(|memory| memory.total);
    gpu.mig = device.mig_mode().ok().map(|mode| mode.current == 1);
    gpu.gpm = device.gpm_support().ok();
    gpu.nvlinks = active_links(device);
}

/// NVLinks that are up; `None` where the GPU has none to ask for.
fn active_links(device: &Device<'_>) -> Option<u32> {
    let states: Vec<bool> =
        (0..MOST_LINKS).map_while(|link| device.link_wrapper_for(link).is_active().ok()).collect();
    (!states.is_empty()).then(|| states.iter().filter(|active| **active).count() as u32)
}

/// The other end of each link that is up.
fn link_peers(device: &Device<'_>) -> Vec<String> {
    (0..MOST_LINKS)
        .map(|link| device.link_wrapper_for(link))
        .map_while(|link| link.is_active().ok().map(|active| (link, active)))
        .filter(|(_, active)| *active)
        .filter_map(|(link, _)| link.remote_pci_info().ok())
        .map(|pci| pci_address(&pci.bus_id))
        .collect()
}

fn crossed(level: TopologyLevel) -> &'static str {
    match level {
        TopologyLevel::Internal => "board",
        TopologyLevel::Single => "switch",
        TopologyLevel::Multiple => "switches",
        TopologyLevel::HostBridge => "host_bridge",
        TopologyLevel::Node => "numa_node",
        TopologyLevel::System => "system",
    }
}

/// NVML's `00000000:18:00.0` as the kernel writes it.
fn pci_address(bus_id: &str) -> String {
    let bus_id = bus_id.to_lowercase();
    match bus_id.split_once(':') {
        Some((domain, rest)) if domain.len() == 8 && domain.starts_with("0000") => {
            format!("{}:{rest}", &domain[4..])
        }
        _ => bus_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(root: &Path, address: &str, files: &[(&str, &str)]) {
        let folder = root.join("sys/bus/pci/devices").join(address);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn a_gpu_is_found_on_the_bus_and_its_audio_is_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Gpus::from_files(root.path()), Gpus::default());
        device(
            root.path(),
            "0000:18:00.0",
            &[
                ("vendor", "0x10de\n"),
                ("class", "0x030200\n"),
                ("numa_node", "1\n"),
                ("local_cpulist", "4-5\n"),
                ("max_link_speed", "32.0 GT/s PCIe\n"),
                ("max_link_width", "16\n"),
            ],
        );
        device(root.path(), "0000:18:00.1", &[("vendor", "0x10de\n"), ("class", "0x040300\n")]);
        device(root.path(), "0000:00:02.0", &[("vendor", "0x8086\n"), ("class", "0x030000\n")]);
        device(
            root.path(),
            "0000:05:00.0",
            &[("vendor", "0x10de\n"), ("class", "0x030000\n"), ("numa_node", "-1\n")],
        );
        fs::create_dir_all(root.path().join("sys/module/nvidia")).unwrap();
        fs::write(root.path().join("sys/module/nvidia/version"), "580.159.04\n").unwrap();
        let gpus = Gpus::from_files(root.path());
        assert_eq!(gpus.driver.as_deref(), Some("580.159.04"));
        let [first, second] = gpus.devices.as_slice() else { panic!("{gpus:?}") };
        assert_eq!((first.pci.as_str(), first.numa_node), ("0000:05:00.0", None));
        let expected = Gpu {
            pci: "0000:18:00.0".into(),
            numa_node: Some(1),
            cpus: vec![4, 5],
            pcie: Some("32.0 GT/s PCIe x16".into()),
            ..Gpu::default()
        };
        assert_eq!(*second, expected);
    }

    #[test]
    fn nvmls_addresses_are_the_kernels() {
        assert_eq!(pci_address("00000000:3B:00.0"), "0000:3b:00.0");
        assert_eq!(pci_address("00010000:01:00.0"), "00010000:01:00.0");
        assert_eq!(pci_address("0000:3b:00.0"), "0000:3b:00.0");
    }
}
