//! A secret that is an argument, a URL's or a variable's is nowhere in a run folder.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{process::Command, time::Duration};

use self::support::{Recorder, Workload};

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

#[test]
fn a_secret_of_a_command_is_nowhere_in_its_recording() {
    for line in command_lines() {
        let mut arguments = vec!["--".to_owned()];
        arguments.extend(line.clone());
        let recorded = Recorder::spawn(&arguments).finish();
        assert!(recorded.status.success(), "{}", recorded.stderr);
        let kept = &recorded.config().command;
        assert!(kept.iter().any(|word| word.contains("***")), "{kept:?}");
        recorded.assert_nowhere(SECRET);
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
        recorded.assert_nowhere(SECRET);
    }
    // What is looked for would be found: the same, for a word that is kept.
    let workload = Workload::start(&["storm", "--seconds", "60"]);
    let recorded = Recorder::spawn(&["--pid", &workload.pid().to_string(), "--duration", "200ms"]).finish();
    workload.kill();
    let looked = std::panic::catch_unwind(|| recorded.assert_nowhere("storm-0"));
    assert!(looked.is_err(), "the name of a thread is in a table");
}
