//! Drawing a list: a title, a heading, rows. Columns that have no room go, the least important first.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
    text::{Line, Span},
};

use super::{
    bar,
    list::{Cell, Column, Context, ListState, Sheet, Width},
    palette::TITLE,
};
use crate::humane::{fitted, fitted_end, printable};

/// Between columns.
const GAP: u16 = 2;
/// Left of each row: the cursor.
const MARGIN: u16 = 2;

/// How a list is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether keys are for it.
    pub focused: bool,
    /// Whether its filter is being typed.
    pub typing: bool,
    /// Whether its rows are not there yet.
    pub pending: bool,
    /// Lines of a row, at least 1: more make room for states over time.
    pub row_height: u16,
}

/// A column's place on the screen.
struct Place {
    column: usize,
    x: u16,
    width: u16,
}

impl<R: Clone + 'static> Sheet<R> {
    /// Draws the list.
    pub fn draw(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        state: &mut ListState,
        context: &Context<'_>,
        Manner { focused, typing, pending, row_height }: Manner,
    ) {
        if area.height == 0 {
            return;
        }
        let title = self.title_line(state, context, (focused, typing));
        buffer.set_line(area.x, area.y, &title, area.width);
        let body = Rect { y: area.y + 1, height: area.height - 1, ..area };
        if state.shown.is_empty() {
            let why = match state.all {
                0 if pending => "…",
                0 => self.empty,
                _ => "nothing matches the filter (Esc clears it)",
            };
            if body.height > 0 {
                buffer.set_stringn(area.x + MARGIN, body.y, why, body.width.into(), context.palette.dim());
            }
            return;
        }
        if body.height < 2 {
            return;
        }
        let rows = (self.rows)(context.picture);
        let height = usize::from(((body.height - 1) / row_height).max(1));
        let first = state.scroll(height);
        let visible = &state.places[first..state.places.len().min(first + height)];
        // All columns of each row: what a column needs is what its widest cell needs.
        let cells: Vec<Vec<Cell>> = visible
            .iter()
            .map(|&at| self.columns.iter().map(|column| (column.cell)(&rows[at], context)).collect())
            .collect();
        let places = self.places(body.width, &cells);
        state.columns = places.iter().map(|place| place.column).collect();
        self.heading(buffer, body, &places, state, context);
        for (line, cells) in cells.iter().enumerate() {
            let y = body.y + 1 + line as u16 * row_height;
            let area = Rect { y, height: row_height.min(body.bottom() - y), ..body };
            let selected = focused && first + line == state.at;
            draw_row(buffer, area, self.columns, &places, cells, (selected, context));
        }
    }

    fn title_line(
        &self,
        state: &ListState,
        context: &Context<'_>,
        (focused, typing): (bool, bool),
    ) -> Line<'static> {
        let palette = context.palette;
        let count = if state.shown.len() == state.all {
            state.all.to_string()
        } else {
            format!("{} of {}", state.shown.len(), state.all)
        };
        let style = if focused { TITLE } else { TITLE.add_modifier(Modifier::DIM) };
        let mut spans =
            vec![Span::styled(self.title, style), Span::styled(format!(" {count}"), palette.dim())];
        if let Some(order) = state.order.filter(|_| focused) {
            let by = format!("  by {} {}", self.columns[order].title, state.arrow());
            spans.push(Span::styled(by, palette.dim()));
        }
        if typing {
            spans.push(Span::raw(format!("  /{}▏", printable(&state.filter))));
        } else if !state.filter.is_empty() {
            spans.push(Span::raw(format!("  filter: {}", printable(&state.filter))));
        }
        Line::from(spans)
    }

    /// What each column needs, then the least important dropped until they fit, then what is left to those
    /// that grow.
    fn places(&self, width: u16, cells: &[Vec<Cell>]) -> Vec<Place> {
        let needs: Vec<u16> =
            self.columns.iter().enumerate().map(|(at, column)| needed(column, at, cells)).collect();
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let total = |shown: &[usize]| -> u16 {
            MARGIN + shown.iter().map(|&at| needs[at] + GAP).sum::<u16>().saturating_sub(GAP)
        };
        while total(&shown) > width {
            let Some(least) = shown.iter().copied().max_by_key(|&at| self.columns[at].priority) else {
                break;
            };
            if self.columns[least].priority == 0 {
                break;
            }
            shown.retain(|&at| at != least);
        }
        let widths = self.grown(&shown, &needs, width.saturating_sub(total(&shown)));
        let mut x = MARGIN;
        let mut places = Vec::new();
        for (&column, width) in shown.iter().zip(widths) {
            places.push(Place { column, x, width });
            x += width + GAP;
        }
        places
    }

    /// What columns need, and of what is `left` to each that grows the same, up to its most.
    fn grown(&self, shown: &[usize], needs: &[u16], mut left: u16) -> Vec<u16> {
        let mut widths: Vec<u16> = shown.iter().map(|&at| needs[at]).collect();
        loop {
            let before = left;
            for (width, &at) in widths.iter_mut().zip(shown) {
                if let Width::Grow(_, most) | Width::Path(_, most) = self.columns[at].width
                    && *width < most
                    && left > 0
                {
                    *width += 1;
                    left -= 1;
                }
            }
            if left == before {
                return widths;
            }
        }
    }

    fn heading(
        &self,
        buffer: &mut Buffer,
        area: Rect,
        places: &[Place],
        state: &ListState,
        context: &Context<'_>,
    ) {
        for place in places {
            let column = &self.columns[place.column];
            let (mut text, mut style) = (column.title.to_owned(), context.palette.dim());
            if state.order == Some(place.column) {
                text.push(state.arrow());
                style = style.add_modifier(Modifier::BOLD);
            }
            put(buffer, area, place, column.width, &text, style);
        }
    }
}

