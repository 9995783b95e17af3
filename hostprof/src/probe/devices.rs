//! The devices whose ioctls are told apart: names turned into ranges of device numbers, and back.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use hostprof_common::nvidia::device;

use super::nvidia::DriverVersion;

/// A device number in the kernel's own encoding: `major << 20 | minor`.
pub type Rdev = u32;

const MINOR_BITS: u32 = 20;
const MINOR_MASK: u32 = (1 << MINOR_BITS) - 1;
/// NVIDIA's own number, the same everywhere; those of unified memory and others are given out at load.
const NVIDIA_MAJOR: u32 = 195;
/// Drivers with one device share this one.
const MISC_MAJOR: u32 = 10;
/// Pseudo-terminals: `/dev/pts/MINOR`.
const PTS_MAJOR: u32 = 136;

/// First and last major, and the minor where it is one device.
type Majors = (u32, u32, Option<u32>);

/// Names that stand for numbers fixed by Linux (`Documentation/admin-guide/devices.txt`).
const FIXED: &[(&str, &[Majors])] = &[
    ("tty", &[(4, 5, None), (136, 143, None)]),
    ("dri", &[(226, 226, None)]),
    ("kvm", &[(MISC_MAJOR, MISC_MAJOR, Some(232))]),
];

/// The name in `/proc/devices` of unified memory's devices, and how those below `/dev` begin.
const UVM: &str = "nvidia-uvm";
/// `/dev/nvidia-modeset`, for displays: its calls are no escapes.
const MODESET_MINOR: u32 = 254;

/// Selected devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// First and last number of each range.
    ranges: Vec<(Rdev, Rdev)>,
    names: HashMap<Rdev, String>,
    /// The majors of unified memory.
    uvm_majors: Vec<u32>,
    /// Ranges that are to be taken for what they are not: stand-ins for the driver's devices.
    stand_ins: Vec<(Rdev, Rdev, u32)>,
    driver: Option<DriverVersion>,
}

/// A word of `--ioctl-device` that names nothing.
#[derive(Debug, thiserror::Error)]
#[error(
    "select device {0:?}: there is none of that name (a name below /dev or of /proc/devices, as nvidia*, tty, kvm, dri)"
)]
pub struct DeviceError(String);

