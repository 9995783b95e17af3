//! What keys do.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    super::{
        View, Way, Worst,
        tabs::{ListId, Tab},
        time_bar::{clock, instant},
    },
    Ask, lines_with, press, samples, screen, view,
};
use crate::{
    live::{Mode, Picture, Playback},
    units::{MonoNs, Tid},
};

fn shown(view: &View, id: ListId) -> &[String] {
    &view.lists[id as usize].shown
}

fn selected(view: &View, id: ListId) -> &str {
    view.lists[id as usize].selected.as_deref().unwrap_or_default()
}

#[test]
fn digits_and_tab_go_to_tabs_and_around_the_end() {
    let mut view = view(samples::llama());
    press(&mut view, "4");
    assert_eq!(view.tab, Tab::Memory);
    press(&mut view, "7⇥");
    assert_eq!(view.tab, Tab::Overview);
    press(&mut view, "⇤");
    assert_eq!(view.tab, Tab::Health);
    assert_eq!(press(&mut view, "8"), None);
    assert_eq!(view.tab, Tab::Health);
}

#[test]
fn s_orders_by_the_next_column_on_the_screen_and_s_shifted_reverses() {
    let mut view = view(samples::llama());
    press(&mut view, "2");
    let first = screen(&mut view, 120, 40);
    assert!(first.contains("by on CPU ▼") && first.contains("on CPU▼"), "{first}");
    assert_eq!(shown(&view, ListId::Threads)[0], "4711", "the busiest first");
    press(&mut view, "s");
    assert!(screen(&mut view, 120, 40).contains("run q▼"));
    assert_eq!(view.lists[ListId::Threads as usize].order, Some(6));
    press(&mut view, "S");
    assert!(screen(&mut view, 120, 40).contains("run q▲"));
    assert!(shown(&view, ListId::Threads)[0] != "4712", "the least first");
    // Each visible column in turn, and back to where it began.
    let columns = view.lists[ListId::Threads as usize].columns.len();
    for _ in 0..columns {
        press(&mut view, "s");
    }
    assert_eq!(view.lists[ListId::Threads as usize].order, Some(6));
    // Words begin with a.
    while !screen(&mut view, 120, 40).contains("by role") {
        press(&mut view, "s");
    }
    assert!(screen(&mut view, 120, 40).contains("role▲"));
    assert_eq!(shown(&view, ListId::Threads)[0], "4730", "no role before compute_pool");
}

#[test]
fn what_is_missing_comes_last_either_way() {
    let mut picture = samples::llama();
    picture.threads[3].cpu = None;
    let missing = picture.threads[3].tid.to_string();
    let mut view = view(picture);
    press(&mut view, "2");
    while !screen(&mut view, 120, 40).contains("by CPU") {
        press(&mut view, "s");
    }
    assert_eq!(shown(&view, ListId::Threads).last(), Some(&missing));
    press(&mut view, "S");
    assert_eq!(shown(&view, ListId::Threads).last(), Some(&missing));
}

#[test]
fn processes_come_as_a_tree_until_ordered_and_again_after_the_last_column() {
    let mut view = view(samples::vllm());
    screen(&mut view, 120, 40);
    let tree = shown(&view, ListId::Processes).to_vec();
    assert_eq!(tree, ["pid:9001 ", "pid:9050 ", "pid:9102 "]);
    press(&mut view, "ss");
    assert_eq!(shown(&view, ListId::Processes)[0], "pid:9102 ", "most threads");
    let columns = view.lists[ListId::Processes as usize].columns.len();
    for _ in 2..=columns {
        press(&mut view, "s");
    }
    assert_eq!(shown(&view, ListId::Processes), tree);
}

