//! A secret that is an argument, a URL's or a variable's is nowhere in a run folder.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{fs, path::Path, process::Command, time::Duration};

use self::support::{Recorded, Recorder, Workload, hostprof};

const SECRET: &str = "Xq7vPlanted9Zk2mW4";

/// The command lines, the secret in one form each.
fn command_lines() -> [Vec<String>; 5] {
    let shell = |words: &[&str]| {
        let mut line = vec!["sh".to_owned(), "-c".to_owned(), "sleep 1.5; true".to_owned(), "sh".to_owned()];
        line.extend(words.iter().map(|word| (*word).to_owned()));
        line
    };
    let script = format!("sleep 1.5; true https://user:{SECRET}@host/v1 --api-key {SECRET} token={SECRET}");
    [
        shell(&["--api-key", SECRET]),
        shell(&[&format!("--hf-token={SECRET}")]),
        shell(&[&format!("https://user:{SECRET}@host:8000/v1?api_key={SECRET}")]),
        shell(&["-H", &format!("Authorization: Bearer {SECRET}")]),
        vec!["sh".to_owned(), "-c".to_owned(), script],
    ]
}

/// Every byte as it lies there, and every table as text, since Parquet is compressed.
fn assert_nowhere(recorded: &Recorded, secret: &str) {
    let text = tempfile::tempdir().unwrap();
    let exported = hostprof()
        .args(["export", "--to", "json", "-o"])
        .arg(text.path())
        .arg(&recorded.run)
        .status()
        .unwrap();
    assert!(exported.success());
    let tables = fs::read_dir(text.path()).unwrap().count();
    assert!(tables >= 5, "{tables} tables were read");
    for folder in [recorded.run.as_path(), text.path()] {
        for path in files(folder) {
            let bytes = fs::read(&path).unwrap();
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}

#[test]
fn a_secret_of_a_command_is_nowhere_in_its_recording() {
    for line in command_lines() {
        let mut arguments = vec!["--".to_owned()];
        arguments.extend(line.clone());
        let recorded = Recorder::spawn(&arguments).finish();
        assert!(recorded.status.success(), "{}", recorded.stderr);
        let kept = &recorded.config().command;
        assert!(kept.iter().any(|word| word.contains("***")), "{kept:?}");
        assert_nowhere(&recorded, SECRET);
    }
}

#[test]
fn a_secret_of_a_process_that_runs_is_nowhere_in_its_recording() {
    for line in command_lines() {
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]).env("OPENAI_API_KEY", SECRET);
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let recorded = Recorder::attach(child.id()).finish();
        child.wait().unwrap();
        assert!(recorded.status.success(), "{}", recorded.stderr);
        assert_nowhere(&recorded, SECRET);
    }
    // What is looked for would be found: the same, for a word that is kept.
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    let recorded = Recorder::spawn(&["--pid", &workload.pid().to_string(), "--duration", "200ms"]).finish();
    workload.kill();
    let looked = std::panic::catch_unwind(|| assert_nowhere(&recorded, "storm-0"));
    assert!(looked.is_err(), "the name of a thread is in a table");
}
