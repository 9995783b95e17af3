//! Traces of one machine in tracked files: someone's home, this checkout's place, a private registry.

use std::{env, fs, path::Path};

use anyhow::{Result, bail};

use crate::{lint::tracked, workspace::Workspace};

/// Directories whose next part is a person's name.
const HOMES: [&str; 2] = [concat!("/", "home/"), concat!("/", "Users/")];
/// Names that stand for anyone.
const ANYONE: [&str; 6] = ["user", "me", "you", "name", "alice", "bob"];
/// Root's home: only prose may speak of it.
const ROOT: &str = concat!("/", "root/");
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks every tracked text file.
pub fn check(workspace: &Workspace) -> Result<()> {
    let here = this_machine(workspace);
    let mut found = Vec::new();
    for file in tracked(workspace)? {
        let Ok(bytes) = fs::read(workspace.root.join(&file)) else { continue };
        let Ok(text) = str::from_utf8(&bytes) else { continue };
        let name = file.to_string_lossy();
        for (number, line) in text.lines().enumerate() {
            if let Some(trace) = trace_in(&name, line, &here) {
                found.push(format!("{name}:{}: {trace}", number + 1));
            }
        }
    }
    for trace in &found {
        eprintln!("{trace}");
    }
    match found.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            bail!("{} traces of one machine, first {first} (name no machine in tracked files)", found.len())
        }
    }
}

/// Where this checkout and this user's home are, unless too short to mean anything.
fn this_machine(workspace: &Workspace) -> Vec<String> {
    let home = env::var("HOME").unwrap_or_default();
    let root = workspace.root.to_string_lossy().into_owned();
    [root, home].into_iter().filter(|path| path.len() > 8 && path.matches('/').count() > 1).collect()
}

fn trace_in(file: &str, line: &str, here: &[String]) -> Option<String> {
    if let Some(home) = HOMES.iter().find_map(|home| someones(line, home)) {
        return Some(home);
    }
    if let Some(path) = here.iter().find(|path| line.contains(path.as_str())) {
        return Some(path.clone());
    }
    let is_prose = Path::new(file).extension().is_some_and(|extension| extension == "md");
    if line.contains(ROOT) && !is_prose {
        return Some(ROOT.to_owned());
    }
    if file.ends_with("Cargo.lock")
        && let Some(source) = line.strip_prefix("source = ")
        && source.trim_matches('"') != CRATES_IO
    {
        return Some(source.to_owned());
    }
    None
}

/// The part of a line that is under someone's home.
fn someones(line: &str, home: &str) -> Option<String> {
    line.match_indices(home).find_map(|(at, _)| {
        let rest = &line[at + home.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))?;
        let name = &rest[..end];
        let is_someone = !name.is_empty() && rest[end..].starts_with('/') && !ANYONE.contains(&name);
        is_someone.then(|| format!("{home}{name}/"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(rest: &str) -> String {
        format!("{}{rest}", HOMES[0])
    }

    #[test]
    fn a_path_under_someones_home_is_found() {
        assert_eq!(trace_in("a.rs", &home("carol/src"), &[]), Some(home("carol/")));
        assert_eq!(trace_in("a.rs", &format!("{ROOT}.cargo"), &[]), Some(ROOT.to_owned()));
        assert_eq!(
            trace_in("a.rs", "cd /srv/checkout/x", &["/srv/checkout".into()]),
            Some("/srv/checkout".into())
        );
    }

    #[test]
    fn a_registry_other_than_crates_io_is_found_in_the_lock_file() {
        assert!(trace_in("Cargo.lock", "source = \"registry+https://mirror.example/index\"", &[]).is_some());
        assert!(trace_in("Cargo.lock", &format!("source = \"{CRATES_IO}\""), &[]).is_none());
    }

    #[test]
    fn a_path_that_stands_for_anyones_passes() {
        for path in ["user/models", "<name>/", "$USER/", "alice/x"] {
            assert_eq!(trace_in("a.rs", &home(path), &[]), None);
        }
        assert_eq!(trace_in("docs/a.md", &format!("as root: {ROOT}x"), &[]), None);
    }
}
