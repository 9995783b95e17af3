//! `cargo xtask demo`: the four CPU calibration patterns, recorded and judged.

use anyhow::{Result, bail};
use calibration::demo::{self, Demo};

use crate::{
    process,
    setup::{self, UserHalf},
    workspace::Workspace,
};

/// Builds, then records and judges.
pub fn run(workspace: &Workspace) -> Result<()> {
    setup::build(workspace, UserHalf::Programs)?;
    process::become_root()?;
    let wanted = Demo {
        hostprof: workspace.release("hostprof"),
        calibration: workspace.release("calibration"),
        runs: workspace.root.join("runs"),
        sudo: !process::is_root(),
    };
    if !demo::run(&wanted)? {
        bail!("demo: a pattern missed its signature (the table above names it)");
    }
    Ok(())
}
