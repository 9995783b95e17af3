//! Lists: columns as data, and what of a list is shown, in which order, and where the cursor is.
//!
//! A [`Sheet`] tells how rows of a kind are shown; a [`ListState`] is what keys have made of one.

use std::{borrow::Cow, cmp::Ordering};

use ratatui::{buffer::Buffer, layout::Rect};

use super::{grid::Manner, palette::Palette};
use crate::{
    ledger::StateTimes,
    live::{Picture, Slice},
};

/// What a cell shows.
pub enum Cell {
    /// A number or a word.
    Text(String),
    /// The same, and it wants attention.
    Warn(String),
    /// A bar of states; in a row of several lines its shares below.
    Bar(StateTimes),
    /// States over time, as high as the row.
    Timeline(Vec<Slice>),
    /// A number over time, and the top of its scale.
    Spark(Vec<f64>, f64),
}

/// By what a column orders rows. What is missing comes last, either way.
#[derive(Clone, Debug, PartialEq)]
pub enum SortKey {
    Number(f64),
    Text(String),
    Missing,
}

impl SortKey {
    /// A number that may be missing.
    pub fn maybe(number: Option<f64>) -> Self {
        number.map_or(Self::Missing, Self::Number)
    }

    /// Numbers from the greatest, words from a, unless reversed.
    fn order(&self, other: &Self, reversed: bool) -> Ordering {
        let order = match (self, other) {
            (Self::Missing, Self::Missing) => return Ordering::Equal,
            (Self::Missing, _) => return Ordering::Greater,
            (_, Self::Missing) => return Ordering::Less,
            (Self::Number(a), Self::Number(b)) => b.total_cmp(a),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
        };
        if reversed { order.reverse() } else { order }
    }
}

/// How wide a column is, and where its text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// A number: right-aligned, at least so wide, wider where one needs it. Never cut.
    Number(u16),
    /// Words: left-aligned, so wide, the end cut off.
    Words(u16),
    /// Words or a bar that take what is left: at least, at most.
    Grow(u16, u16),
}

/// What cells are made with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub picture: &'a Picture,
    pub palette: Palette,
    /// The window, in seconds: what counts are divided by.
    pub seconds: f64,
}

/// A column of rows of a kind.
pub struct Column<R> {
    pub title: &'static str,
    pub width: Width,
    /// 0 is always shown; the highest goes first where there is no room.
    pub priority: u8,
    pub cell: fn(&R, &Context<'_>) -> Cell,
    pub key: fn(&R) -> SortKey,
    /// What it is, with its unit.
    pub help: &'static str,
    /// Where it is from.
    pub source: &'static str,
}

/// How rows of a kind are shown.
pub struct Sheet<R: Clone + 'static> {
    /// What its rows are: `threads`.
    pub title: &'static str,
    pub columns: &'static [Column<R>],
    /// The column it is ordered by at first; `None` for the order that rows come in.
    pub order: Option<usize>,
    /// What tells a row from others, for as long as it is.
    pub id: fn(&R) -> String,
    /// What a filter looks at.
    pub text: fn(&R) -> String,
    pub rows: fn(&Picture) -> Cow<'_, [R]>,
    /// Said where there is no row.
    pub empty: &'static str,
}

/// What keys have made of a list.
#[derive(Clone, Debug, Default)]
pub struct ListState {
    /// `None` for the order rows come in.
    pub order: Option<usize>,
    pub reversed: bool,
    pub filter: String,
    /// The row under the cursor, which stays there when rows come and go.
    pub selected: Option<String>,
    /// The place of that row.
    pub at: usize,
    /// The first row on the screen.
    pub offset: usize,
    /// Rows that are shown, by [`Sheet::id`], in order.
    pub shown: Vec<String>,
    /// Their places in the picture's.
    pub places: Vec<usize>,
    /// All rows, shown or not.
    pub all: usize,
    /// Whether the column it is ordered by holds numbers.
    pub numeric: bool,
    /// Columns there was room for when it was drawn last.
    pub columns: Vec<usize>,
}

impl ListState {
    /// Moves the cursor.
    pub fn move_by(&mut self, steps: isize) {
        let last = self.shown.len().saturating_sub(1);
        self.select(self.at.saturating_add_signed(steps).min(last));
    }

