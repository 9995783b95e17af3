//! The loop of a view: keys in, pictures on the screen; whatever makes the pictures, a target or its recording.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, TryRecvError},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::live::ViewArgs;
use crate::{
    collector::{Viewer, Wish},
    live::{BIN_NS, Mode, Picture, Replay, Worst},
    tui::{
        Screen, Turn,
        live::{Ask, Colours, Options, View, Way, Worst as Jump, draw},
    },
    units::{MonoNs, Tid},
};

/// How soon a picture is fetched that was asked for: it is made when all that came before is folded.
const FETCH: Duration = Duration::from_millis(50);

/// How soon a first picture is asked for again, or fetched.
const FIRST: Duration = Duration::from_millis(10);

/// The longest that nothing is looked at.
const IDLE: Duration = Duration::from_millis(250);

/// How a view was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// By the user.
    Quit,
    /// By Ctrl-C, or a signal: its number.
    Signal(i32),
}

impl Left {
    /// The status a shell tells.
    pub fn status(self) -> ExitCode {
        match self {
            Self::Quit => ExitCode::SUCCESS,
            Self::Signal(signal) => ExitCode::from(128 + signal as u8),
        }
    }
}

/// Where pictures come from.
pub enum Source {
    /// A target, until it ends; then its recording.
    Live(Box<Live>),
    /// A recording.
    Replay(Box<Player>),
}

/// A target that is watched.
pub struct Live {
    pub viewer: Viewer,
    /// Whether the recording is to be kept.
    pub kept: Arc<AtomicBool>,
    /// The run folder, when it is complete.
    pub finished: Receiver<PathBuf>,
}

/// A recording at one of its instants.
pub struct Player {
    replay: Replay,
    at: MonoNs,
    playing: bool,
    speed: f64,
    ticked: Instant,
    /// Of a target that was watched: whether its recording is to be kept.
    kept: Option<Arc<AtomicBool>>,
}

impl Player {
    /// A recording from an instant on.
    pub fn new(replay: Replay, at: MonoNs, speed: f64) -> Self {
        Self { replay, at, playing: false, speed, ticked: Instant::now(), kept: None }
    }

    /// Lets time go on.
    fn tick(&mut self) {
        let passed = self.ticked.elapsed().as_nanos() as f64 * self.speed;
        self.ticked = Instant::now();
        if self.playing {
            self.seek(MonoNs(self.at.0 + passed as u64));
        }
    }

    fn seek(&mut self, at: MonoNs) {
        let (begin, end) = self.replay.span();
        self.at = at.clamp(begin, end);
        if self.at == end {
            self.playing = false;
        }
    }

    /// What its picture depends on.
    fn state(&self) -> (MonoNs, bool, f64, bool) {
        let kept = self.kept.as_ref().is_some_and(|kept| kept.load(Ordering::Relaxed));
        (self.at, self.playing, self.speed, kept)
    }

    fn picture(&mut self, window: Duration, detail: Option<Tid>) -> Result<Picture> {
        let playback = (self.playing, self.speed);
        let mut picture = self.replay.picture(self.at, window.as_nanos() as u64, detail, playback)?;
        if self.kept.as_ref().is_some_and(|kept| !kept.load(Ordering::Relaxed)) {
            picture.health.recorder.iter_mut().for_each(|recorder| recorder.kept = false);
            if let Mode::Replay(playback) = &mut picture.mode {
                playback.unsaved = true;
            }
        }
        Ok(picture)
    }

    fn act(&mut self, ask: Ask) {
        self.tick();
        match ask {
            Ask::Play(playing) => self.playing = playing,
            Ask::Speed(speed) => self.speed = speed,
            Ask::SeekBy(ns) => self.seek(MonoNs(self.at.0.saturating_add_signed(ns))),
            Ask::SeekTo(at) => self.seek(at),
            Ask::Jump(jump, way) => {
                let worst = match jump {
                    Jump::Runqueue => Worst::Runqueue,
                    Jump::Blocking => Worst::Blocked,
                    Jump::Request => Worst::Request,
                };
                if let Some((at, _)) = self.replay.jump(worst, way == Way::Next) {
                    self.playing = false;
                    self.seek(at);
                }
            }
            Ask::Record(true) | Ask::Save => {
                self.kept.iter().for_each(|kept| kept.store(true, Ordering::Relaxed));
            }
            _ => {}
        }
    }
}

/// A view and its terminal.
pub struct Looking {
    screen: Screen,
    view: View,
    window: Duration,
    refresh: Duration,
    detail: Option<Tid>,
    frozen: bool,
}

