//! Which GPUs' device files the target has open, from the links in `/proc/PID/fd`.

use std::{
    collections::BTreeSet,
    fs, io,
    time::{Duration, Instant},
};

use crate::units::Tgid;

/// How long an answer holds: CUDA opens its devices at its start and keeps them.
const HOLDS: Duration = Duration::from_secs(2);

/// The device files of the target's processes.
#[derive(Debug, Default)]
pub struct OpenDevices {
    minors: BTreeSet<u32>,
    looked: Option<(Instant, Vec<Tgid>)>,
    /// A process whose files may not be looked at.
    refused: Option<Tgid>,
}

impl OpenDevices {
    /// Looks, unless nothing can be expected to have changed.
    pub fn look(&mut self, live: &[Tgid]) {
        if let Some((at, processes)) = &self.looked
            && at.elapsed() < HOLDS
            && processes == live
        {
            return;
        }
        self.minors.clear();
        for tgid in live {
            match links(*tgid) {
                Ok(links) => self.minors.extend(links.filter_map(|link| minor(&link))),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.refused = Some(*tgid),
                // It has ended.
                Err(_) => {}
            }
        }
        self.looked = Some((Instant::now(), live.to_vec()));
    }

    /// Whether a process has `/dev/nvidiaN` open.
    pub fn has(&self, minor: u32) -> bool {
        self.minors.contains(&minor)
    }

    /// What could not be looked at.
    pub fn note(&self) -> Option<String> {
        let tgid = self.refused?;
        Some(format!(
            "read /proc/{tgid}/fd: not allowed: GPUs are the target's by NVML's list of processes alone (record as the \
             target's user, or as root itself)"
        ))
    }
}

fn links(tgid: Tgid) -> io::Result<impl Iterator<Item = String>> {
    let fds = fs::read_dir(format!("/proc/{tgid}/fd"))?.flatten();
    Ok(fds.filter_map(|fd| fs::read_link(fd.path()).ok()?.to_str().map(str::to_owned)))
}

/// The number of a GPU's device file.
fn minor(link: &str) -> Option<u32> {
    link.strip_prefix("/dev/nvidia")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpus_file_is_told_from_the_drivers_other_files() {
        assert_eq!(minor("/dev/nvidia12"), Some(12));
        for link in ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/null", "socket:[12]"] {
            assert_eq!(minor(link), None, "{link}");
        }
    }
}
