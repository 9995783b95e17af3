//! Help: every key, every state, every number and where it is from. Made of what is beside the columns.

use ratatui::{
    Frame,
    layout::Margin,
    text::{Line, Span, Text},
    widgets::{Block, Clear, Paragraph},
};

use super::{
    list::Metric,
    palette::{Group, Palette, TITLE},
    tabs::{ListId, Tab},
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
    ("r", "keep what is recorded; again: end the recording"),
    ("w", "save the recording of a target that has ended"),
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
    let lines = lines(palette, tab, inner.width);
    let most = (lines.len() as u16).saturating_sub(inner.height);
    let first = first.min(most);
    frame.render_widget(Paragraph::new(Text::from(lines)).scroll((first, 0)), inner);
    first
}

/// All of it: keys, states, the open tab's numbers, those of the others.
fn lines(palette: Palette, tab: Tab, width: u16) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut section = |title: &str, entries: Vec<Entry>| {
        if !lines.is_empty() {
            lines.push(Line::default());
        }
        lines.push(Line::styled(title.to_owned(), TITLE));
        // Names of numbers are longer than those of keys.
        let indent = if entries.iter().any(|entry| !entry.source.is_empty()) { 22 } else { 14 };
        lines.extend(entries.iter().flat_map(|entry| entry.lines(palette, width, indent)));
    };
    let keys = |keys: &[(&'static str, &'static str)]| {
        keys.iter().map(|(key, what)| Entry::new(Span::raw(*key), what)).collect()
    };
    section("Keys", keys(KEYS));
    section("Keys of a live view", keys(LIVE_KEYS));
    section("Keys of a replay", keys(REPLAY_KEYS));
    let state = |group: Group| {
        let name = format!("{} {}", group.letter(), group.name());
        Entry::new(Span::styled(name, palette.ink(group)), group.help())
    };
    section("States, as bars show them", Group::ALL.map(state).into());
    let others = Tab::ALL.into_iter().filter(|&other| other != tab);
    for tab in std::iter::once(tab).chain(others) {
        for (title, metrics) in metrics(tab) {
            let entry = |metric: &Metric| Entry {
                source: metric.source,
                ..Entry::new(Span::raw(metric.name), metric.help)
            };
            section(&title, metrics.iter().map(entry).collect());
        }
    }
    lines
}

/// Something explained.
struct Entry {
    name: Span<'static>,
    text: &'static str,
    /// Empty for none.
    source: &'static str,
}

impl Entry {
    fn new(name: Span<'static>, text: &'static str) -> Self {
        Self { name, text, source: "" }
    }

    /// Its name, and beside it the text in as many lines as it takes, then the source.
    fn lines(&self, palette: Palette, width: u16, indent: usize) -> Vec<Line<'static>> {
        let room = usize::from(width).saturating_sub(indent);
        let text = broken(self.text, room).into_iter().map(|text| Span::styled(text, palette.dim()));
        let source = (!self.source.is_empty()).then(|| format!("from {}", self.source));
        let source = source.iter().flat_map(|source| broken(source, room));
        let right: Vec<Span<'static>> =
            text.chain(source.map(|text| Span::styled(text, palette.rule()))).collect();
        let left = |at| match at {
            0 => Span::styled(format!("  {:<1$}", self.name.content, indent - 2), self.name.style),
            _ => Span::raw(" ".repeat(indent)),
        };
        right.into_iter().enumerate().map(|(at, text)| Line::from(vec![left(at), text])).collect()
    }
}

/// Text in lines of at most so many characters, broken between words.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
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