#[test]
fn a_filter_takes_every_letter_and_is_kept_or_cleared() {
    let mut view = view(samples::vllm());
    assert_eq!(press(&mut view, "2/zmqq"), None, "q is a letter of the filter");
    assert!(screen(&mut view, 80, 24).contains("nothing matches the filter (Esc clears it)"));
    press(&mut view, "⌫⏎");
    assert_eq!(shown(&view, ListId::Threads).len(), 8);
    assert!(screen(&mut view, 80, 24).contains("threads 8 of 71"));
    assert!(screen(&mut view, 80, 24).contains("filter: zmq"));
    press(&mut view, "⎋");
    assert_eq!(shown(&view, ListId::Threads).len(), 71);
    // Of a role, a thread, a process.
    for (filter, count) in [("tokenizer", 16), ("tid:9102 ", 1), ("pid:9050 ", 1)] {
        press(&mut view, &format!("/{filter}⏎"));
        assert_eq!(shown(&view, ListId::Threads).len(), count, "{filter}");
        press(&mut view, "⎋");
    }
    press(&mut view, "/x⌫⌫");
    assert_eq!(press(&mut view, "q"), Some(Ask::Quit), "one more ⌫ than letters leaves the filter");
}

#[test]
fn each_list_has_a_filter_of_its_own() {
    let mut view = view(samples::llama());
    press(&mut view, "4/llama⏎o/munmap⏎");
    assert_eq!(shown(&view, ListId::ProcessMemory).len(), 1);
    assert_eq!(shown(&view, ListId::MemoryCalls), ["munmap "]);
    press(&mut view, "oo⎋");
    assert_eq!(view.lists[ListId::MemoryCalls as usize].filter, "munmap");
    assert_eq!(view.lists[ListId::ProcessMemory as usize].filter, "");
}

#[test]
fn the_cursor_stays_on_its_thread_when_rows_come_and_go() {
    let mut view = view(samples::vllm());
    press(&mut view, "2jjjjj");
    let tid = selected(&view, ListId::Threads).to_owned();
    let mut other = samples::vllm();
    // Threads above it are gone, another is busier now, and one is new.
    other.threads.retain(|thread| thread.tid != Tid(9102));
    let at = other.threads.iter().position(|thread| thread.tid == Tid(9183)).unwrap();
    let mut busy = other.threads[at].clone();
    busy.tid = Tid(9999);
    busy.share.times.on_cpu_ns *= 10;
    other.threads.push(busy);
    view.set_picture(other.clone());
    assert_eq!(selected(&view, ListId::Threads), tid);
    assert!(lines_with(&screen(&mut view, 80, 24), "▸")[0].contains(&tid));
    // Its own end leaves the cursor where it was.
    let place = view.lists[ListId::Threads as usize].at;
    other.threads.retain(|thread| thread.tid.to_string() != tid);
    view.set_picture(other);
    assert_eq!(view.lists[ListId::Threads as usize].at, place);
    assert_ne!(selected(&view, ListId::Threads), tid);
}

#[test]
fn a_list_that_is_longer_than_the_screen_scrolls_with_the_cursor() {
    let mut view = view(samples::vllm());
    press(&mut view, "2G");
    let last = shown(&view, ListId::Threads).last().unwrap().clone();
    assert!(lines_with(&screen(&mut view, 80, 24), "▸")[0].contains(&format!(" {last} ")));
    press(&mut view, "g");
    assert!(lines_with(&screen(&mut view, 80, 24), "▸")[0].contains(" 9102 "));
}

#[test]
fn enter_opens_a_thread_and_esc_leaves_it() {
    let mut view = view(samples::detailed(4711));
    assert_eq!(press(&mut view, "2⏎"), Some(Ask::OpenThread(Some(Tid(4711)))));
    assert!(screen(&mut view, 120, 40).contains("futexes it waited for"));
    // Keys are for its lists now.
    press(&mut view, "/5c0240⏎");
    assert_eq!(shown(&view, ListId::DetailFutexes).len(), 1);
    assert_eq!(press(&mut view, "⎋"), None, "the filter first");
    assert_eq!(press(&mut view, "⎋"), Some(Ask::OpenThread(None)));
    assert!(screen(&mut view, 120, 40).contains("threads 16"));
}

