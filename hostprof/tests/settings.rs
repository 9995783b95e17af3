//! Settings of the real program: a variable over the file over the default, and mistakes in one line.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// hostprof with its configuration in a folder, and no variables of its own but those given.
fn hostprof(home: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hostprof"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().into_owned();
        if text.starts_with("HOSTPROF_") || text.starts_with("SUDO_") {
            command.env_remove(name);
        }
    }
    command.env("XDG_CONFIG_HOME", home).envs(variables.iter().copied()).args(arguments);
    command.output().expect("run hostprof")
}

fn home(text: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("hostprof")).unwrap();
    fs::write(home.path().join("hostprof/config.toml"), text).unwrap();
    home
}

fn shown(output: &Output, key: &str) -> (Value, String) {
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let settings = shown["settings"].as_array().unwrap();
    let line = settings.iter().find(|line| line["key"] == key).unwrap();
    (line["value"].clone(), line["from"].as_str().unwrap().to_owned())
}

#[test]
fn a_variable_counts_before_the_file_and_the_file_before_the_default() {
    let home = home("out = \"/data/runs\"\nduration = \"5m\"\nprobe = [\"auto\", \"-waker\"]\n");
    let output = hostprof(home.path(), &[("HOSTPROF_DURATION", "9s")], &["config", "show", "--json"]);
    assert!(output.status.success());
    let from = |key: &str| shown(&output, key);
    assert_eq!(from("out"), ("/data/runs".into(), "file".into()));
    assert_eq!(from("duration"), ("9s".into(), "variable".into()));
    assert_eq!(from("probe"), ("auto,-waker".into(), "file".into()));
    assert_eq!(from("max_size"), ("10GiB".into(), "default".into()));
}

#[test]
fn the_file_is_used_and_a_flag_counts_before_it() {
    let runs = tempfile::tempdir().unwrap();
    fs::create_dir(runs.path().join("empty")).unwrap();
    let home = home(&format!("out = \"{}/file\"\n", runs.path().display()));
    let flag = runs.path().join("empty");
    let output = hostprof(home.path(), &[], &["list"]);
    assert!(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).contains("/file"));
    let output = hostprof(home.path(), &[], &["list", "-o", flag.to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("/empty"), "{output:?}");
    let help = hostprof(home.path(), &[], &["list", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("HOSTPROF_OUT"));
}

#[test]
fn a_mistake_is_one_line_that_names_where_and_stops_only_what_reads_it() {
    for (text, variables, words) in [
        ("colour = 1\n", &[][..], ["config.toml", "unknown key \"colour\""]),
        ("duration = \"soon\"\n", &[], ["config.toml: key duration", "soon"]),
        ("drain_priority = \"high\"\n", &[], ["config.toml: key drain_priority", "possible values"]),
        ("out = \n", &[], ["config.toml:1", "read"]),
        ("", &[("HOSTPROF_MAX_SIZE", "much")], ["variable HOSTPROF_MAX_SIZE", "much"]),
    ] {
        let home = home(text);
        for arguments in [&["config", "show"][..], &["record", "--", "true"]] {
            let output = hostprof(home.path(), variables, arguments);
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{text:?}: {stderr}");
            assert!(words.iter().all(|word| stderr.contains(word)), "{text:?}: {stderr}");
        }
        assert!(hostprof(home.path(), variables, &["--help"]).status.success());
    }
}

#[test]
fn alone_in_a_pipe_it_tells_how_it_is_used() {
    let home = home("");
    let output = hostprof(home.path(), &[], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: hostprof"));
}
