//! Watching a target live, or its recording: what keys have made of the view, and its drawing.
//!
//! Shows a [`Picture`], which others fill, and answers keys with what is [asked](Ask) of them. Knows no process, no
//! file and no clock.

mod bar;
mod detail;
mod draw;
mod grid;
mod help;
mod keys;
mod list;
mod palette;
mod tabs;
#[cfg(test)]
mod tests;
mod time_bar;

use std::time::Duration;

pub use self::{draw::draw, palette::Colours};
use self::{
    list::{Context, ListState},
    palette::Palette,
    tabs::{ListId, Tab},
};
use crate::{
    live::{Mode, Parts, Picture, Playback, Window},
    units::{MonoNs, Tid},
};

/// What a key asks of whoever makes the pictures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ask {
    /// Leave.
    Quit,
    /// Leave: Ctrl-C.
    Interrupted,
    /// Stop, as a shell's Ctrl-Z does: a raw terminal makes no signal of it.
    Suspend,
    /// Pictures this far apart.
    Refresh(Duration),
    /// Pictures of a window this long.
    Window(Duration),
    /// Pictures of the window that is shown and no other, or of the newest again.
    Freeze(bool),
    /// Pictures with this thread in depth, or with none.
    OpenThread(Option<Tid>),
    /// Start a recording, or end it.
    Record(bool),
    /// Keep what is known of a target that has ended.
    Save,
    /// Of a replay: let time go on, or halt it.
    Play(bool),
    /// Seconds of the recording in one.
    Speed(f64),
    /// This much on, or back, nanoseconds.
    SeekBy(i64),
    /// To this instant.
    SeekTo(MonoNs),
    /// To the worst episodes, one after another.
    Jump(Worst, Way),
}

/// What a replay can jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worst {
    /// The longest waits for a CPU.
    Runqueue,
    /// The longest blocked episodes.
    Blocking,
    /// The slowest requests.
    Request,
}

/// Which of the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The next: less bad.
    Next,
    /// The one before: worse.
    Previous,
}

/// What a view begins with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub colours: Colours,
    /// Between pictures.
    pub refresh: Duration,
    /// The length of a window.
    pub window: Duration,
}

/// The view: what is shown of which picture.
#[derive(Debug)]
pub struct View {
    palette: Palette,
    refresh: Duration,
    window: Duration,
    tab: Tab,
    /// By [`ListId`].
    lists: Vec<ListState>,
    /// Which list of a tab keys are for, by [`Tab`]; the last is an open thread's.
    focus: [usize; Tab::ALL.len() + 1],
    /// Whether keys go to the filter of that list.
    typing: bool,
    /// The first line of the help that is shown.
    help: Option<u16>,
    /// The thread that is open.
    thread: Option<Tid>,
    /// The time that is being typed.
    time: Option<String>,
    frozen: bool,
    /// `None` until the first.
    picture: Option<Picture>,
}

impl View {
    /// A view that has nothing to show yet.
    pub fn new(options: Options) -> Self {
        Self {
            palette: Palette(options.colours),
            refresh: options.refresh,
            window: options.window,
            tab: Tab::Overview,
            lists: ListId::ALL.iter().map(|id| id.list().state()).collect(),
            // The tree, below the roles.
            focus: [1, 0, 0, 0, 0, 0, 0, 0],
            typing: false,
            help: None,
            thread: None,
            time: None,
            frozen: false,
            picture: None,
        }
    }

    /// Takes a newer picture. A frozen view takes none but of the window that it shows.
    pub fn set_picture(&mut self, mut picture: Picture) {
        let same = |shown: &Picture| (shown.from, shown.to) == (picture.from, picture.to);
        if self.frozen && !self.picture.as_ref().is_some_and(same) {
            return;
        }
        if let Some(older) = self.picture.take() {
            picture.keep_of(older);
        }
        self.picture = Some(picture);
        self.arrange();
    }

    /// Whether there has been one.
    pub fn has_picture(&self) -> bool {
        self.picture.is_some()
    }

    /// The parts of a picture that are on the screen.
    pub fn parts(&self) -> Parts {
        Parts {
            threads: self.tab == Tab::Threads,
            lengths: false,
            calls: self.tab == Tab::Calls,
            memory: self.tab == Tab::Memory,
        }
    }

    /// The window that is frozen, where its picture lacks something that is on the screen.
    pub fn lacking(&self) -> Option<Window> {
        let picture = self.picture.as_ref().filter(|_| self.frozen)?;
        let detail =
            self.thread.is_none_or(|tid| picture.detail.as_ref().is_some_and(|detail| detail.tid == tid));
        let whole = picture.parts.has(self.parts()) && (detail || !self.is_thread_open());
        (!whole).then_some(Window { from: picture.from.0, to: picture.to.0 })
    }

    /// The lists of what is open.
    fn page(&self) -> &'static [ListId] {
        if self.is_thread_open() { ListId::DETAIL } else { self.tab.lists() }
    }

    fn is_thread_open(&self) -> bool {
        self.tab == Tab::Threads && self.thread.is_some()
    }

    /// The place of the page in `focus`.
    fn page_at(&self) -> usize {
        if self.is_thread_open() { Tab::ALL.len() } else { self.tab as usize }
    }

    /// The list that keys are for.
    fn focused(&self) -> ListId {
        self.page()[self.focus[self.page_at()]]
    }

    fn list(&mut self) -> &mut ListState {
        let id = self.focused();
        &mut self.lists[id as usize]
    }

    /// Decides anew what the lists on the screen show.
    fn arrange(&mut self) {
        let Some(picture) = &self.picture else { return };
        for id in self.page() {
            id.list().arrange(picture, &mut self.lists[*id as usize]);
        }
    }

    fn playback(&self) -> Option<&Playback> {
        match &self.picture.as_ref()?.mode {
            Mode::Replay(playback) => Some(playback),
            Mode::Live => None,
        }
    }

    fn is_recording(&self) -> bool {
        self.picture
            .as_ref()
            .is_some_and(|picture| picture.health.recorder.as_ref().is_some_and(|recorder| recorder.kept))
    }

    fn has_ended(&self) -> bool {
        self.picture.as_ref().is_some_and(|picture| picture.target.end.is_some())
    }
}

fn context(picture: &Picture, palette: Palette) -> Context<'_> {
    let seconds = picture.to.0.saturating_sub(picture.from.0) as f64 / 1e9;
    Context { picture, palette, seconds }
}
