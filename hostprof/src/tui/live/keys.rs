//! What keys do.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    Ask, View, Way, Worst,
    tabs::{ListId, Tab},
    time_bar,
};
use crate::units::{MonoNs, Tid};

const REFRESHES_MS: [u64; 6] = [100, 200, 500, 1_000, 2_000, 5_000];
const WINDOWS_MS: [u64; 6] = [1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
const SPEEDS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

impl View {
    /// What a key does: to the view, and for whoever makes the pictures.
    pub fn key(&mut self, key: KeyEvent) -> Option<Ask> {
        let ask = self.act(key);
        self.arrange();
        ask
    }

    fn act(&mut self, key: KeyEvent) -> Option<Ask> {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Some(Ask::Interrupted),
                KeyCode::Char('z') => Some(Ask::Suspend),
                _ => None,
            };
        }
        if self.help.is_some() {
            self.key_of_help(key.code);
            return None;
        }
        if self.time.is_some() {
            return self.key_of_time(key.code);
        }
        if self.typing && self.edit_filter(key.code) {
            return None;
        }
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => self.list().move_by(-1),
            KeyCode::Down | KeyCode::Char('j') => self.list().move_by(1),
            KeyCode::PageUp => self.list().move_by(-10),
            KeyCode::PageDown => self.list().move_by(10),
            KeyCode::Char('g') => self.list().move_by(isize::MIN),
            KeyCode::Char('G') => self.list().move_by(isize::MAX),
            KeyCode::Char(digit @ '1'..='7') => self.go(Tab::ALL[digit as usize - '1' as usize]),
            KeyCode::Tab => self.go(self.tab.next(1)),
            KeyCode::BackTab => self.go(self.tab.next(Tab::ALL.len() - 1)),
            KeyCode::Char('o') => {
                let (page, lists) = (self.page_at(), self.page().len());
                let focus = &mut self.focus[page];
                *focus = (*focus + 1) % lists;
            }
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') => {
                let id = self.focused();
                id.list().order_by_next(self.list());
            }
            KeyCode::Char('S') => self.list().reversed ^= true,
            KeyCode::Char('?') => self.help = Some(0),
            KeyCode::Enter => return self.open(),
            KeyCode::Esc if !self.list().filter.is_empty() => self.list().filter.clear(),
            KeyCode::Esc if self.is_thread_open() => {
                self.thread = None;
                return Some(Ask::OpenThread(None));
            }
            KeyCode::Char('q') => return Some(Ask::Quit),
            KeyCode::Char('[') => return self.new_window(-1),
            KeyCode::Char(']') => return self.new_window(1),
            KeyCode::Char('+' | '=') => return self.new_refresh(-1),
            KeyCode::Char('-') => return self.new_refresh(1),
            code => return if self.playback().is_some() { self.replay(key) } else { self.live(code) },
        }
        None
    }

    fn go(&mut self, tab: Tab) {
        self.tab = tab;
        self.typing = false;
    }

    /// Enter: into the thread, or to the threads of the process.
    fn open(&mut self) -> Option<Ask> {
        let id = self.focused();
        let selected = self.list().selected.clone()?;
        match id {
            ListId::Threads => {
                let tid = Tid(selected.parse().ok()?);
                self.thread = Some(tid);
                Some(Ask::OpenThread(Some(tid)))
            }
            ListId::Roles | ListId::Processes => {
                let threads = &mut self.lists[ListId::Threads as usize];
                threads.filter = selected;
                self.go(Tab::Threads);
                self.thread.take().map(|_| Ask::OpenThread(None))
            }
            _ => None,
        }
    }

    /// Keys of a target that is watched.
    fn live(&mut self, code: KeyCode) -> Option<Ask> {
        match code {
            KeyCode::Char('p') => {
                self.frozen = !self.frozen;
                Some(Ask::Freeze(self.frozen))
            }
            KeyCode::Char('w') if self.has_ended() => Some(Ask::Save),
            KeyCode::Char('r') if !self.has_ended() => Some(Ask::Record(!self.is_recording())),
            KeyCode::Home => {
                self.list().move_by(isize::MIN);
                None
            }
            KeyCode::End => {
                self.list().move_by(isize::MAX);
                None
            }
            _ => None,
        }
    }

    /// Keys of a replay.
    fn replay(&mut self, key: KeyEvent) -> Option<Ask> {
        let playback = self.playback()?;
        let times = if key.modifiers.contains(KeyModifiers::SHIFT) { 10 } else { 1 };
        // Half a window: what has just been seen stays in sight.
        let step = times * (self.window.as_nanos() as i64 / 2);
        Some(match key.code {
            KeyCode::Char(' ' | 'p') => Ask::Play(!playback.playing),
            KeyCode::Char('<' | ',') => Ask::Speed(step_of(&SPEEDS, playback.speed, -1)),
            KeyCode::Char('>' | '.') => Ask::Speed(step_of(&SPEEDS, playback.speed, 1)),
            KeyCode::Left => Ask::SeekBy(-step),
            KeyCode::Right => Ask::SeekBy(step),
            KeyCode::Char('w') if playback.unsaved => Ask::Save,
            KeyCode::Home => Ask::SeekTo(playback.begin),
            KeyCode::End => Ask::SeekTo(playback.end),
            KeyCode::Char('n') => Ask::Jump(Worst::Runqueue, Way::Next),
            KeyCode::Char('N') => Ask::Jump(Worst::Runqueue, Way::Previous),
            KeyCode::Char('b') => Ask::Jump(Worst::Blocking, Way::Next),
            KeyCode::Char('B') => Ask::Jump(Worst::Blocking, Way::Previous),
            KeyCode::Char('e') => Ask::Jump(Worst::Request, Way::Next),
            KeyCode::Char('E') => Ask::Jump(Worst::Request, Way::Previous),
            KeyCode::Char('t') => {
                self.time = Some(String::new());
                return None;
            }
            _ => return None,
        })
    }

    fn key_of_help(&mut self, code: KeyCode) {
        let Some(line) = self.help else { return };
        // How far down there is text is known where it is drawn.
        self.help = match code {
            KeyCode::Up | KeyCode::Char('k') => Some(line.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => Some(line.saturating_add(1)),
            KeyCode::PageUp => Some(line.saturating_sub(10)),
            KeyCode::PageDown | KeyCode::Char(' ') => Some(line.saturating_add(10)),
            KeyCode::Home | KeyCode::Char('g') => Some(0),
            KeyCode::End | KeyCode::Char('G') => Some(u16::MAX),
            KeyCode::Char('?' | 'q') | KeyCode::Esc => None,
            _ => Some(line),
        };
    }

    fn key_of_time(&mut self, code: KeyCode) -> Option<Ask> {
        let text = self.time.as_mut()?;
        match code {
            KeyCode::Char(c) => text.push(c),
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Esc => self.time = None,
            KeyCode::Enter => {
                let text = self.time.take()?;
                let now = self.picture.as_ref()?.to;
                let to: MonoNs = time_bar::instant(&text, self.playback()?, now)?;
                return Some(Ask::SeekTo(to));
            }
            _ => {}
        }
        None
    }

    /// A key while the filter is typed; whether it was for the filter.
    fn edit_filter(&mut self, code: KeyCode) -> bool {
        let filter = &mut self.list().filter;
        match code {
            KeyCode::Char(c) => filter.push(c),
            // One more than there are letters leaves the filter.
            KeyCode::Backspace => self.typing = filter.pop().is_some(),
            KeyCode::Esc => {
                filter.clear();
                self.typing = false;
            }
            KeyCode::Enter | KeyCode::Tab => self.typing = false,
            _ => return false,
        }
        true
    }

    fn new_refresh(&mut self, steps: isize) -> Option<Ask> {
        let next = next_of(&REFRESHES_MS, self.refresh, steps);
        (next != self.refresh).then(|| {
            self.refresh = next;
            Ask::Refresh(next)
        })
    }

    fn new_window(&mut self, steps: isize) -> Option<Ask> {
        let next = next_of(&WINDOWS_MS, self.window, steps);
        (next != self.window).then(|| {
            self.window = next;
            Ask::Window(next)
        })
    }
}

/// The next of some lengths of time, which need not be one of them.
fn next_of(lengths_ms: &[u64], now: Duration, steps: isize) -> Duration {
    let lengths: Vec<f64> = lengths_ms.iter().map(|&ms| ms as f64).collect();
    Duration::from_millis(step_of(&lengths, now.as_millis() as f64, steps) as u64)
}

/// The nearest greater, or smaller, of some numbers; at the end of them, the last.
fn step_of(numbers: &[f64], now: f64, steps: isize) -> f64 {
    let next = if steps > 0 {
        numbers.iter().find(|&&number| number > now)
    } else {
        numbers.iter().rev().find(|&&number| number < now)
    };
    next.copied().unwrap_or(now)
}
