//! The view by keys and as drawn.

mod keys;
mod looks;
mod samples;

use std::time::Duration;

use super::{Ask, Colours, Options, View, draw};
use crate::{live::Picture, tui::testing};

fn new_view(colours: Colours) -> View {
    View::new(Options { colours, refresh: Duration::from_millis(200), window: Duration::from_secs(5) })
}

fn view_of(picture: Picture, colours: Colours) -> View {
    let mut view = new_view(colours);
    view.set_picture(picture);
    view
}

fn view(picture: Picture) -> View {
    view_of(picture, Colours::Full)
}

/// Presses keys one after another; answers what the last asked.
fn press(view: &mut View, keys: &str) -> Option<Ask> {
    let mut ask = None;
    for key in keys.chars() {
        ask = view.key(testing::key(key));
    }
    ask
}

fn screen(view: &mut View, width: u16, height: u16) -> String {
    testing::screen(width, height, |frame| draw(frame, view))
}

/// The lines of a screen that hold a text.
fn lines_with<'a>(screen: &'a str, text: &str) -> Vec<&'a str> {
    screen.lines().filter(|line| line.contains(text)).collect()
}