#[test]
fn enter_on_a_process_or_a_role_leads_to_its_threads() {
    let mut view = view(samples::vllm());
    press(&mut view, "jj⏎");
    assert_eq!(view.tab, Tab::Threads);
    assert_eq!(shown(&view, ListId::Threads).len(), 49);
    press(&mut view, "1oj⏎");
    assert!(screen(&mut view, 120, 40).contains("filter: engine_core"));
    assert_eq!(shown(&view, ListId::Threads), ["9102"]);
}

#[test]
fn a_frozen_view_takes_only_pictures_of_its_window() {
    let mut view = view(samples::llama());
    assert_eq!(press(&mut view, "2p"), Some(Ask::Freeze(true)));
    let before = screen(&mut view, 120, 40);
    assert!(before.contains(" FROZEN "));
    let later = |picture: &mut Picture| picture.to = MonoNs(picture.to.0 + 1_000_000);
    let mut newer = samples::vllm();
    later(&mut newer);
    view.set_picture(newer.clone());
    assert_eq!(screen(&mut view, 120, 40), before);
    // The same window, with a thread in depth.
    press(&mut view, "⏎");
    view.set_picture(samples::detailed(4711));
    assert!(screen(&mut view, 120, 40).contains("0x7f3a5c01c0"));
    press(&mut view, "⎋");
    assert_eq!(press(&mut view, "p"), Some(Ask::Freeze(false)));
    view.set_picture(newer);
    assert!(screen(&mut view, 120, 40).contains("threads 71"));
}

#[test]
fn a_recording_is_started_and_ended() {
    let mut view = view(samples::llama());
    assert_eq!(press(&mut view, "r"), Some(Ask::Record(true)));
    view.set_picture(samples::vllm());
    assert!(screen(&mut view, 120, 40).contains("● runs/run_007 45.9 MiB"));
    assert_eq!(press(&mut view, "r"), Some(Ask::Record(false)));
}

#[test]
fn what_is_known_of_a_target_can_be_saved_when_it_has_ended() {
    let mut view = view(samples::llama());
    assert_eq!(press(&mut view, "w"), None);
    view.set_picture(samples::ended());
    assert_eq!(press(&mut view, "w"), Some(Ask::Save));
    assert_eq!(press(&mut view, "r"), None, "nothing more comes");
    press(&mut view, "2⏎");
    assert!(view.thread.is_some(), "the view stays usable");
}

#[test]
fn refresh_and_window_go_in_steps_to_their_ends() {
    let mut view = view(samples::llama());
    assert_eq!(press(&mut view, "+"), Some(Ask::Refresh(Duration::from_millis(100))));
    assert_eq!(press(&mut view, "+"), None);
    assert_eq!(press(&mut view, "-"), Some(Ask::Refresh(Duration::from_millis(200))));
    assert_eq!(press(&mut view, "]"), Some(Ask::Window(Duration::from_secs(10))));
    assert_eq!(press(&mut view, "[["), Some(Ask::Window(Duration::from_secs(2))));
    assert!(screen(&mut view, 120, 40).contains("window 2.00 s"));
    assert_eq!(press(&mut view, "[["), None);
}

#[test]
fn control_keys_leave_or_suspend_whatever_is_open() {
    for open in ["", "?", "/x"] {
        let mut view = view(samples::llama());
        press(&mut view, open);
        let mut control = |key| view.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL));
        assert_eq!(control('z'), Some(Ask::Suspend));
        assert_eq!(control('s'), None);
        assert_eq!(control('c'), Some(Ask::Interrupted));
    }
}

