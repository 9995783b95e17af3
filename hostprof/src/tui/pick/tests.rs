//! The list by keys and as drawn.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Outcome, Picker, Row, draw};
use crate::tui::testing;

fn row(pid: u32, engine: &str, gpu: Option<bool>, cpu: f64, command: &str) -> Row {
    Row { pid, command: command.into(), engine: engine.into(), user: "ada".into(), gpu, cpu_ratio: Some(cpu) }
}

fn rows() -> Vec<Row> {
    vec![
        row(4211, "vLLM", Some(true), 1.02, "VLLM::EngineCore"),
        row(
            4100,
            "vLLM",
            Some(false),
            0.31,
            "python3 -m vllm.entrypoints.openai.api_server --model llama-8b",
        ),
        row(991, "", Some(true), 0.0, "/usr/bin/nvidia-persistenced --verbose"),
        row(77, "", Some(false), 0.55, "bad\x1b[31mname"),
        row(78, "", None, 0.0, "postgres"),
    ]
}

fn picker() -> Picker {
    let mut picker = Picker::default();
    picker.set_rows(rows());
    picker
}

fn press(picker: &mut Picker, keys: &str) -> Outcome {
    let mut outcome = Outcome::Open;
    for key in keys.chars() {
        outcome = picker.key(testing::key(key));
    }
    outcome
}

fn screen(picker: &mut Picker, width: u16, height: u16) -> String {
    testing::screen(width, height, |frame| draw(frame, picker))
}

#[test]
fn the_likely_ones_are_shown_first_and_the_rest_on_request() {
    let mut picker = picker();
    insta::assert_snapshot!("pick_wide", screen(&mut picker, 120, 40));
    insta::assert_snapshot!("pick_narrow", screen(&mut picker, 60, 12));
    press(&mut picker, "a");
    insta::assert_snapshot!("pick_all", screen(&mut picker, 80, 24));
}

#[test]
fn the_cursor_moves_within_the_list_and_enter_picks() {
    let mut picker = picker();
    assert_eq!(press(&mut picker, "⏎"), Outcome::Picked(4211));
    assert_eq!(press(&mut picker, "j⏎"), Outcome::Picked(4100));
    assert_eq!(press(&mut picker, "↓↓↓↓⏎"), Outcome::Picked(991));
    assert_eq!(press(&mut picker, "gk⏎"), Outcome::Picked(4211));
    assert_eq!(press(&mut picker, "G⏎"), Outcome::Picked(991));
}

#[test]
fn a_filter_narrows_the_list_until_it_is_cleared() {
    let mut picker = picker();
    assert_eq!(press(&mut picker, "/api_s⏎"), Outcome::Picked(4100));
    insta::assert_snapshot!("pick_filter", screen(&mut picker, 80, 10));
    assert_eq!(press(&mut picker, "x⏎"), Outcome::Open, "nothing matches, so nothing is picked");
    insta::assert_snapshot!("pick_nothing", screen(&mut picker, 80, 10));
    assert_eq!(press(&mut picker, "⌫⇥⏎"), Outcome::Picked(4100), "a letter fewer, back in the list");
    assert_eq!(press(&mut picker, "⎋"), Outcome::Open, "clears the filter and does not leave");
    assert_eq!(picker.shown().len(), 3);
    assert_eq!(press(&mut picker, "⎋"), Outcome::Left);
    assert_eq!(press(&mut picker, "/q"), Outcome::Open, "a letter of the filter");
}

#[test]
fn ctrl_c_leaves_also_while_the_filter_is_typed() {
    let mut picker = picker();
    press(&mut picker, "/");
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(picker.key(ctrl_c), Outcome::Interrupted);
}

#[test]
fn the_cursor_stays_on_its_process_when_others_come_and_go() {
    let mut picker = picker();
    press(&mut picker, "j");
    let mut newer = rows();
    newer.insert(0, row(5000, "SGLang", Some(true), 2.0, "sglang::scheduler"));
    picker.set_rows(newer);
    assert_eq!(press(&mut picker, "⏎"), Outcome::Picked(4100));
    picker.set_rows(vec![row(5000, "SGLang", Some(true), 2.0, "sglang::scheduler")]);
    assert_eq!(press(&mut picker, "⏎"), Outcome::Picked(5000), "what is left");
    picker.set_rows(Vec::new());
    assert_eq!(press(&mut picker, "⏎"), Outcome::Open);
}

#[test]
fn an_empty_list_says_why() {
    let mut picker = Picker::default();
    assert!(screen(&mut picker, 80, 10).contains("looking"));
    picker.set_rows(vec![row(78, "", None, 0.0, "postgres")]);
    insta::assert_snapshot!("pick_empty", screen(&mut picker, 80, 10));
    picker.set_rows(Vec::new());
    assert!(screen(&mut picker, 80, 10).contains("press a for all programs"));
}

#[test]
fn a_terminal_that_is_too_small_is_told_so() {
    assert!(screen(&mut picker(), 20, 5).contains("needs 40 x 6"));
    screen(&mut picker(), 1, 1);
}
