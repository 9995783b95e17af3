//! What the running kernel is, as data.

use std::{fs, path::Path};

use nix::sys::utsname::uname;

use super::error::{LoadError, OLDEST_KERNEL};

/// The inode number of the initial pid namespace, a constant of the kernel (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Major and minor version of the running kernel.
///
/// # Errors
///
/// It is older than [`OLDEST_KERNEL`].
pub fn kernel_version() -> Result<(u32, u32), LoadError> {
    let release = uname()
        .map_err(|errno| LoadError::Io { action: "read the kernel's version", source: errno.into() })?
        .release()
        .to_string_lossy()
        .into_owned();
    match kernel_version_of(&release) {
        Some(version) if version >= OLDEST_KERNEL => Ok(version),
        _ => Err(LoadError::OldKernel(release)),
    }
}

/// Major and minor version of a release, as `uname -r` tells it.
pub fn kernel_version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Refuses to run where `/proc` shows other process ids than the programs see.
///
/// # Errors
///
/// hostprof is in a pid namespace of its own.
pub fn in_initial_pid_namespace() -> Result<(), LoadError> {
    match fs::read_link("/proc/self/ns/pid") {
        Ok(namespace) if !is_initial_pid_namespace(&namespace) => Err(LoadError::PidNamespace),
        _ => Ok(()),
    }
}

/// Whether a link of `/proc/PID/ns/pid` names the namespace whose ids the programs see.
pub fn is_initial_pid_namespace(link: &Path) -> bool {
    link.as_os_str() == INITIAL_PID_NAMESPACE
}

/// The highest process id there can be.
///
/// # Errors
///
/// `/proc` is not mounted.
pub fn pid_max() -> Result<u32, LoadError> {
    let text = fs::read_to_string("/proc/sys/kernel/pid_max")
        .map_err(|source| LoadError::Io { action: "read /proc/sys/kernel/pid_max", source })?;
    Ok(text.trim().parse().unwrap_or(4_194_304))
}

/// How many CPUs there can be: one more than the highest number.
///
/// # Errors
///
/// `/sys` is not mounted.
pub fn possible_cpus() -> Result<u32, LoadError> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible")
        .map_err(|source| LoadError::Io { action: "read /sys/devices/system/cpu/possible", source })?;
    let highest = text.trim().rsplit(['-', ',']).next().and_then(|number| number.parse::<u32>().ok());
    Ok(highest.map_or(1, |highest| highest + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_are_understood() {
        assert_eq!(kernel_version_of("6.18.44-fc-v595"), Some((6, 18)));
        assert_eq!(kernel_version_of("5.15.0-91-generic"), Some((5, 15)));
        assert_eq!(kernel_version_of("6.1"), Some((6, 1)));
        assert_eq!(kernel_version_of("next"), None);
    }
}
