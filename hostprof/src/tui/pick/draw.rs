//! Drawing the list.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style, Stylize as _},
    text::{Line, Span},
    widgets::{Cell, Paragraph, Row as TableRow, Table, Wrap},
};

use super::{Picker, Row};
use crate::humane::printable;

/// The least that a row can be read in.
const LEAST_WIDTH: u16 = 40;
const LEAST_HEIGHT: u16 = 6;

/// Width from which the user is shown, beside the command.
const WIDE: u16 = 72;

/// Draws the list into the whole frame.
pub fn draw(frame: &mut Frame<'_>, picker: &mut Picker) {
    let area = frame.area();
    if area.width < LEAST_WIDTH || area.height < LEAST_HEIGHT {
        let text = format!("needs {LEAST_WIDTH} x {LEAST_HEIGHT}: q to leave");
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let [title, list, filter, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(heading(picker), title);
    let shown: Vec<Row> = picker.shown().into_iter().cloned().collect();
    if shown.is_empty() {
        frame.render_widget(Paragraph::new(absence(picker)).wrap(Wrap { trim: true }), list);
    } else {
        table(frame, list, picker, &shown);
    }
    frame.render_widget(filter_line(picker), filter);
    frame.render_widget(key_line(picker), keys);
}

fn heading(picker: &Picker) -> Paragraph<'static> {
    let what = if picker.all { "all programs" } else { "programs that use a GPU, and known engines" };
    Paragraph::new(Line::from(vec!["hostprof".bold(), Span::raw(format!("  pick what to record: {what}"))]))
}

/// Why there is nothing to show.
fn absence(picker: &Picker) -> &'static str {
    match &picker.rows {
        None => "looking …",
        Some(_) if !picker.filter.is_empty() => "nothing matches the filter (Esc clears it)",
        Some(rows) if !picker.all && rows.iter().any(|row| row.gpu.is_none()) => {
            "no known engine runs here, and the files of other users' programs cannot be looked at: run with \
             sudo to see who uses a GPU, or press a for all programs"
        }
        Some(_) if !picker.all => "no program uses a GPU, and no known engine runs: press a for all programs",
        Some(_) => "no program runs here",
    }
}

fn table(frame: &mut Frame<'_>, area: Rect, picker: &mut Picker, shown: &[Row]) {
    let wide = area.width >= WIDE;
    let mut widths =
        vec![Constraint::Length(8), Constraint::Length(12), Constraint::Length(3), Constraint::Length(6)];
    let mut names = vec!["     pid", "engine", "GPU", "  CPU%"];
    if wide {
        widths.push(Constraint::Length(10));
        names.push("user");
    }
    widths.push(Constraint::Fill(1));
    names.push("command");
    let dim = Style::new().add_modifier(Modifier::DIM);
    let header = TableRow::new(names).style(dim);
    let table = Table::new(shown.iter().map(|row| cells(row, wide)), widths)
        .header(header)
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol("▸ ");
    frame.render_stateful_widget(table, area, &mut picker.table);
}

fn cells(row: &Row, wide: bool) -> TableRow<'static> {
    let gpu = match row.gpu {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let cpu = row.cpu_ratio.map_or_else(|| "…".to_owned(), |ratio| format!("{:.0}", ratio * 100.0));
    let mut cells = vec![
        format!("{:>8}", row.pid),
        if row.engine.is_empty() { "-".to_owned() } else { row.engine.clone() },
        gpu.to_owned(),
        format!("{cpu:>6}"),
    ];
    if wide {
        cells.push(printable(&row.user));
    }
    cells.push(printable(&row.command));
    cells.into_iter().map(Cell::from).collect()
}

fn filter_line(picker: &Picker) -> Line<'static> {
    match (picker.typing, picker.filter.is_empty()) {
        (true, _) => Line::from(format!("/{}▏", printable(&picker.filter))),
        (false, false) => Line::from(format!("filter: {}", printable(&picker.filter))),
        (false, true) => Line::default(),
    }
}

fn key_line(picker: &Picker) -> Line<'static> {
    let text = if picker.typing {
        "Enter record  Tab to the list  Esc clear"
    } else if picker.all {
        "↑↓ jk move  Enter record  / filter  a fewer  q quit"
    } else {
        "↑↓ jk move  Enter record  / filter  a all  q quit"
    };
    Line::from(text).dim()
}