impl Devices {
    /// The devices of these names on this machine: of `/dev`, `/proc/devices` and `/proc/misc`. A name that
    /// ends in `*` stands for all that begin so, of which there may be none.
    ///
    /// # Errors
    ///
    /// See [`DeviceError`].
    pub fn select(names: &[String]) -> Result<Self, DeviceError> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut devices = Self::from_lists(names, &read("/proc/devices"), &read("/proc/misc"), &nodes())?;
        devices.driver = DriverVersion::parse(&read("/sys/module/nvidia/version"));
        Ok(devices)
    }

    /// Takes selected devices for the NVIDIA driver's, whose version then is the given one: `tty=nvidia@580.65.06`,
    /// `kvm=nvidia-uvm`. What the kernel half does can be seen so on a machine that has none.
    ///
    /// # Errors
    ///
    /// A word is none of these, or names no device.
    pub fn stand_in(&mut self, words: &[String]) -> Result<(), DeviceError> {
        for word in words {
            let bad = || DeviceError(word.clone());
            let (name, kind) = word.split_once('=').ok_or_else(bad)?;
            let (kind, driver) = kind.split_once('@').unwrap_or((kind, ""));
            let kind = match kind {
                "nvidia" => device::FRONTEND,
                UVM => device::UVM,
                _ => return Err(bad()),
            };
            self.driver = DriverVersion::parse(driver).or(self.driver.take());
            let others = Self::select(&[name.to_owned()])?.ranges;
            self.stand_ins.extend(others.into_iter().map(|(first, last)| (first, last, kind)));
        }
        Ok(())
    }

    fn from_lists(
        names: &[String],
        proc_devices: &str,
        proc_misc: &str,
        nodes: &[(Rdev, String)],
    ) -> Result<Self, DeviceError> {
        let uvm_nodes =
            nodes.iter().filter(|(_, name)| name.starts_with(UVM)).map(|(rdev, _)| rdev >> MINOR_BITS);
        let uvm_numbers =
            numbered(characters(proc_devices)).filter(|(_, name)| *name == UVM).map(|(major, _)| major);
        let mut devices = Self {
            names: nodes.iter().cloned().collect(),
            uvm_majors: uvm_numbers.chain(uvm_nodes).collect(),
            ..Self::default()
        };
        for pattern in names {
            if let Some((_, ranges)) = FIXED.iter().find(|(name, _)| name == pattern) {
                for &(first, last, minor) in *ranges {
                    let (low, high) = minor.map_or((0, MINOR_MASK), |minor| (minor, minor));
                    devices.add(first << MINOR_BITS | low, last << MINOR_BITS | high);
                }
                continue;
            }
            let mut ranges = Vec::new();
            for (major, _) in numbered(characters(proc_devices)).filter(|(_, name)| fits(pattern, name)) {
                ranges.push((major << MINOR_BITS, major << MINOR_BITS | MINOR_MASK));
            }
            for (minor, _) in numbered(proc_misc).filter(|(_, name)| fits(pattern, name)) {
                ranges.push((MISC_MAJOR << MINOR_BITS | minor, MISC_MAJOR << MINOR_BITS | minor));
            }
            for (rdev, _) in nodes.iter().filter(|(_, name)| fits(pattern, name)) {
                ranges.push((*rdev, *rdev));
            }
            if ranges.is_empty() && !pattern.ends_with('*') {
                return Err(DeviceError(pattern.clone()));
            }
            for (first, last) in ranges {
                devices.add(first, last);
            }
        }
        Ok(devices)
    }

    /// Adds a range, unless others cover it.
    fn add(&mut self, first: Rdev, last: Rdev) {
        if !self.ranges.iter().any(|&(low, high)| low <= first && last <= high) {
            self.ranges.push((first, last));
        }
    }

    /// First and last number of each range.
    pub fn ranges(&self) -> &[(Rdev, Rdev)] {
        &self.ranges
    }

    /// Whether a device number is selected.
    pub fn selected(&self, rdev: Rdev) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&rdev))
    }

    /// A device's name below `/dev`, or its numbers.
    pub fn name(&self, rdev: Rdev) -> String {
        let (major, minor) = (rdev >> MINOR_BITS, rdev & MINOR_MASK);
        match self.names.get(&rdev) {
            // They come and go.
            _ if major == PTS_MAJOR => format!("pts/{minor}"),
            Some(name) => name.clone(),
            None => format!("{major}:{minor}"),
        }
    }

    /// What a device speaks: one of [`device`].
    pub fn kind(&self, rdev: Rdev) -> u32 {
        // A later word overrides an earlier one.
        let stand_in = self.stand_ins.iter().rfind(|(first, last, _)| (first..=last).contains(&&rdev));
        match (stand_in, rdev >> MINOR_BITS) {
            (Some((_, _, kind)), _) => *kind,
            (None, NVIDIA_MAJOR) if rdev & MINOR_MASK != MODESET_MINOR => device::FRONTEND,
            (None, major) if self.uvm_majors.contains(&major) => device::UVM,
            _ => device::OTHER,
        }
    }

    /// The same of each range, by its first device.
    pub fn kinds(&self) -> Vec<u32> {
        self.ranges.iter().map(|&(first, _)| self.kind(first)).collect()
    }

    /// The NVIDIA driver's version; `None` where none is loaded.
    pub fn driver(&self) -> Option<&DriverVersion> {
        self.driver.as_ref()
    }

    /// Selected devices with their names.
    #[cfg(test)]
    pub(super) fn for_tests(devices: &[(Rdev, &str)]) -> Self {
        let nodes: Vec<(Rdev, String)> =
            devices.iter().map(|&(rdev, name)| (rdev, name.to_owned())).collect();
        Self {
            ranges: devices.iter().map(|&(rdev, _)| (rdev, rdev)).collect(),
            names: nodes.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// The kernel's encoding of the number that `stat` gives.
pub fn rdev_of(stat: u64) -> Rdev {
    (nix::sys::stat::major(stat) as u32) << MINOR_BITS | nix::sys::stat::minor(stat) as u32 & MINOR_MASK
}

/// Whether a name is the pattern, below the directory it names, or begins with it up to its `*`.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern || name.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('/')),
    }
}

/// The part of `/proc/devices` that lists character devices.
fn characters(text: &str) -> &str {
    text.split("Block devices").next().unwrap_or_default()
}

/// Lines of a number and a name.
fn numbered(text: &str) -> impl Iterator<Item = (u32, &str)> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse().ok()?, words.next()?))
    })
}

