//! The line that tells how a recording goes, on a terminal; nothing in a pipe.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use crate::{
    humane::{bytes, duration, scaled_count},
    usage::own_cpu,
};

/// What the line shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct State {
    /// Records received.
    pub records: u64,
    /// Threads that live.
    pub live: u64,
    /// Records lost.
    pub dropped: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// The line.
pub struct Progress {
    shown: bool,
    start: Instant,
    duration: Option<Duration>,
    last: (Instant, u64, Duration),
}

impl Progress {
    /// A line for a recording that begins now.
    pub fn new(duration: Option<Duration>) -> Self {
        let now = Instant::now();
        Self { shown: io::stderr().is_terminal(), start: now, duration, last: (now, 0, own_cpu()) }
    }

    /// Shows nothing from now on.
    pub fn hide(&mut self) {
        self.shown = false;
    }

    /// Draws it anew.
    pub fn show(&mut self, state: &State) {
        if !self.shown {
            return;
        }
        let (now, cpu) = (Instant::now(), own_cpu());
        let since = now.duration_since(self.last.0).as_secs_f64().max(1e-3);
        let rate = (state.records - self.last.1) as f64 / since;
        let own = (cpu.saturating_sub(self.last.2)).as_secs_f64() / since * 100.0;
        let elapsed = self.start.elapsed().as_secs_f64();
        let (of, projected) = if let Some(of) = self.duration {
            let whole = state.bytes as f64 * of.as_secs_f64() / elapsed.max(1e-3);
            (format!("/{}", duration(of.as_nanos() as u64)), format!(" → {}", bytes(whole as u64)))
        } else {
            let hour = state.bytes as f64 * 3600.0 / elapsed.max(1e-3);
            (String::new(), format!(" ({}/h)", bytes(hour as u64)))
        };
        let _ = write!(
            io::stderr(),
            "\r\x1b[Krecording {}{of} · {} threads · {} records, {}/s · {} lost · {}{projected} · own CPU {own:.1} %",
            duration(self.start.elapsed().as_nanos() as u64),
            state.live,
            scaled_count(state.records as f64),
            scaled_count(rate),
            state.dropped,
            bytes(state.bytes),
        );
        let _ = io::stderr().flush();
        self.last = (now, state.records, cpu);
    }

    /// Takes it away.
    pub fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
