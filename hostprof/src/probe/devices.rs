//! The devices whose ioctls are told apart: names turned into ranges of device numbers.

use std::{fs, os::linux::fs::MetadataExt as _};

/// Ranges of device numbers, as `(first, last)` of the kernel's own encoding (major << 20 | minor).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    ranges: Vec<(u32, u32)>,
}

const MINOR_BITS: u32 = 20;

impl Devices {
    /// The NVIDIA devices of this machine, from `/proc/devices` (their majors: 195 and a dynamic one for
    /// unified memory) and `/dev/nvidia*`. Empty on a machine without.
    pub fn nvidia() -> Self {
        let mut devices = Self::from_proc_devices(&fs::read_to_string("/proc/devices").unwrap_or_default());
        for entry in fs::read_dir("/dev").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("nvidia")
                && let Ok(metadata) = entry.metadata()
            {
                let rdev = metadata.st_rdev();
                let major = nix::sys::stat::major(rdev) as u32;
                if major != 0 {
                    devices.add_major(major);
                }
            }
        }
        devices
    }

    fn from_proc_devices(text: &str) -> Self {
        let mut devices = Self::default();
        let character = text.split("Block devices").next().unwrap_or_default();
        for line in character.lines() {
            let mut words = line.split_whitespace();
            if let (Some(Ok(major)), Some(name)) = (words.next().map(str::parse::<u32>), words.next())
                && name.starts_with("nvidia")
            {
                devices.add_major(major);
            }
        }
        devices
    }

    fn add_major(&mut self, major: u32) {
        let range = (major << MINOR_BITS, (major << MINOR_BITS) | ((1 << MINOR_BITS) - 1));
        if !self.ranges.contains(&range) {
            self.ranges.push(range);
        }
    }

    /// Whether a device number is selected.
    pub fn selected(&self, rdev: u32) -> bool {
        self.ranges.iter().any(|&(first, last)| (first..=last).contains(&rdev))
    }

    /// Reads `FIRST_MAJOR-LAST_MAJOR:FIRST_MINOR-LAST_MINOR name`, for tests.
    #[cfg(test)]
    pub(super) fn parse(text: &str) -> Self {
        let major = text.split('-').next().and_then(|major| major.parse().ok()).unwrap_or(0);
        let mut devices = Self::default();
        devices.add_major(major);
        devices
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majors_come_from_proc_devices_and_block_devices_do_not_count() {
        let devices = Devices::from_proc_devices(
            "Character devices:\n  1 mem\n195 nvidia\n195 nvidiactl\n238 nvidia-uvm\n\nBlock devices:\n  7 nvidia-loop\n",
        );
        assert!(devices.selected(195 << 20 | 255) && devices.selected(238 << 20));
        assert!(!devices.selected(7 << 20) && !devices.selected(1 << 20));
    }
}
