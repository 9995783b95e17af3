//! The programs of this workspace that the benchmark measures and measures with.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where they are.
#[derive(Clone, Debug)]
pub struct Programs {
    pub dir: PathBuf,
    pub hostprof: PathBuf,
    pub calibration: PathBuf,
    pub workload: PathBuf,
}

impl Programs {
    /// Those of a folder.
    pub fn of(dir: &Path) -> Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("find {}", dir.display()))?;
        let find = |name: &str| {
            let path = dir.join(name);
            if !path.is_file() {
                bail!("find {}: no such program (cargo xtask build makes it)", path.display());
            }
            Ok(path)
        };
        Ok(Self {
            hostprof: find("hostprof")?,
            calibration: find("calibration")?,
            workload: find("workload")?,
            dir,
        })
    }
}

/// A program of the search path, as the one name that is its file's.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// What brings a program that is not here.
pub fn package_of(program: &str) -> &str {
    match program {
        "perf" => "linux-perf (Ubuntu: linux-tools-generic)",
        "taskset" => "util-linux",
        other => other,
    }
}

/// Why a program cannot be used, with the remedy.
pub fn missing(program: &str) -> Option<String> {
    on_path(program)
        .is_none()
        .then(|| format!("{program} is not installed (apt install {})", package_of(program)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_here_is_named_with_what_brings_it() {
        assert_eq!(
            missing("no-such-program").unwrap(),
            "no-such-program is not installed (apt install no-such-program)"
        );
        assert_eq!(missing("sh"), None);
        assert!(on_path("sh").unwrap().is_absolute());
    }
}
