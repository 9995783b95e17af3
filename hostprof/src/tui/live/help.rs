//! Help: every key, every state, every number and where it is from. Made of what is beside the columns.

use ratatui::{
    Frame,
    layout::{Margin, Rect},
    text::{Line, Span, Text},
    widgets::{Block, Clear, Paragraph, Wrap},
};

use super::{
    list::Metric,
    palette::{Group, Palette},
    tabs::{ListId, Tab, parts},
};

const KEYS: &[(&str, &str)] = &[
    ("1 … 7", "go to a tab; Tab and Shift-Tab to the next and the one before"),
    ("↑ ↓ k j", "move in the list; PgUp PgDn by ten, g G to its ends"),
    ("o", "keys are for the tab's next list"),
    ("Enter", "open the thread; of a role or process its threads"),
    ("Esc", "clear the filter; leave the thread"),
    ("s  S", "order by the next column; reverse"),
    ("/", "filter the list; Enter keeps the filter, Esc clears it"),
    ("[  ]", "a shorter, a longer window"),
    ("+  -", "pictures more often, less often"),
    ("?", "this help"),
    ("q", "quit; Ctrl-C too"),
];

const LIVE_KEYS: &[(&str, &str)] = &[
    ("p", "freeze what is shown, and go on; what is recorded is not touched"),
    ("r", "start a recording, end it"),
    ("w", "save what is known of a target that has ended"),
];

const REPLAY_KEYS: &[(&str, &str)] = &[
    ("space  p", "play, pause"),
    ("<  >", "slower, faster"),
    ("←  →", "half a window back, on; with Shift ten times that"),
    ("Home  End", "to the recording's begin, end"),
    ("t", "type a time to go to"),
    ("n  N", "to the next of the longest waits for a CPU; to the one before"),
    ("b  B", "to the next of the longest blocked episodes; to the one before"),
    ("e  E", "to the next of the slowest requests; to the one before"),
];

/// Draws it over the frame, from a line on; answers from which it could.
pub fn draw(frame: &mut Frame<'_>, palette: Palette, tab: Tab, first: u16) -> u16 {
    let area = frame.area().inner(Margin { horizontal: 2, vertical: 1 });
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" help ").title_bottom(" ↑↓ scroll  ? or Esc closes ");
    let inner = block.inner(area).inner(Margin { horizontal: 1, vertical: 0 });
    frame.render_widget(block, area);
    let lines = lines(palette, tab);
    let most = parts::rows(&lines, inner.width).saturating_sub(inner.height);
    let first = first.min(most);
    let paragraph = Paragraph::new(Text::from(lines)).wrap(Wrap { trim: false }).scroll((first, 0));
    frame.render_widget(paragraph, Rect { ..inner });
    first
}

/// All of it: keys, states, the open tab's numbers, those of the others.
fn lines(palette: Palette, tab: Tab) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut section = |title: &str, rows: &mut dyn Iterator<Item = Line<'static>>| {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::styled(title.to_owned(), palette.title()));
        lines.extend(rows);
    };
    let key = |(key, what): &(&'static str, &'static str)| {
        Line::from(vec![Span::raw(format!("  {key:<11}")), Span::styled(*what, palette.dim())])
    };
    section("Keys", &mut KEYS.iter().map(key));
    section("Keys of a live view", &mut LIVE_KEYS.iter().map(key));
    section("Keys of a replay", &mut REPLAY_KEYS.iter().map(key));
    section(
        "States, as bars show them",
        &mut Group::ALL.into_iter().map(|group| {
            Line::from(vec![
                Span::raw("  "),
                Span::styled(group.letter().to_string(), palette.block(group)),
                Span::raw(format!(" {:<9}", group.name())),
                Span::styled(group.help(), palette.dim()),
            ])
        }),
    );
    let others = Tab::ALL.into_iter().filter(|&other| other != tab);
    for tab in std::iter::once(tab).chain(others) {
        for (title, metrics) in metrics(tab) {
            section(&title, &mut metrics.into_iter().map(|metric| explained(metric, palette)));
        }
    }
    lines
}

fn explained(metric: Metric, palette: Palette) -> Line<'static> {
    Line::from(vec![
        Span::raw(format!("  {:<14}", metric.name)),
        Span::styled(metric.help, palette.dim()),
        Span::styled(format!("  [{}]", metric.source), palette.rule()),
    ])
}

/// What a tab shows: its own numbers, and the columns of each of its lists.
pub fn metrics(tab: Tab) -> Vec<(String, Vec<Metric>)> {
    let mut sections = Vec::new();
    if !tab.metrics().is_empty() {
        sections.push((tab.name().to_owned(), tab.metrics().to_vec()));
    }
    let mut lists = tab.lists().to_vec();
    if tab == Tab::Threads {
        lists.extend(ListId::DETAIL);
    }
    for id in lists {
        sections.push((format!("{}: {}", tab.name(), id.list().title()), id.list().metrics()));
    }
    sections
}
