//! The NVIDIA driver's calls in a recording: what the kernel half is told of them, and what is noted at the end.

use super::pipeline::Folded;
use crate::{
    bpf::NvidiaSettings,
    humane::plural,
    probe::{
        Devices, IOCTL, Selection,
        nvidia::{CHECKED, DriverVersion, NvidiaCounts, shapes},
    },
    recording::Config,
    sink::SinkError,
};

/// What the kernel half is told.
pub fn settings(probes: &Selection, devices: &Devices, keep_bytes: bool) -> NvidiaSettings {
    if !probes.has(IOCTL) {
        return NvidiaSettings::default();
    }
    NvidiaSettings { kinds: devices.kinds(), shapes: shapes(devices.driver()), keep_bytes }
}

/// Notes, where the probe was on, what of the calls could not be told, and why.
pub fn note(config: &mut Config, folded: &Result<Folded, SinkError>) {
    if let Ok(folded) = folded
        && let Some(probe) = config.probes.iter_mut().find(|probe| probe.name == IOCTL && probe.on)
    {
        probe.notes.extend(notes(&folded.nvidia, config.host.gpus.driver.as_deref()));
    }
}

fn notes(counts: &NvidiaCounts, driver: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |calls: u64, text: &str| {
        if calls > 0 {
            notes.push(format!("{} {text}", plural(calls, "NVIDIA call")));
        }
    };
    note(counts.unread, "not decoded in full: the structure was not in memory");
    note(counts.other_layout, "not decoded: a structure of another size than any checked release has");
    note(
        counts.other_driver,
        "not decoded: without a size in the request only a checked release tells the layout",
    );
    note(counts.status_uncertain, "failed with no status that is certain to be the driver's");
    let is_checked = |text: &str| DriverVersion::parse(text).is_some_and(|version| version.is_checked());
    if let Some(driver) = driver.filter(|driver| counts.calls > 0 && !is_checked(driver)) {
        notes.push(format!(
            "driver {driver}: the layouts were checked for {} to {}, so a structure is decoded only where its size is \
             known",
            CHECKED.0, CHECKED.1
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_decoded_is_told_with_its_reason_and_another_driver_by_name() {
        assert!(notes(&NvidiaCounts { calls: 7, ..NvidiaCounts::default() }, Some("580.159.04")).is_empty());
        let counts =
            NvidiaCounts { calls: 7, unread: 2, other_layout: 1, other_driver: 3, status_uncertain: 0 };
        let notes = notes(&counts, Some("700.10"));
        assert_eq!(notes.len(), 4, "{notes:#?}");
        assert!(notes[0].starts_with("2 NVIDIA calls not decoded in full"), "{notes:#?}");
        assert!(notes[3].starts_with("driver 700.10:"), "{notes:#?}");
    }
}
