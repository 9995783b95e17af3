//! Drawing the whole: heading, tabs, notices, the tab that is open, keys.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Paragraph, Wrap},
};

use super::{
    View, context,
    grid::Manner,
    help,
    palette::{BADGE, Group, TITLE},
    tabs::{ListId, Tab},
    time_bar,
};
use crate::{
    humane::{bytes, count, duration, fitted, fitted_end, plural, printable},
    live::{Mode, Picture},
};

/// The least in which all that matters has room.
const LEAST_WIDTH: u16 = 80;
const LEAST_HEIGHT: u16 = 24;

/// From this width on, a recording is named.
const WIDE: u16 = 100;

/// Draws the view into the whole frame.
pub fn draw(frame: &mut Frame<'_>, view: &mut View) {
    let area = frame.area();
    if area.width < LEAST_WIDTH || area.height < LEAST_HEIGHT {
        let text = format!(
            "needs {LEAST_WIDTH} x {LEAST_HEIGHT}\nhas {} x {}\nenlarge it, or q to leave",
            area.width, area.height
        );
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let notices = notices(view);
    let replay = u16::from(view.playback().is_some());
    // By hand: ratatui's solver costs as much as all else that is drawn.
    let mut left = area;
    let mut top = |height: u16| {
        let row = Rect { height, ..left };
        left = Rect { y: left.y + height, height: left.height - height, ..left };
        row
    };
    let (heading, tabs, mostly) = (top(1), top(1), top(1));
    let notice = top((notices.len() as u16).min(area.height - 8));
    let body = Rect { height: left.height - 1 - replay, ..left };
    let time = Rect { y: body.bottom(), height: replay, ..left };
    let keys = Rect { y: time.bottom(), height: 1, ..left };
    draw_heading(frame, heading, view);
    frame.buffer_mut().set_line(tabs.x, tabs.y, &tab_line(view), tabs.width);
    frame.render_widget(Paragraph::new(notices), notice);
    let key_line = key_line(view, keys.width);
    frame.buffer_mut().set_line(keys.x, keys.y, &key_line, keys.width);
    let Some(picture) = &view.picture else {
        frame.buffer_mut().set_string(body.x, body.y, "waiting for the first window …", view.palette.dim());
        if let Some(first) = view.help {
            view.help = Some(help::draw(frame, view.palette, view.tab, first));
        }
        return;
    };
    frame.buffer_mut().set_line(mostly.x, mostly.y, &mostly_line(picture, view, mostly.width), mostly.width);
    if let Some(playback) = view.playback() {
        let manner = (view.time.as_deref(), view.palette);
        time_bar::draw(frame.buffer_mut(), time, picture, playback, manner);
    }
    view.tab.draw(frame, body, view);
    if let Some(first) = view.help {
        view.help = Some(help::draw(frame, view.palette, view.tab, first));
    }
}

impl View {
    /// Draws one of the open tab's lists.
    pub(super) fn draw_list(&mut self, frame: &mut Frame<'_>, area: Rect, id: ListId, row_height: u16) {
        let focused = self.focused() == id;
        let Some(picture) = &self.picture else { return };
        let pending = !picture.parts.has(self.parts());
        let manner = Manner { focused, typing: focused && self.typing, pending, row_height };
        let state = &mut self.lists[id as usize];
        id.list().draw(frame.buffer_mut(), area, state, &context(picture, self.palette), manner);
    }

    /// Draws lists below one another: each as high as its rows want, less where that is more than there is.
    pub(super) fn draw_stacked(&mut self, frame: &mut Frame<'_>, area: Rect, wants: &[(ListId, u16)]) {
        // Title and heading; a blank line between.
        const AROUND: u16 = 3;
        let lists = wants.len() as u16;
        let mut left = area.height.saturating_sub(lists * AROUND - 1);
        let mut rows = vec![0; wants.len()];
        // A row to each in turn, until all have what they want or nothing is left.
        while left > 0 {
            let mut given = false;
            for (rows, (_, want)) in rows.iter_mut().zip(wants) {
                if left > 0 && *rows < (*want).max(1) {
                    *rows += 1;
                    left -= 1;
                    given = true;
                }
            }
            if !given {
                break;
            }
        }
        let mut y = area.y;
        for (&(id, _), rows) in wants.iter().zip(rows) {
            let height = (rows + AROUND - 1).min(area.bottom().saturating_sub(y));
            self.draw_list(frame, Rect { y, height, ..area }, id, 1);
            y = (y + rows + AROUND).min(area.bottom());
        }
    }
}

fn draw_heading(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let palette = view.palette;
    let mut right = Vec::new();
    let recorder = view.picture.as_ref().and_then(|picture| picture.health.recorder.as_ref());
    if let Some(recorder) = recorder.filter(|recorder| recorder.kept) {
        let run = if area.width < WIDE { "REC".into() } else { fitted_end(&recorder.run, 24) };
        let text = format!("● {run} {}", bytes(recorder.bytes));
        right.push(Span::styled(text, palette.warn()));
    }
    let window = format!("window {}", duration(view.window.as_nanos() as u64));
    right.push(Span::styled(window, palette.dim()));
    let badge = match &view.picture {
        _ if view.frozen => Some(" FROZEN "),
        Some(Picture { mode: Mode::Replay(_), .. }) => Some(" REPLAY "),
        Some(picture) if picture.target.end.is_some() => Some(" ENDED "),
        Some(_) => Some(" LIVE "),
        None => None,
    };
    right.extend(badge.map(|badge| Span::styled(badge, BADGE)));
    let right = spaced(right);
    let at = area.right().saturating_sub(right.width() as u16);
    let target = view.picture.as_ref().map(|picture| &picture.target);
    let mut left = vec![Span::styled("hostprof", TITLE)];
    // What stands right is more than a whole host's name.
    let room = usize::from(at.saturating_sub(area.x + 2));
    if let Some(target) = target {
        let used = left[0].width() + 2;
        left.push(Span::styled(fitted(&target.name, room.saturating_sub(used)), TITLE));
        let mut rest: Vec<String> = target.engine.iter().map(|engine| printable(engine)).collect();
        rest.push(duration(target.elapsed_ns));
        if target.cpus > 0 {
            rest.push(format!("{}, {}", printable(&target.host), plural(target.cpus.into(), "CPU")));
        }
        for text in rest {
            if spaced(left.clone()).width() + 2 + text.chars().count() <= room {
                left.push(Span::styled(text, palette.dim()));
            }
        }
    }
    let buffer = frame.buffer_mut();
    buffer.set_line(area.x, area.y, &spaced(left), room as u16);
    buffer.set_line(at, area.y, &right, area.width);
}

fn spaced(spans: Vec<Span<'static>>) -> Line<'static> {
    let mut line = Line::default();
    for span in spans {
        if !line.spans.is_empty() {
            line.push_span(Span::raw("  "));
        }
        line.push_span(span);
    }
    line
}

fn tab_line(view: &View) -> Line<'static> {
    let lost = view.picture.as_ref().is_some_and(|picture| lost(picture) > 0);
    let mut line = Line::default();
    for (at, tab) in Tab::ALL.into_iter().enumerate() {
        let text = format!(" {} {} ", at + 1, tab.name());
        let style = match tab {
            tab if tab == view.tab => BADGE,
            Tab::Health if lost => view.palette.warn(),
            _ => view.palette.dim(),
        };
        line.push_span(Span::styled(text, style));
        line.push_span(Span::raw(" "));
    }
    line
}

/// The line that matters.
fn mostly_line(picture: &Picture, view: &View, width: u16) -> Line<'static> {
    let Some(mostly) = &picture.mostly else {
        return Line::styled("nothing waited in this window", view.palette.dim());
    };
    let group = Group::of(mostly.state);
    // Where time went and who ended waits; an experiment tells why.
    let note = "  attribution, not cause";
    let label = "waits  ";
    let room = usize::from(width).saturating_sub(label.len() + 2);
    let text = fitted(&mostly.text, room);
    let mut spans = vec![
        Span::styled(label, view.palette.dim()),
        Span::styled(group.letter().to_string(), view.palette.block(group)),
        Span::raw(" "),
        Span::styled(text.clone(), TITLE),
    ];
    if text.chars().count() + note.len() <= room {
        spans.push(Span::styled(note, view.palette.dim()));
    }
    Line::from(spans)
}