    fn select(&mut self, at: usize) {
        self.at = at;
        self.selected = self.shown.get(at).cloned();
    }

    /// Keeps the cursor on its row; on its place where that is gone.
    fn keep_selection(&mut self) {
        let place = self.at.min(self.shown.len().saturating_sub(1));
        let same = self.shown.iter().position(|id| Some(id) == self.selected.as_ref());
        self.select(same.unwrap_or(place));
    }

    /// Which way it is ordered: numbers from the greatest at first, words from a.
    pub fn arrow(&self) -> char {
        if self.numeric == self.reversed { '▲' } else { '▼' }
    }

    /// The first row to draw, so that the cursor is among `height` rows.
    pub fn scroll(&mut self, height: usize) -> usize {
        let last = self.shown.len().saturating_sub(height);
        self.offset = self.offset.min(self.at).max((self.at + 1).saturating_sub(height)).min(last);
        self.offset
    }
}

impl<R: Clone + 'static> Sheet<R> {
    /// Decides what is shown.
    pub fn arrange(&self, picture: &Picture, state: &mut ListState) {
        let rows = (self.rows)(picture);
        state.all = rows.len();
        let filter = state.filter.to_lowercase();
        let mut places: Vec<usize> = (0..rows.len())
            .filter(|&at| filter.is_empty() || (self.text)(&rows[at]).to_lowercase().contains(&filter))
            .collect();
        if let Some(column) = state.order.and_then(|order| self.columns.get(order)) {
            let keys: Vec<SortKey> = rows.iter().map(column.key).collect();
            state.numeric = keys.iter().any(|key| matches!(key, SortKey::Number(_)));
            // Stable, so that equal rows stay where they were.
            places.sort_by(|&a, &b| keys[a].order(&keys[b], state.reversed));
        } else if state.reversed {
            places.reverse();
        }
        state.shown = places.iter().map(|&at| (self.id)(&rows[at])).collect();
        state.places = places;
        state.keep_selection();
    }

    /// Orders by the next column on the screen; after the last, as rows come where that was the first order.
    pub fn order_by_next(&self, state: &mut ListState) {
        let all = || (0..self.columns.len()).collect();
        let columns: Vec<usize> = if state.columns.is_empty() { all() } else { state.columns.clone() };
        let next = match state.order {
            None => columns.first().copied(),
            Some(order) => columns.iter().copied().find(|&column| column > order),
        };
        state.order = match (next, self.order) {
            (None, Some(_)) => columns.first().copied(),
            (next, _) => next,
        };
        state.reversed = false;
    }
}

/// A list, whatever its rows.
pub trait List: Sync {
    /// One that no key has touched.
    fn state(&self) -> ListState;
    /// As [`Sheet::arrange`].
    fn arrange(&self, picture: &Picture, state: &mut ListState);
    /// As [`Sheet::order_by_next`].
    fn order_by_next(&self, state: &mut ListState);
    /// Draws it.
    fn draw(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        state: &mut ListState,
        context: &Context<'_>,
        manner: Manner,
    );
    /// What its rows are.
    fn title(&self) -> &'static str;
    /// Each column's title, what it is, and where it is from.
    fn metrics(&self) -> Vec<Metric>;
}

/// Something that is shown, explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub help: &'static str,
    pub source: &'static str,
}

impl<R: Clone + 'static> List for Sheet<R> {
    fn state(&self) -> ListState {
        ListState { order: self.order, ..ListState::default() }
    }

    fn arrange(&self, picture: &Picture, state: &mut ListState) {
        self.arrange(picture, state);
    }

    fn order_by_next(&self, state: &mut ListState) {
        self.order_by_next(state);
    }

    fn draw(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        state: &mut ListState,
        context: &Context<'_>,
        manner: Manner,
    ) {
        self.draw(buffer, area, state, context, manner);
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn metrics(&self) -> Vec<Metric> {
        let metric =
            |column: &Column<R>| Metric { name: column.title, help: column.help, source: column.source };
        self.columns.iter().map(metric).collect()
    }
}