impl Looking {
    /// Takes the terminal, and says that pictures will come. Must be called while there is one thread.
    ///
    /// # Errors
    ///
    /// There is no terminal.
    pub fn begin(args: &ViewArgs) -> Result<Self> {
        let screen = Screen::enter().context("use the terminal")?;
        let of = |name: &str| std::env::var(name).ok();
        let colours =
            Colours::of(of("NO_COLOR").as_deref(), of("TERM").as_deref(), of("COLORTERM").as_deref());
        let view = View::new(Options { colours, refresh: args.refresh, window: args.window });
        let (window, refresh) = (args.window, args.refresh);
        let mut looking = Self { screen, view, window, refresh, detail: None, frozen: false };
        looking.draw();
        Ok(looking)
    }

    /// Shows pictures until the view is left.
    ///
    /// # Errors
    ///
    /// The terminal or the recording fails.
    pub fn run(mut self, mut source: Source) -> Result<Left> {
        let (mut next, mut asked, mut stale) = (Instant::now(), false, true);
        let (mut parts, mut shown) = (self.view.parts(), None);
        loop {
            if stale {
                self.draw();
                stale = false;
            }
            let wait = match asked {
                true if self.view.has_picture() => FETCH,
                true => FIRST,
                false => next.saturating_duration_since(Instant::now()).min(IDLE),
            };
            match self.screen.turn(wait).context("use the terminal")? {
                Turn::Key(key) => {
                    stale = true;
                    if let Some(ask) = self.view.key(key) {
                        match ask {
                            Ask::Quit => return Ok(Left::Quit),
                            Ask::Interrupted => return Ok(Left::Signal(libc::SIGINT)),
                            ask => self.act(ask, &mut source)?,
                        }
                        // What a key asks for is shown at once.
                        next = Instant::now();
                    }
                    if std::mem::replace(&mut parts, self.view.parts()) != parts {
                        next = Instant::now();
                    }
                }
                Turn::Signal(signal) => return Ok(Left::Signal(signal)),
                Turn::Resized => stale = true,
                Turn::Timeout => {}
            }
            if let Source::Live(live) = &mut source {
                if asked && let Some(picture) = live.viewer.picture(Duration::ZERO, live.is_kept()) {
                    self.view.set_picture(picture);
                    (asked, stale) = (false, true);
                }
                if let Some(player) = live.finished()? {
                    source = Source::Replay(Box::new(player));
                    (asked, next) = (false, Instant::now());
                }
            }
            if Instant::now() < next {
                continue;
            }
            // One that is late is not made up for.
            next = Instant::now() + self.refresh;
            match &mut source {
                Source::Live(live) => {
                    let window = self.view.lacking();
                    if !self.frozen || window.is_some() {
                        let wish = Wish { length: self.window, window, detail: self.detail, parts };
                        asked |= live.viewer.ask(&wish)?;
                    }
                    if !asked && !self.view.has_picture() {
                        next = Instant::now() + FIRST;
                    }
                }
                Source::Replay(player) => {
                    player.tick();
                    // A recording that stands still has nothing new to show.
                    let wanted = Some((player.state(), self.window, self.detail));
                    if std::mem::replace(&mut shown, wanted) != wanted {
                        self.view.set_picture(player.picture(self.window, self.detail)?);
                        stale = true;
                    }
                }
            }
        }
    }

    fn act(&mut self, ask: Ask, source: &mut Source) -> Result<()> {
        match ask {
            Ask::Suspend => self.screen.suspend().context("use the terminal")?,
            Ask::Refresh(refresh) => self.refresh = refresh,
            Ask::Window(window) => self.window = window,
            Ask::Freeze(frozen) => self.frozen = frozen,
            Ask::OpenThread(tid) => self.detail = tid,
            ask => match source {
                Source::Replay(player) => player.act(ask),
                Source::Live(live) => match ask {
                    Ask::Record(true) | Ask::Save => live.kept.store(true, Ordering::Relaxed),
                    // The view goes on with what was recorded.
                    Ask::Record(false) => live.viewer.stop(),
                    _ => {}
                },
            },
        }
        Ok(())
    }

    fn draw(&mut self) {
        let view = &mut self.view;
        // Of a terminal that is gone the next turn tells.
        let _ = self.screen.draw(|frame| draw(frame, view));
    }
}

impl Live {
    fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// The recording, when it is complete: a view of a target that has ended goes on with it.
    fn finished(&self) -> Result<Option<Player>> {
        match self.finished.try_recv() {
            Ok(run) => {
                let replay = Replay::open(&run)?;
                let (_, end) = replay.span();
                let mut player = Player::new(replay, MonoNs(end.0.div_ceil(BIN_NS) * BIN_NS), 1.0);
                player.kept = Some(Arc::clone(&self.kept));
                Ok(Some(player))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => anyhow::bail!("watch the target: the recording failed"),
        }
    }
}