/// The least a column needs: its heading with the arrow, and for numbers the widest.
fn needed<R>(column: &Column<R>, at: usize, cells: &[Vec<Cell>]) -> u16 {
    let heading = column.title.chars().count() as u16 + 1;
    let widest = || {
        let texts = cells.iter().map(|row| match &row[at] {
            Cell::Text(text) | Cell::Warn(text) => text.chars().count() as u16,
            Cell::Bar(_) | Cell::Timeline(_) | Cell::Spark(..) => 0,
        });
        texts.max().unwrap_or(0)
    };
    match column.width {
        Width::Number(least) => least.max(heading).max(widest()),
        Width::Words(width) => width.max(heading),
        Width::Grow(least, _) | Width::Path(least, _) => least.max(heading),
    }
}

fn draw_row<R>(
    buffer: &mut Buffer,
    area: Rect,
    columns: &[Column<R>],
    places: &[Place],
    cells: &[Cell],
    (selected, context): (bool, &Context<'_>),
) {
    let palette = context.palette;
    let base = if selected { palette.selected() } else { Style::new() };
    if selected {
        buffer.set_style(Rect { height: 1, ..area }, base);
        buffer.set_string(area.x, area.y, "▸", base);
    }
    for place in places {
        let at = Rect { x: area.x + place.x, width: place.width, ..area };
        match &cells[place.column] {
            Cell::Text(text) => put(buffer, area, place, columns[place.column].width, text, base),
            Cell::Warn(text) => {
                put(buffer, area, place, columns[place.column].width, text, base.patch(palette.warn()));
            }
            Cell::Bar(times) => {
                bar::states(buffer, at, times, palette);
                if at.height > 1 {
                    let shares = bar::shares(times, at.width, palette);
                    buffer.set_line(at.x, at.y + 1, &shares, at.width);
                }
            }
            Cell::Timeline(slices) => bar::timeline(buffer, at, slices, palette),
            Cell::Spark(values, greatest) => bar::spark(buffer, at, values, *greatest, palette.spark()),
        }
    }
}

/// Text in its column.
fn put(buffer: &mut Buffer, area: Rect, place: &Place, width: Width, text: &str, style: Style) {
    let room = usize::from(place.width.min(area.width.saturating_sub(place.x)));
    let text = match width {
        Width::Number(_) => format!("{text:>room$}"),
        Width::Words(_) | Width::Grow(..) => fitted(text, room),
        Width::Path(..) => fitted_end(text, room),
    };
    buffer.set_stringn(area.x + place.x, area.y, text, room, style);
}
