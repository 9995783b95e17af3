//! Views on a terminal, drawn with ratatui: each has a state that keys change, and a function that draws it.

pub mod live;
pub mod pick;
mod screen;
#[cfg(test)]
mod testing;

pub use self::screen::{Screen, Turn};
