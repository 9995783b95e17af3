//! What is drawn.

use super::{
    super::{
        palette::{Group, Palette},
        tabs::{ListId, Tab},
    },
    Colours, lines_with, new_view, press, samples, screen, view, view_of,
};
use crate::{
    ledger::StateTimes,
    live::Picture,
    table::{State, Word as _},
    units::Tid,
};

/// All tabs of a picture, one after another.
fn tabs(picture: &Picture, width: u16, height: u16) -> String {
    let mut view = view(picture.clone());
    let mut all = String::new();
    for (digit, tab) in ('1'..).zip(Tab::ALL) {
        press(&mut view, &digit.to_string());
        all += tab.name();
        all += "\n";
        all += &screen(&mut view, width, height);
        all += "\n";
    }
    all
}

#[test]
fn every_tab_is_drawn_wide() {
    insta::assert_snapshot!("normal_120x40", tabs(&samples::vllm(), 120, 40));
    insta::assert_snapshot!("no_gpu_120x40", tabs(&samples::llama(), 120, 40));
    insta::assert_snapshot!("empty_120x40", tabs(&samples::empty(), 120, 40));
    insta::assert_snapshot!("lossy_120x40", tabs(&samples::lossy(), 120, 40));
}

#[test]
fn every_tab_is_drawn_in_80_columns() {
    insta::assert_snapshot!("normal_80x24", tabs(&samples::vllm(), 80, 24));
    insta::assert_snapshot!("no_gpu_80x24", tabs(&samples::llama(), 80, 24));
    insta::assert_snapshot!("empty_80x24", tabs(&samples::empty(), 80, 24));
    insta::assert_snapshot!("lossy_80x24", tabs(&samples::lossy(), 80, 24));
}

#[test]
fn a_thread_is_drawn_in_depth() {
    let mut view = view(samples::detailed(4713));
    press(&mut view, "2/tid:4713⏎⏎");
    insta::assert_snapshot!("thread_120x40", screen(&mut view, 120, 40));
    insta::assert_snapshot!("thread_80x24", screen(&mut view, 80, 24));
}

#[test]
fn a_thread_that_is_not_in_the_window_is_told_so() {
    let mut view = view(samples::detailed(4713));
    press(&mut view, "2/tid:4713⏎⏎");
    let mut without = samples::llama();
    view.set_picture(without.clone());
    assert!(screen(&mut view, 80, 24).contains("looking …"), "its depth is on its way");
    without.threads.retain(|thread| thread.tid != Tid(4713));
    view.set_picture(without);
    assert!(screen(&mut view, 80, 24).contains("thread 4713 did not live in this window"));
}

#[test]
fn a_replay_shows_where_it_is_and_a_time_that_is_typed() {
    let mut view = view(samples::replayed());
    insta::assert_snapshot!("replay_80x24", screen(&mut view, 80, 24));
    press(&mut view, "t1:2");
    let typing = screen(&mut view, 80, 24);
    assert!(typing.contains("go to  1:2▏"), "{typing}");
}

#[test]
fn an_end_is_told_and_what_w_does() {
    let mut view = view(samples::ended());
    let screen = screen(&mut view, 80, 24);
    assert!(screen.contains("ended 12.0 s ago: the last thread ended; w saves"), "{screen}");
    assert!(screen.contains(" ENDED "), "{screen}");
}

#[test]
fn the_help_explains_keys_states_and_the_open_tab_first() {
    let mut view = view(samples::vllm());
    press(&mut view, "2?");
    insta::assert_snapshot!("help_120x40", screen(&mut view, 120, 40));
    insta::assert_snapshot!("help_80x24", screen(&mut view, 80, 24));
}

#[test]
fn without_colours_letters_tell_states_apart() {
    let mut view = view_of(samples::vllm(), Colours::None);
    insta::assert_snapshot!("no_colour_80x24", screen(&mut view, 80, 24));
}

#[test]
fn before_the_first_picture_the_view_says_that_it_waits() {
    let mut view = new_view(Colours::Full);
    press(&mut view, "2s/x⎋jk3");
    assert!(screen(&mut view, 80, 24).contains("waiting for the first window"));
}

#[test]
fn too_small_a_terminal_is_told_what_is_needed_and_nothing_is_lost_by_it() {
    let mut view = view(samples::vllm());
    press(&mut view, "2jjjs");
    let before = screen(&mut view, 120, 40);
    insta::assert_snapshot!("too_small", screen(&mut view, 60, 10));
    assert!(screen(&mut view, 20, 5).contains("80 x 24"));
    assert_eq!(screen(&mut view, 120, 40), before);
}

#[test]
fn any_size_can_be_drawn() {
    let pictures =
        [samples::vllm(), samples::replayed(), samples::lossy(), samples::empty(), samples::ended()];
    for picture in pictures {
        for tab in '1'..='7' {
            let mut view = view(picture.clone());
            press(&mut view, &tab.to_string());
            for (width, height) in [(1, 1), (79, 24), (80, 24), (80, 25), (97, 26), (133, 31), (250, 70)] {
                screen(&mut view, width, height);
            }
            press(&mut view, "?");
            screen(&mut view, 80, 24);
        }
    }
}