/// Records lost in the window.
fn lost(picture: &Picture) -> u64 {
    picture.health.probes.iter().map(|probe| probe.dropped).sum()
}

/// What must be known to read the rest.
fn notices(view: &View) -> Vec<Line<'static>> {
    let Some(picture) = &view.picture else { return Vec::new() };
    let mut notices = Vec::new();
    if lost(picture) > 0 {
        let probes = picture.health.probes.iter().filter(|probe| probe.dropped > 0);
        let probes: Vec<String> =
            probes.map(|probe| format!("{} {}", printable(&probe.name), count(probe.dropped))).collect();
        let text = format!("records lost: {}: numbers here are too small (7 Health)", probes.join(", "));
        notices.push(Line::styled(text, view.palette.warn()));
    }
    let shed = &picture.health.ceiling.shed;
    if !shed.is_empty() {
        let text = format!(
            "below the ceiling: {}; what is only counted is spread over its second here",
            printable(shed)
        );
        notices.push(Line::styled(text, view.palette.warn()));
    }
    // A recording has an end from the start: it is news where the window has come to it.
    let end = picture.target.end.as_ref();
    if let Some(end) = end.filter(|end| matches!(picture.mode, Mode::Live) || end.at <= picture.to) {
        let ago = picture.to.0.saturating_sub(end.at.0);
        let when = match &picture.mode {
            Mode::Live if ago >= 1_000_000_000 => format!(" {} ago", duration(ago)),
            _ => String::new(),
        };
        let save = match &picture.mode {
            Mode::Replay(playback) if !playback.unsaved => "",
            _ => "; w saves its recording",
        };
        let text = format!("ended{when}: {}{save}", printable(&end.reason));
        notices.push(Line::styled(text, view.palette.warn()));
    }
    notices
}

