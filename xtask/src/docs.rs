//! The pages of docs/ that hostprof writes of itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{process, workspace::Workspace};

/// Writes them.
pub fn write(workspace: &Workspace) -> Result<()> {
    generate(workspace, &workspace.root.join("docs"))
}

/// Fails when one differs from what would be written.
pub fn check(workspace: &Workspace) -> Result<()> {
    let fresh = workspace.target.join("docs-check");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("remove {}", fresh.display()))?;
    }
    generate(workspace, &fresh)?;
    match stale(&fresh, &workspace.root.join("docs"))?.as_slice() {
        [] => Ok(()),
        stale => bail!("check generated pages: docs/{} stale (run: cargo xtask docs)", stale.join(", docs/")),
    }
}

fn generate(workspace: &Workspace, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    process::output(Command::new(workspace.release("hostprof")).arg("generate-docs").arg(dir)).map(drop)
}

/// The names of the pages that differ, after a line for each on where.
fn stale(fresh: &Path, kept: &Path) -> Result<Vec<String>> {
    let mut stale = Vec::new();
    let mut pages: Vec<PathBuf> = fs::read_dir(fresh)
        .with_context(|| format!("read {}", fresh.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    pages.sort();
    if pages.is_empty() {
        bail!("generate pages: hostprof wrote none to {}", fresh.display());
    }
    for page in pages {
        let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let new = fs::read_to_string(&page).with_context(|| format!("read {}", page.display()))?;
        let old = fs::read_to_string(kept.join(&name)).unwrap_or_default();
        if new != old {
            let line = first_difference(&old, &new);
            eprintln!("docs/{name}:{line}: {}", new.lines().nth(line - 1).unwrap_or("(should end here)"));
            stale.push(name);
        }
    }
    Ok(stale)
}

/// The number of the first line that differs.
fn first_difference(old: &str, new: &str) -> usize {
    old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), 2);
        assert_eq!(first_difference("", "a\n"), 1);
        assert_eq!(first_difference("a\nb\n", "a\n"), 2);
    }
}
