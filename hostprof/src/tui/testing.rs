//! What tests of views share: keys as letters, and a screen as text.

use ratatui::{
    Frame, Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

/// The key that a letter stands for.
pub fn key(letter: char) -> KeyEvent {
    let code = match letter {
        '⏎' => KeyCode::Enter,
        '⎋' => KeyCode::Esc,
        '⌫' => KeyCode::Backspace,
        '↓' => KeyCode::Down,
        '↑' => KeyCode::Up,
        '←' => KeyCode::Left,
        '→' => KeyCode::Right,
        '⇥' => KeyCode::Tab,
        '⇤' => KeyCode::BackTab,
        '⇱' => KeyCode::Home,
        '⇲' => KeyCode::End,
        letter => KeyCode::Char(letter),
    };
    KeyEvent::new(code, KeyModifiers::NONE)
}

/// What is to be seen on a screen of that size.
pub fn screen(width: u16, height: u16, draw: impl FnOnce(&mut Frame<'_>)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(draw).unwrap();
    terminal.backend().to_string()
}
