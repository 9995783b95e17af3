//! What tabs have in common: cells, and lines of numbers.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span, Text},
    widgets::{Paragraph, Wrap},
};

use super::super::{
    list::{Cell, SortKey},
    palette::{Group, Palette},
};
use crate::{
    humane::{duration, percent, printable, share},
    ledger::StateTimes,
    live::{Missing, Share},
    table::{State, Word as _},
};

/// What stands where nothing was measured, or where there is nothing to measure.
pub const NONE: &str = "-";

/// A cell of text.
pub fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

/// A foreign name, `-` for none.
pub fn name(name: &str) -> Cell {
    text(if name.is_empty() { NONE.to_owned() } else { printable(name) })
}

/// What may be missing.
pub fn maybe<T>(value: Option<T>, show: impl Fn(T) -> String) -> Cell {
    text(value.map_or_else(|| NONE.to_owned(), show))
}

/// A length of time, of a distribution.
pub fn latency(ns: Option<u64>) -> Cell {
    maybe(ns, duration)
}

/// What a number that may be missing orders by.
pub fn key(number: Option<u64>) -> SortKey {
    SortKey::maybe(number.map(|number| number as f64))
}

/// Text to order by.
pub fn word(text: &str) -> SortKey {
    SortKey::Text(text.to_lowercase())
}

/// A group's part of a time.
pub fn group_share(share_of: &Share, group: Group) -> String {
    share(group.ns(&share_of.times), share_of.wall_ns)
}

/// The same as a number.
pub fn group_ratio(share_of: &Share, group: Group) -> f64 {
    ratio(group.ns(&share_of.times), share_of.wall_ns)
}

/// A part of a whole; 0 of nothing.
pub fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The state that a thread was most in, of those in which it waits for something other than a CPU.
pub fn most_blocked(times: &StateTimes) -> Option<(State, u64)> {
    let blocked = State::ALL.iter().filter(|&&state| Group::of(state) != Group::Runqueue);
    let most = blocked.map(|&state| (state, times.off(state))).max_by_key(|(_, ns)| *ns)?;
    (most.1 > 0).then_some(most)
}

/// A name for a number and the number: `switches 12.3 k/s`.
pub fn pair(label: &str, value: impl Into<String>, palette: Palette) -> Vec<Span<'static>> {
    vec![Span::styled(format!("{label} "), palette.dim()), Span::raw(value.into())]
}

/// Pairs beside one another, the last left out where they do not fit. Each begins where that of the line above
/// begins, `step` apart or a multiple of it.
pub fn pairs(pairs: Vec<Vec<Span<'static>>>, width: u16, step: u16) -> Line<'static> {
    let mut line = Line::default();
    for pair in pairs {
        let needs: usize = pair.iter().map(Span::width).sum();
        let used = line.width();
        let step = usize::from(step);
        let at = if used == 0 { 0 } else { (used + 2).div_ceil(step) * step };
        if at + needs > usize::from(width) {
            break;
        }
        line.push_span(Span::raw(" ".repeat(at - used)));
        pair.into_iter().for_each(|span| line.push_span(span));
    }
    line
}

/// A ratio that may be missing.
pub fn maybe_percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| NONE.to_owned(), percent)
}

/// What is not measured, why, and what brings it.
pub fn missing_lines(missing: &[Missing], palette: Palette) -> Vec<Line<'static>> {
    missing
        .iter()
        .map(|missing| {
            let mut spans = vec![
                Span::styled("not measured  ", palette.title()),
                Span::raw(format!("{}: {}", printable(&missing.what), printable(&missing.why))),
            ];
            if !missing.remedy.is_empty() {
                spans.push(Span::styled("  brought by  ", palette.dim()));
                spans.push(Span::styled(printable(&missing.remedy), palette.title()));
            }
            Line::from(spans)
        })
        .collect()
}

/// Lines, long ones wrapped; how many rows they took.
pub fn paragraph(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>) -> u16 {
    let paragraph = Paragraph::new(Text::from(lines.clone())).wrap(Wrap { trim: true });
    frame.render_widget(paragraph, area);
    rows(&lines, area.width).min(area.height)
}

/// How many rows lines take in a width, at most: words that do not fit move on.
pub fn rows(lines: &[Line<'_>], width: u16) -> u16 {
    let width = usize::from(width.max(1));
    let rows = lines.iter().map(|line| {
        let words: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
        let (mut rows, mut used) = (1, 0);
        for word in words.split(' ') {
            let length = word.chars().count();
            let needs = if used == 0 { length } else { used + 1 + length };
            (rows, used) = if needs > width && used > 0 { (rows + 1, length) } else { (rows, needs) };
        }
        rows as u16
    });
    rows.sum()
}
