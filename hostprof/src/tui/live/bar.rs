//! Bars: of states beside one another, of states over time, of a number over time, and of a part of a whole.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};

use super::palette::{Group, Palette};
use crate::{humane::share, ledger::StateTimes, live::Slice};

const EIGHTHS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// A bar of states in a line: each group as wide as its share, its letter where it begins. Without colours the
/// letter fills it.
pub fn states(buffer: &mut Buffer, area: Rect, times: &StateTimes, palette: Palette) {
    let total = times.total_ns();
    if total == 0 || area.is_empty() {
        return;
    }
    let (mut sum, mut from) = (0u128, area.x);
    for group in Group::ALL {
        sum += u128::from(group.ns(times));
        let end = (sum * u128::from(area.width) + u128::from(total) / 2) / u128::from(total);
        let to = area.x + end as u16;
        for x in from..to {
            let plain = palette.colour(group).is_some() && x > from;
            let letter = if plain { ' ' } else { group.letter() };
            buffer[(x, area.y)].set_char(letter).set_style(palette.block(group));
        }
        from = to;
    }
}

/// States over time: a column for each slice, oldest left, its groups stacked from the bottom. Slices are put
/// together, or drawn wider, to fill the area. Without colours each cell has the letter of its largest part.
pub fn timeline(buffer: &mut Buffer, area: Rect, slices: &[Slice], palette: Palette) {
    let (width, count) = (usize::from(area.width), slices.len());
    if count == 0 {
        return;
    }
    for column in 0..width {
        let from = column * count / width;
        let to = ((column + 1) * count / width).max(from + 1);
        let mut times = StateTimes::default();
        slices[from..to].iter().for_each(|slice| times.add(&slice.times));
        stack(buffer, Rect { x: area.x + column as u16, width: 1, ..area }, &times, palette);
    }
}

/// A column of states.
fn stack(buffer: &mut Buffer, area: Rect, times: &StateTimes, palette: Palette) {
    let total = times.total_ns() as f64;
    if total == 0.0 {
        return;
    }
    let height = f64::from(area.height);
    for row in 0..area.height {
        // Cells from the bottom: this one shows what lies between `low` and `low + 1` of the stack.
        let low = f64::from(row);
        let (mut sum, mut parts) = (0.0, Vec::new());
        for group in Group::ALL {
            let next = sum + group.ns(times) as f64 / total * height;
            let inside = next.min(low + 1.0) - f64::max(sum, low);
            if inside > 0.0 {
                parts.push((group, inside));
            }
            sum = next;
        }
        let cell = &mut buffer[(area.x, area.bottom() - 1 - row)];
        // A cell has room for two: the two largest, the lower one first.
        while parts.len() > 2 {
            let least = (0..parts.len()).min_by(|&a, &b| parts[a].1.total_cmp(&parts[b].1)).unwrap_or(0);
            parts.remove(least);
        }
        let Some(&(lower, lower_part)) = parts.first() else { continue };
        let &(upper, upper_part) = parts.last().unwrap_or(&(lower, lower_part));
        if let (Some(below), Some(above)) = (palette.colour(lower), palette.colour(upper)) {
            let part = if parts.len() == 1 { 1.0 } else { lower_part / (lower_part + upper_part) };
            let eighths = (part * 8.0).round() as usize;
            cell.set_symbol(EIGHTHS[eighths.min(8)]).set_style(Style::new().fg(below).bg(above));
        } else {
            let largest = if upper_part > lower_part { upper } else { lower };
            cell.set_char(largest.letter());
        }
    }
}

/// A number over time, oldest left, the newest at the right edge; between nought and the greatest.
pub fn spark(buffer: &mut Buffer, area: Rect, values: &[f64], greatest: f64, style: Style) {
    let width = usize::from(area.width);
    let shown = &values[values.len().saturating_sub(width)..];
    let left = area.x + (width - shown.len()) as u16;
    let height = u32::from(area.height) * 8;
    for (x, value) in (left..).zip(shown) {
        let part = if greatest > 0.0 { (value / greatest).clamp(0.0, 1.0) } else { 0.0 };
        // Nought is a line too: it was measured.
        let level = ((part * f64::from(height)).round() as u32).max(1);
        for row in 0..u32::from(area.height) {
            let eighths = level.saturating_sub(row * 8).min(8) as usize;
            if eighths > 0 {
                let y = area.bottom() - 1 - row as u16;
                buffer[(x, y)].set_symbol(EIGHTHS[eighths]).set_style(style);
            }
        }
    }
}

/// A part of a whole: `████████░░░░`.
pub fn gauge(part: f64, width: u16) -> String {
    let full = (part.clamp(0.0, 1.0) * f64::from(width)).round() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(usize::from(width) - full))
}

/// What the letters and colours of a bar stand for, each with its share; groups without time are left out.
pub fn legend(times: &StateTimes, palette: Palette) -> Line<'static> {
    let total = times.total_ns();
    let mut spans = Vec::new();
    for group in Group::ALL {
        let ns = group.ns(times);
        if ns > 0 {
            if !spans.is_empty() {
                spans.push(Span::raw("  "));
            }
            spans.push(Span::styled(group.letter().to_string(), palette.block(group)));
            spans.push(Span::styled(format!(" {} ", group.name()), palette.dim()));
            spans.push(Span::raw(share(ns, total)));
        }
    }
    Line::from(spans)
}

/// The shares of a bar in as few letters as go: `C 41.2%  F 52.0%`, the largest first, as many as fit.
pub fn shares(times: &StateTimes, width: u16, palette: Palette) -> Line<'static> {
    let total = times.total_ns();
    let mut groups = Group::ALL.map(|group| (group.ns(times), group)).to_vec();
    groups.retain(|(ns, _)| *ns > 0);
    groups.sort_by_key(|(ns, _)| std::cmp::Reverse(*ns));
    let (mut spans, mut used) = (Vec::new(), 0);
    for (ns, group) in groups {
        let text = share(ns, total);
        let needs = 1 + text.len() + usize::from(used > 0);
        if used + needs > usize::from(width) {
            break;
        }
        if used > 0 {
            spans.push(Span::raw(" "));
        }
        spans.push(Span::styled(group.letter().to_string(), palette.ink(group)));
        spans.push(Span::styled(text, palette.dim()));
        used += needs;
    }
    Line::from(spans)
}
