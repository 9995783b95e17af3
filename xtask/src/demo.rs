//! `cargo xtask demo`: the four CPU calibration patterns, recorded and judged.

use anyhow::{Result, bail};

use crate::{
    process,
    setup::{self, UserHalf},
    workspace::Workspace,
};

/// Builds, then records and judges.
pub fn run(workspace: &Workspace) -> Result<()> {
    setup::build(workspace, UserHalf::Programs)?;
    process::become_root()?;
    let demo = stub::Demo {
        hostprof: workspace.release("hostprof"),
        calibration: workspace.release("calibration"),
        runs: workspace.root.join("runs"),
        sudo: !process::is_root(),
    };
    if !stub::run(&demo)? {
        bail!("demo: a pattern missed its signature (the table above names it)");
    }
    Ok(())
}

/// The shape of `calibration::demo`, until that library is there.
mod stub {
    use std::path::PathBuf;

    use anyhow::{Result, bail};

    pub struct Demo {
        pub hostprof: PathBuf,
        pub calibration: PathBuf,
        pub runs: PathBuf,
        pub sudo: bool,
    }

    pub fn run(demo: &Demo) -> Result<bool> {
        let Demo { hostprof, calibration, runs, sudo } = demo;
        bail!(
            "run demo: calibration::demo is not there yet ({}, {}, {}, sudo {sudo})",
            hostprof.display(),
            calibration.display(),
            runs.display()
        );
    }
}
