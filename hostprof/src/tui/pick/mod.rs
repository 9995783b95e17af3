//! Picking a process: a list with a filter. Knows rows and keys; where rows come from and what becomes of
//! the choice is for others.

mod draw;
#[cfg(test)]
mod tests;

use ratatui::{
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    widgets::TableState,
};

pub use self::draw::draw;

/// A process, as it is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Its id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// The engine it belongs to; empty for none.
    pub engine: String,
    /// The user it runs as.
    pub user: String,
    /// Whether it has a GPU open; `None` where that is not known.
    pub gpu: Option<bool>,
    /// 1 for one CPU in full; `None` where that is not known yet.
    pub cpu_ratio: Option<f64>,
}

impl Row {
    fn is_likely(&self) -> bool {
        self.gpu == Some(true) || !self.engine.is_empty()
    }

    fn matches(&self, filter: &str) -> bool {
        let texts = [&self.command, &self.engine, &self.user];
        texts.iter().any(|text| text.to_lowercase().contains(filter)) || self.pid.to_string().contains(filter)
    }
}

/// What a key led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on.
    Open,
    /// This process.
    Picked(u32),
    /// None.
    Left,
    /// None: Ctrl-C.
    Interrupted,
}

/// The list and what is chosen in it.
#[derive(Debug, Default)]
pub struct Picker {
    /// `None` until the first scan.
    rows: Option<Vec<Row>>,
    table: TableState,
    /// The process under the cursor, which stays there when rows come and go.
    selected: Option<u32>,
    filter: String,
    typing: bool,
    all: bool,
}

impl Picker {
    /// Takes a newer list, in the order it is to be shown.
    pub fn set_rows(&mut self, rows: Vec<Row>) {
        self.rows = Some(rows);
        self.keep_selection();
    }

    /// The rows that are shown.
    fn shown(&self) -> Vec<&Row> {
        let filter = self.filter.to_lowercase();
        let rows = self.rows.iter().flatten();
        rows.filter(|row| self.all || row.is_likely()).filter(|row| row.matches(&filter)).collect()
    }

    /// What a key does.
    pub fn key(&mut self, key: KeyEvent) -> Outcome {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return if key.code == KeyCode::Char('c') { Outcome::Interrupted } else { Outcome::Open };
        }
        match key.code {
            KeyCode::Enter => return self.selected.map_or(Outcome::Open, Outcome::Picked),
            KeyCode::Up => self.move_by(-1),
            KeyCode::Down => self.move_by(1),
            KeyCode::PageUp => self.move_by(-10),
            KeyCode::PageDown => self.move_by(10),
            code if self.typing => self.edit(code),
            KeyCode::Char('k') => self.move_by(-1),
            KeyCode::Char('j') => self.move_by(1),
            KeyCode::Home | KeyCode::Char('g') => self.move_by(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.move_by(isize::MAX),
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('a') => {
                self.all = !self.all;
                self.keep_selection();
            }
            KeyCode::Esc if !self.filter.is_empty() => {
                self.filter.clear();
                self.keep_selection();
            }
            KeyCode::Char('q') | KeyCode::Esc => return Outcome::Left,
            _ => {}
        }
        Outcome::Open
    }

    /// A key while the filter is typed; Enter has chosen before.
    fn edit(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char(c) => self.filter.push(c),
            // One more than there are letters leaves the filter.
            KeyCode::Backspace => self.typing = self.filter.pop().is_some(),
            KeyCode::Esc => {
                self.filter.clear();
                self.typing = false;
            }
            KeyCode::Tab => self.typing = false,
            _ => {}
        }
        self.keep_selection();
    }

    fn move_by(&mut self, steps: isize) {
        let last = self.shown().len().saturating_sub(1);
        let at = self.table.selected().unwrap_or(0);
        let to = at.saturating_add_signed(steps).min(last);
        self.select(to);
    }

    fn select(&mut self, at: usize) {
        self.selected = self.shown().get(at).map(|row| row.pid);
        self.table.select(self.selected.map(|_| at));
    }

    /// Keeps the cursor on its process; on its place where that is gone.
    fn keep_selection(&mut self) {
        let shown = self.shown();
        let place = self.table.selected().unwrap_or(0).min(shown.len().saturating_sub(1));
        let at = shown.iter().position(|row| Some(row.pid) == self.selected).unwrap_or(place);
        self.select(at);
    }
}