/// As many keys as fit, the most used first, and always the last.
fn key_line(view: &View, width: u16) -> Line<'static> {
    let settings = format!("every {}", duration(view.refresh.as_nanos() as u64));
    let mut keys: Vec<(&str, &str)> = if view.typing {
        vec![("type", "to filter"), ("Enter", "keep"), ("Esc", "clear"), ("↑↓", "move")]
    } else if view.playback().is_some() {
        vec![
            ("space", "play"),
            ("←→", "seek"),
            ("n b e", "worst"),
            ("t", "go to"),
            ("<>", "speed"),
            ("⏎", "open"),
            ("/", "filter"),
            ("s", "sort"),
        ]
    } else if view.has_ended() {
        vec![("↑↓", "move"), ("⏎", "open"), ("/", "filter"), ("s", "sort"), ("w", "save"), ("p", "freeze")]
    } else {
        vec![
            ("↑↓", "move"),
            ("⏎", "open"),
            ("/", "filter"),
            ("s", "sort"),
            ("p", "freeze"),
            ("r", "record"),
            ("+-", "rate"),
            ("[]", "window"),
        ]
    };
    if !view.typing {
        if !view.focused().opens() {
            keys.retain(|(key, _)| *key != "⏎");
        }
        if view.page().len() > 1 {
            let filter = keys.iter().position(|(key, _)| *key == "/").unwrap_or(0);
            keys.insert(filter, ("o", "next list"));
        }
        if view.is_thread_open() {
            keys.insert(0, ("Esc", "back"));
        }
    }
    let last: &[(&str, &str)] = if view.typing { &[] } else { &[("?", "help"), ("q", "quit")] };
    let width_of = |keys: &[(&str, &str)]| -> usize {
        keys.iter().map(|(key, what)| key.chars().count() + what.chars().count() + 3).sum()
    };
    let mut fitting = keys.len();
    while fitting > 0 && width_of(&keys[..fitting]) + width_of(last) > usize::from(width) {
        fitting -= 1;
    }
    let mut line = Line::default();
    for (key, what) in keys[..fitting].iter().chain(last) {
        line.push_span(Span::styled((*key).to_owned(), TITLE));
        line.push_span(Span::styled(format!(" {what}  "), view.palette.dim()));
    }
    let used = line.width();
    if used + settings.chars().count() <= usize::from(width) {
        let gap = usize::from(width) - used - settings.chars().count();
        line.push_span(Span::styled(" ".repeat(gap), Style::new()));
        line.push_span(Span::styled(settings, view.palette.dim()));
    }
    line
}
