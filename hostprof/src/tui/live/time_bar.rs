//! Where a replay is: a bar of the whole recording with the window on it, and times as they are typed.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::palette::{Palette, TITLE};
use crate::{
    humane::duration,
    live::{Picture, Playback},
    units::MonoNs,
};

const SECOND_NS: u64 = 1_000_000_000;

/// A time since the recording's begin: `1:23.450`, `1:02:03.000`.
pub fn clock(ns: u64) -> String {
    let (seconds, ms) = (ns / SECOND_NS, ns % SECOND_NS / 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}.{ms:03}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}.{ms:03}"),
    }
}

/// What was typed as a time: seconds, `1:23.5` or `1:02:03` since the begin, or with + or - before them from now.
/// `None` for what is none; clipped to the recording.
pub fn instant(text: &str, playback: &Playback, now: MonoNs) -> Option<MonoNs> {
    let text = text.trim();
    let (origin, sign, text) = match text.chars().next()? {
        '+' => (now, 1.0, &text[1..]),
        '-' => (now, -1.0, &text[1..]),
        _ => (playback.begin, 1.0, text),
    };
    let mut seconds = 0.0;
    for part in text.split(':') {
        let digits = part.chars().all(|c| c.is_ascii_digit() || c == '.');
        let part: f64 = part.parse().ok().filter(|_| digits)?;
        seconds = seconds * 60.0 + part;
    }
    let ns = (sign * seconds * 1e9) as i64;
    Some(MonoNs(origin.0.saturating_add_signed(ns).clamp(playback.begin.0, playback.end.0)))
}

/// Draws it in one line; `typed` where a time is being typed.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    picture: &Picture,
    playback: &Playback,
    (typed, palette): (Option<&str>, Palette),
) {
    let whole = playback.end.0.saturating_sub(playback.begin.0);
    // The last bin goes beyond the end.
    let now = picture.to.0.min(playback.end.0).saturating_sub(playback.begin.0);
    let state = if playback.playing { "playing" } else { "paused" };
    let left = match typed {
        Some(text) => format!("go to  {text}▏"),
        None => format!("{state} {}x  {}", playback.speed, clock(now)),
    };
    let right = match typed {
        Some(_) => " 83.5 or 1:23.5 since the begin, +5 or -5 from now; Enter, Esc".to_owned(),
        None => format!(" {}  window {}", clock(whole), duration(picture.to.0 - picture.from.0)),
    };
    buffer.set_string(area.x, area.y, &left, TITLE);
    let right_at = area.right().saturating_sub(right.chars().count() as u16);
    buffer.set_stringn(right_at, area.y, &right, area.width.into(), palette.dim());
    let from = area.x + left.chars().count() as u16 + 1;
    let width = right_at.saturating_sub(from);
    if typed.is_some() || width < 4 {
        return;
    }
    let place = |instant: u64| {
        let part = if whole == 0 { 0.0 } else { instant as f64 / whole as f64 };
        (part.clamp(0.0, 1.0) * f64::from(width - 1)).round() as u16
    };
    let (begin, end) = (place(picture.from.0.saturating_sub(playback.begin.0)), place(now));
    let part = |symbol: &str, count: u16| symbol.repeat(usize::from(count));
    let line = Line::from(vec![
        Span::styled(part("─", begin), palette.rule()),
        Span::styled(part("━", end - begin), TITLE),
        Span::styled("●", TITLE),
        Span::styled(part("─", width - 1 - end), palette.rule()),
    ]);
    buffer.set_line(from, area.y, &line, width);
}