#[test]
fn numbers_are_never_cut() {
    let mut picture = samples::vllm();
    picture.threads[0].tid = Tid(4_194_304);
    picture.requests[0].tokens = 9_999_000_000;
    for latency in [&mut picture.requests[0].ttft, &mut picture.calls[0].latency] {
        latency.p50_ns = Some(3_725_000_000_000);
        latency.p99_ns = Some(3_785_000_000_000);
    }
    let mut view = view(picture);
    for width in 80..180 {
        press(&mut view, "2");
        assert!(screen(&mut view, width, 24).contains(" 4194304 "), "{width}");
        for tab in ["3", "6"] {
            press(&mut view, tab);
            assert!(screen(&mut view, width, 24).contains(" 1 h 03 min"), "{width}");
        }
        assert!(screen(&mut view, width, 24).contains(" 2.00 G"), "{width}");
    }
}

#[test]
fn a_foreign_name_cannot_reach_the_terminal() {
    let mut picture = samples::llama();
    picture.target.name = "evil\x1b[2Jname".into();
    picture.threads[0].comm = "evil\x1b[31m".into();
    picture.processes[0].comm = "evil\x07".into();
    picture.calls[0].name = "\x1bcall".into();
    picture.memory.cgroups[0].path = "/evil\n/path".into();
    if let Some(mostly) = &mut picture.mostly {
        mostly.text = "evil\x1b]0;title\x07".into();
    }
    let mut view = view(picture);
    for tab in '1'..='7' {
        press(&mut view, &tab.to_string());
        let screen = screen(&mut view, 120, 40);
        assert!(!screen.contains(['\x1b', '\x07']), "{screen:?}");
    }
}

#[test]
fn every_number_that_is_shown_is_explained() {
    for id in ListId::ALL {
        for metric in id.list().metrics() {
            let of = format!("{}: {}", id.list().title(), metric.name);
            assert!(metric.help.len() > 5 && !metric.source.is_empty(), "{of}");
            assert!(!metric.help.ends_with('.') && !metric.help.contains("  "), "{of}: {}", metric.help);
        }
    }
    for tab in Tab::ALL {
        for metric in tab.metrics() {
            assert!(metric.help.len() > 5 && !metric.source.is_empty(), "{}: {}", tab.name(), metric.name);
        }
        assert!(!tab.lists().is_empty());
    }
}

#[test]
fn the_help_can_be_scrolled_to_its_end_and_has_every_column() {
    let mut view = view(samples::vllm());
    press(&mut view, "?");
    let mut all = String::new();
    for _ in 0..40 {
        all += &screen(&mut view, 120, 40);
        press(&mut view, " ");
    }
    for id in ListId::ALL {
        for metric in id.list().metrics() {
            assert!(all.contains(metric.name), "{}", metric.name);
            let words: String = metric.help.split(' ').take(3).collect::<Vec<_>>().join(" ");
            assert!(all.contains(&words), "{}: {words}", metric.name);
        }
    }
    // The end stays in sight.
    assert!(!lines_with(&screen(&mut view, 120, 40), "why it is off").is_empty());
}

#[test]
fn groups_hold_every_state_once_and_look_different() {
    let mut times = StateTimes { on_cpu_ns: 1, gpu_sync_ns: 4, unattributed_ns: 2, ..StateTimes::default() };
    for (at, &state) in State::ALL.iter().enumerate() {
        times.off_ns[state.index()] = 10 << at;
    }
    let sum: u64 = Group::ALL.iter().map(|group| group.ns(&times)).sum();
    assert_eq!(sum, times.total_ns());
    for (at, a) in Group::ALL.iter().enumerate() {
        for b in &Group::ALL[at + 1..] {
            assert_ne!(a.letter(), b.letter());
            for colours in [Colours::Sixteen, Colours::Full] {
                assert_ne!(Palette(colours).colour(*a), Palette(colours).colour(*b), "{a:?} {b:?}");
            }
        }
    }
}

#[test]
fn colours_are_what_the_terminal_has_and_the_user_wants() {
    for (no_color, term, colorterm, expected) in [
        (None, Some("xterm-256color"), None, Colours::Full),
        (None, Some("xterm"), Some("truecolor"), Colours::Full),
        (None, Some("linux"), None, Colours::Sixteen),
        (None, None, None, Colours::Sixteen),
        (None, Some("dumb"), None, Colours::None),
        (Some("1"), Some("xterm-256color"), Some("truecolor"), Colours::None),
        (Some(""), Some("xterm-256color"), None, Colours::Full),
    ] {
        assert_eq!(Colours::of(no_color, term, colorterm), expected, "{no_color:?} {term:?} {colorterm:?}");
    }
}

#[test]
fn no_colour_means_none() {
    use ratatui::{Terminal, backend::TestBackend, style::Color};
    for tab in '1'..='7' {
        let mut view = view_of(samples::lossy(), Colours::None);
        press(&mut view, &tab.to_string());
        let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
        terminal.draw(|frame| super::draw(frame, &mut view)).unwrap();
        let cells = &terminal.backend().buffer().content;
        assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset), "tab {tab}");
    }
}

#[test]
fn rates_are_of_a_second() {
    let mut picture = samples::llama();
    picture.threads[0].share.switches = 12_500;
    let mut view = view(picture);
    press(&mut view, "2");
    let wide = screen(&mut view, 120, 40);
    assert!(lines_with(&wide, "▸")[0].contains("2.50 k"), "12 500 switches in 5 s: {wide}");
}