/// The character devices below `/dev`, two levels deep, and their names there.
fn nodes() -> Vec<(Rdev, String)> {
    fn walk(folder: &Path, prefix: &str, deeper: u32, nodes: &mut Vec<(Rdev, String)>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.file_type().is_char_device() {
                nodes.push((rdev_of(metadata.rdev()), name));
            } else if metadata.is_dir() && deeper > 0 {
                walk(&entry.path(), &format!("{name}/"), deeper - 1, nodes);
            }
        }
    }
    let mut nodes = Vec::new();
    walk(Path::new("/dev"), "", 2, &mut nodes);
    nodes.sort();
    nodes
}

#[cfg(test)]
mod tests {
    use hostprof_common::nvidia::device::{FRONTEND, OTHER, UVM as UVM_DEVICE};

    use super::*;

    const fn device(major: Rdev, minor: Rdev) -> Rdev {
        major << 20 | minor
    }

    const PROC_DEVICES: &str = "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n238 nvidia-uvm\n\
                                511 kfd\n\nBlock devices:\n  7 nvidia-loop\n";

    fn select(names: &[&str]) -> Result<Devices, DeviceError> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let nodes = [
            (device(10, 200), "net/tun"),
            (device(195, 255), "nvidiactl"),
            (device(240, 1), "nvidia-caps/cap1"),
        ]
        .map(|(rdev, name)| (rdev, name.to_owned()));
        Devices::from_lists(&names, PROC_DEVICES, "200 tun\n232 kvm\n", &nodes)
    }

    #[test]
    fn a_star_selects_majors_and_nodes_and_no_block_device() {
        let devices = select(&["nvidia*"]).unwrap();
        assert!(devices.selected(device(195, 255)) && devices.selected(238 << 20));
        assert!(devices.selected(device(240, 1)) && !devices.selected(240 << 20));
        assert!(!devices.selected(7 << 20) && !devices.selected(1 << 20));
        assert_eq!(devices.ranges().len(), 3, "what one range covers is not another");
        assert_eq!(devices.name(device(195, 255)), "nvidiactl");
        assert_eq!(devices.name(195 << 20), "195:0");
    }

    #[test]
    fn what_a_device_speaks_is_told_by_its_number_and_not_by_a_node_that_may_come_later() {
        let devices = select(&["nvidia*"]).unwrap();
        assert_eq!((devices.kind(device(195, 0)), devices.kind(device(195, 255))), (FRONTEND, FRONTEND));
        assert_eq!((devices.kind(238 << 20), devices.kind(device(238, 1))), (UVM_DEVICE, UVM_DEVICE));
        assert_eq!((devices.kind(device(195, 254)), devices.kind(device(240, 1))), (OTHER, OTHER));
        assert_eq!(devices.kinds(), [FRONTEND, UVM_DEVICE, OTHER]);
        let mut stand_in = select(&["tty"]).unwrap();
        assert_eq!(stand_in.kind(device(136, 3)), OTHER);
        stand_in.stand_in(&["tty=nvidia@580.65.06".to_owned()]).unwrap();
        assert_eq!((stand_in.kind(device(136, 3)), stand_in.kind(238 << 20)), (FRONTEND, UVM_DEVICE));
        assert_eq!(stand_in.driver(), DriverVersion::parse("580.65.06").as_ref());
        for word in ["tty", "tty=abacus", "abacus=nvidia"] {
            assert!(stand_in.stand_in(&[word.to_owned()]).is_err(), "{word}");
        }
    }

    #[test]
    fn devices_that_share_a_major_are_told_apart() {
        let kvm = select(&["kvm"]).unwrap();
        assert!(kvm.selected(device(10, 232)) && !kvm.selected(device(10, 200)));
        let tun = select(&["net/tun"]).unwrap();
        assert!(tun.selected(device(10, 200)) && !tun.selected(device(10, 232)));
        assert!(select(&["tun"]).unwrap().selected(device(10, 200)));
    }

    #[test]
    fn terminals_are_all_of_them() {
        let devices = select(&["tty", "kfd"]).unwrap();
        assert!(
            [device(4, 1), 5 << 20, device(136, 7), 143 << 20, 511 << 20].map(|rdev| devices.selected(rdev))
                == [true; 5]
        );
        assert_eq!(devices.name(device(136, 7)), "pts/7");
    }

    #[test]
    fn a_name_of_nothing_is_refused_and_a_star_may_stand_for_nothing() {
        assert!(select(&["abacus"]).is_err());
        assert!(select(&["nvidia*", "nvidiactl"]).is_ok(), "what another word covers is something");
        assert!(select(&["abacus*"]).unwrap().ranges().is_empty());
    }
}
