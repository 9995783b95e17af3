//! Which module of hostprof may name which: the dependency direction of docs/architecture.md.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::lint::source::{code_of, without_tests};

/// A module of the crate's root that may name only some others. A module without a rule may name any but
/// those of [`TOP`].
struct Layer {
    module: &'static str,
    may_name: &'static [&'static str],
}

const fn layer(module: &'static str, may_name: &'static [&'static str]) -> Layer {
    Layer { module, may_name }
}

/// `units, clock ← table ← {probe, sampler, request, ledger, recording, live}`, `probe ← {order, bpf}`,
/// `recording ← sink`, `{request, sink} ← load`, `{probe, recording, ledger} ← live ← tui`.
const LAYERS: &[Layer] = &[
    layer("units", &[]),
    layer("hash", &[]),
    layer("humane", &[]),
    layer("usage", &[]),
    layer("variable", &[]),
    layer("nvml", &["variable"]),
    layer("clock", &["units"]),
    layer("cupti", &["units", "variable"]),
    layer("table", &["units", "clock"]),
    layer("probe", &["units", "hash", "clock", "table"]),
    layer("order", &["units", "clock", "table", "probe"]),
    layer("sampler", &["units", "clock", "nvml", "table"]),
    layer("request", &["units", "clock", "table"]),
    layer("ledger", &["units", "clock", "table"]),
    layer("recording", &["units", "clock", "nvml", "table"]),
    layer("sink", &["units", "hash", "clock", "table", "recording"]),
    layer("also", &["units", "clock", "table", "recording"]),
    layer("load", &["units", "humane", "usage", "clock", "table", "request", "recording", "sink"]),
    layer("export", &["units", "clock", "table", "ledger", "recording"]),
    layer("import", &["units", "clock", "table", "request", "recording", "sink", "load"]),
    layer("lengths", &[]),
    layer("story", &["units", "hash", "humane", "clock", "lengths", "table", "probe", "request", "ledger"]),
    layer("live", &["units", "hash", "clock", "lengths", "table", "probe", "request", "ledger", "recording"]),
    layer("bpf", &["units", "clock", "table", "probe"]),
    layer("tui", &["units", "humane", "clock", "lengths", "table", "ledger", "live"]),
];

/// What only the named modules, and `main`, may name.
const TOP: &[(&str, &[&str])] = &[("collector", &["cli"]), ("cli", &[])];

/// External crates that only the named modules may name.
const EXTERNAL: &[(&str, &[&str])] = &[
    ("aya", &["bpf"]),
    ("aya_obj", &["bpf"]),
    ("hyper", &["load"]),
    ("ratatui", &["tui", "cli"]),
    ("libloading", &["cupti"]),
    ("nvml_wrapper", &["nvml", "recording", "sampler"]),
    ("nvml_wrapper_sys", &["sampler"]),
];

/// Where this table is, for whoever breaks a rule.
const HERE: &str = "xtask/src/lint/layers.rs";

/// Checks every file of `hostprof/src`.
pub fn check(root: &Path) -> Result<()> {
    let src = root.join("hostprof/src");
    let mut violations = Vec::new();
    for file in rust_files(&src)? {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let relative = file.strip_prefix(&src).unwrap_or(&file);
        for (line, what) in violations_of(relative, &text) {
            violations.push(format!("hostprof/src/{}:{line}: {what}", relative.display()));
        }
    }
    for violation in &violations {
        eprintln!("{violation}");
    }
    match violations.as_slice() {
        [] => Ok(()),
        [first, ..] => bail!("{} layer rules broken, first {first} (the rules: {HERE})", violations.len()),
    }
}

/// Every Rust file under a directory, in a fixed order.
pub fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", dir.display()))?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// What a file, by its path in `hostprof/src`, names and must not: (line, text).
fn violations_of(file: &Path, text: &str) -> Vec<(usize, String)> {
    let mut parts = file.components().map(|part| part.as_os_str().to_string_lossy());
    let top = parts.next().unwrap_or_default();
    let module = top.strip_suffix(".rs").unwrap_or(&top);
    if matches!(module, "main" | "lib") {
        return Vec::new();
    }
    let is_top_file = matches!(parts.next().as_deref(), None | Some("mod.rs"));
    let code = code_of(text);
    let code = without_tests(&code);
    let mut found = Vec::new();
    for (at, word) in words(code) {
        let names_root = word == "crate" || (word == "super" && is_top_file && !follows_path(code, at));
        let mut report = |what| found.push((code[..at].matches('\n').count() + 1, what));
        if names_root {
            for named in first_segments(&code[at + word.len()..]) {
                if let Some(rule) = broken_rule(module, named) {
                    report(rule);
                }
            }
        } else if let Some((name, only)) = EXTERNAL.iter().find(|(name, _)| *name == word)
            && !only.contains(&module)
            && !follows_path(code, at)
            && is_path_root(&code[at + word.len()..])
        {
            report(format!("{module} names {name} (only {} may)", only.join(", ")));
        }
    }
    found
}

fn broken_rule(module: &str, named: &str) -> Option<String> {
    if module == named {
        return None;
    }
    if let Some((_, only)) = TOP.iter().find(|(top, _)| *top == named)
        && !only.contains(&module)
    {
        return Some(format!("{module} names {named}, which is above it"));
    }
    let layer = LAYERS.iter().find(|layer| layer.module == module)?;
    // A macro or constant of the crate's root is no layer.
    let is_module = named.starts_with(|c: char| c.is_lowercase());
    if !is_module || layer.may_name.contains(&named) {
        return None;
    }
    let may = if layer.may_name.is_empty() { "nothing".to_owned() } else { layer.may_name.join(", ") };
    Some(format!("{module} names {named} (may name {may})"))
}

/// Each word of the code and where it starts.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_word)?;
        let length = code[start..].find(|c| !is_word(c)).unwrap_or(code.len() - start);
        at = start + length;
        Some((start, &code[start..at]))
    })
}

