//! Long files: a warning, since how long is too long is for a reader to say.

use std::fs;

use anyhow::{Context, Result};

use crate::{lint::tracked, workspace::Workspace};

const LONG: usize = 600;

/// Warns of Rust files over [`LONG`] lines.
pub fn check(workspace: &Workspace) -> Result<()> {
    for file in tracked(workspace)? {
        if file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let path = workspace.root.join(&file);
        // Tracked and removed, not yet committed.
        if !path.exists() {
            continue;
        }
        let lines =
            fs::read_to_string(&path).with_context(|| format!("read {}", file.display()))?.lines().count();
        if lines > LONG {
            eprintln!("warning: {}: {lines} lines, over {LONG} (split it by subject)", file.display());
        }
    }
    Ok(())
}
