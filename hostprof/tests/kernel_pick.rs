//! `hostprof` alone on a terminal: driven by keys on a pseudo-terminal, which must be as before at the end.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::process::Command;

use hostprof::{
    recording::Recording,
    tui::{Screen, pick},
};
use nix::sys::signal::Signal;
use support::{
    send,
    terminal::{LEFT, TAKEN, Terminal},
};

#[test]
fn q_leaves_and_so_do_ctrl_c_and_a_signal_each_with_its_status() {
    for (keys, signal, status) in [
        ("q", None, 0),
        ("\x1b", None, 0),
        ("\x03", None, 130),
        ("/q\x03", None, 130),
        ("", Some(Signal::SIGTERM), 143),
        ("", Some(Signal::SIGINT), 130),
    ] {
        let mut terminal = Terminal::picker(&[]);
        terminal.until("pick what to record");
        assert!(terminal.is_raw());
        terminal.press(keys);
        if let Some(signal) = signal {
            send(terminal.child.id(), signal);
        }
        let (code, text) = terminal.end();
        assert_eq!(code, Some(status), "{keys:?} {signal:?}: {text}");
    }
}

#[test]
fn the_engine_that_is_picked_is_watched() {
    let mut engine = Command::new("bash").args(["-c", "exec -a llama-server sleep 61.25"]).spawn().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("runs");
    let settings = [("HOSTPROF_OUT", out.to_str().unwrap())];
    let mut terminal = Terminal::picker(&settings);
    terminal.until("61.25");
    terminal.press("/61.25");
    terminal.until("/61.25▏");
    terminal.press("\r");
    terminal.until("(sleep)");
    // What is watched is kept where that is asked for.
    terminal.press("r");
    terminal.until("run_001");
    terminal.press("q");
    let (code, text) = terminal.end();
    let target = Recording::open(&out.join("run_001")).map(|run| run.config().target.clone());
    engine.kill().unwrap();
    engine.wait().unwrap();
    assert_eq!(code, Some(0), "{text}");
    let target = target.unwrap();
    assert_eq!((target.kind.as_str(), target.value), ("pid", engine.id().to_string()));
    assert_eq!(target.engine.as_deref(), Some("llama.cpp"));
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let own = std::env::current_exe().unwrap();
    let arguments = ["--exact", "a_view_that_panics", "--ignored", "--nocapture"];
    let (code, text) = Terminal::start(&own, &arguments, &[]).end();
    assert_eq!(code, Some(101), "{text}");
    let (left, told) = (text.find(LEFT).unwrap(), text.find("a bug in a view").expect("it is told"));
    assert!(text.find(TAKEN).unwrap() < left && left < told, "{text}");
}

#[test]
#[ignore = "run by the test above, on a terminal of its own"]
fn a_view_that_panics() {
    let mut screen = Screen::enter().unwrap();
    screen.draw(|frame| pick::draw(frame, &mut pick::Picker::default())).unwrap();
    panic!("a bug in a view");
}