/// Whether what starts at `at` is a later part of a path, a field or a method.
fn follows_path(code: &str, at: usize) -> bool {
    let before = code[..at].trim_end();
    // `::aya` at the start of a path is the crate.
    before
        .strip_suffix("::")
        .is_some_and(|before| before.ends_with(|c: char| c.is_alphanumeric() || "_>".contains(c)))
        || (before.ends_with('.') && !before.ends_with(".."))
}

fn is_path_root(after: &str) -> bool {
    let after = after.trim_start();
    ["::", ";", "as "].iter().any(|next| after.starts_with(next))
}

/// What follows `crate` or `super`: `::a::b` → a, `::{a, b::{c, d}}` → a, b.
fn first_segments(after: &str) -> Vec<&str> {
    let Some(path) = after.trim_start().strip_prefix("::").map(str::trim_start) else { return Vec::new() };
    let Some(group) = path.strip_prefix('{') else {
        return words(path).next().map(|(_, word)| word).into_iter().collect();
    };
    let mut depth = 0;
    let (mut segments, mut start) = (Vec::new(), 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                segments.extend(words(&group[start..at]).next().map(|(_, word)| word));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(file: &str, text: &str) -> Vec<String> {
        violations_of(Path::new(file), text)
            .into_iter()
            .map(|(line, what)| format!("{line}: {what}"))
            .collect()
    }

    #[test]
    fn a_planted_violation_is_found() {
        let table = "use std::fmt;\nuse crate::{units::Tid, probe::{self, Probe}, clock};\n";
        assert_eq!(violations("table/off_cpu.rs", table), ["2: table names probe (may name units, clock)"]);
        assert_eq!(
            violations("units.rs", "fn f() { crate::clock::now() }"),
            ["1: units names clock (may name nothing)"]
        );
        assert_eq!(violations("probe/mod.rs", "use super::bpf::Loader;").len(), 1);
        assert_eq!(
            violations("report/mod.rs", "use crate::cli::Args;"),
            ["1: report names cli, which is above it"]
        );
    }

    #[test]
    fn an_external_crate_is_named_in_its_place_only() {
        assert_eq!(violations("probe/sched.rs", "use aya::Ebpf;"), ["1: probe names aya (only bpf may)"]);
        assert_eq!(violations("ledger/mod.rs", "fn f(_: ratatui::Frame) {}").len(), 1);
        assert_eq!(violations("doctor.rs", "let x = ::aya::maps::Map;").len(), 1);
        assert!(violations("bpf/load.rs", "use aya::Ebpf;").is_empty());
        assert!(
            violations("probe/sched.rs", "let aya = x.aya; crate::probe::aya::f(); // aya::Ebpf").is_empty()
        );
    }

    #[test]
    fn what_the_rules_allow_passes() {
        assert!(
            violations("probe/sched.rs", "use crate::{probe::decode, table::Table, units::*};").is_empty()
        );
        assert!(violations("probe/sched.rs", "use super::Probe; // crate::cli::x").is_empty());
        assert!(violations("cli/record.rs", "use crate::collector::run;").is_empty());
        assert!(violations("main.rs", "use crate::cli;").is_empty());
        assert!(
            violations("table/mod.rs", "use crate::Error; #[cfg(test)]\nmod tests { use crate::sink; }")
                .is_empty()
        );
    }
}