#[test]
fn keys_of_a_replay_move_in_time() {
    let mut view = view(samples::replayed());
    let Mode::Replay(playback) = samples::replayed().mode else { panic!("a replay") };
    assert_eq!(press(&mut view, " "), Some(Ask::Play(true)));
    assert_eq!(press(&mut view, ">"), Some(Ask::Speed(2.0)));
    assert_eq!(press(&mut view, "<"), Some(Ask::Speed(0.5)));
    assert_eq!(press(&mut view, "→"), Some(Ask::SeekBy(2_500_000_000)));
    let fast = view.key(KeyEvent::new(KeyCode::Left, KeyModifiers::SHIFT));
    assert_eq!(fast, Some(Ask::SeekBy(-25_000_000_000)));
    assert_eq!(press(&mut view, "⇱"), Some(Ask::SeekTo(playback.begin)));
    assert_eq!(press(&mut view, "⇲"), Some(Ask::SeekTo(playback.end)));
    for (key, worst, way) in [
        ("n", Worst::Runqueue, Way::Next),
        ("N", Worst::Runqueue, Way::Previous),
        ("b", Worst::Blocking, Way::Next),
        ("B", Worst::Blocking, Way::Previous),
        ("e", Worst::Request, Way::Next),
        ("E", Worst::Request, Way::Previous),
    ] {
        assert_eq!(press(&mut view, key), Some(Ask::Jump(worst, way)), "{key}");
    }
    assert_eq!(press(&mut view, "r"), None, "a recording cannot be recorded");
    assert_eq!(press(&mut view, "t30⏎"), Some(Ask::SeekTo(MonoNs(playback.begin.0 + 30_000_000_000))));
    assert_eq!(press(&mut view, "tx⏎"), None);
    assert_eq!(press(&mut view, "t5⎋q"), Some(Ask::Quit));
}

#[test]
fn keys_of_a_replay_do_nothing_to_a_live_target() {
    let mut view = view(samples::llama());
    for key in [" ", ">", "<", "→", "←", "⇱", "⇲", "n", "b", "e", "t"] {
        assert_eq!(press(&mut view, key), None, "{key}");
    }
    assert!(view.time.is_none());
}

#[test]
fn a_time_is_typed_from_the_begin_or_from_now() {
    const SECOND: u64 = 1_000_000_000;
    let playback = Playback {
        begin: MonoNs(100 * SECOND),
        end: MonoNs(8_000 * SECOND),
        playing: false,
        speed: 1.0,
        unsaved: false,
    };
    let at = |text: &str| {
        instant(text, &playback, MonoNs(200 * SECOND)).map(|instant| instant.0 as f64 / SECOND as f64)
    };
    for (text, expected) in [
        ("83.5", Some(183.5)),
        (" 1:23.5 ", Some(183.5)),
        ("1:02:03", Some(3823.0)),
        ("+5", Some(205.0)),
        ("-5", Some(195.0)),
        ("-1:00", Some(140.0)),
        ("9:00:00", Some(8000.0)),
        ("-500", Some(100.0)),
        ("", None),
        ("+", None),
        ("x", None),
        ("1:x", None),
        ("1::2", None),
        ("inf", None),
        ("1e3", None),
    ] {
        assert_eq!(at(text), expected, "{text}");
    }
    assert_eq!(clock(83_450_000_000), "1:23.450");
    assert_eq!(clock(3_723_000_000_000), "1:02:03.000");
}

#[test]
fn help_swallows_keys_until_it_is_closed() {
    let mut view = view(samples::llama());
    assert_eq!(press(&mut view, "?p2rq"), None);
    assert_eq!(view.tab, Tab::Overview);
    assert!(view.help.is_none(), "q closes it");
    press(&mut view, "?G");
    screen(&mut view, 80, 24);
    let end = view.help.unwrap();
    press(&mut view, "↓↓");
    screen(&mut view, 80, 24);
    assert_eq!(view.help, Some(end), "it ends at its end");
    press(&mut view, "g⎋");
    assert!(view.help.is_none());
}
