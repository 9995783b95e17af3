//! How a load goes: a line that is drawn anew on a terminal, else one now and then; on stderr.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use super::stats::Stats;
use crate::humane::{count, duration, scaled_count};

/// Between two drawings, and two lines.
const DRAWN: Duration = Duration::from_millis(250);
const PRINTED: Duration = Duration::from_secs(10);

/// The line.
pub struct Progress {
    is_terminal: bool,
    begun: Instant,
    last: (Instant, u64),
}

impl Progress {
    /// A line for a load that begins now.
    pub fn new() -> Self {
        let now = Instant::now();
        Self { is_terminal: io::stderr().is_terminal(), begun: now, last: (now, 0) }
    }

    /// The time between two.
    pub fn interval(&self) -> Duration {
        if self.is_terminal { DRAWN } else { PRINTED }
    }

    /// Draws or prints it, but not before there is something to tell.
    pub fn show(&mut self, stats: &Stats, in_flight: u64) {
        let now = Instant::now();
        let since = now.duration_since(self.last.0);
        if since.is_zero() || self.begun.elapsed() < self.interval() {
            return;
        }
        let rate = (stats.requests - self.last.1) as f64 / since.as_secs_f64();
        self.last = (now, stats.requests);
        let mut line = format!(
            "{} · {} done, {}/s · {} in flight · {} failed",
            duration(self.begun.elapsed().as_nanos() as u64),
            count(stats.requests),
            if rate < 99.95 { format!("{rate:.1}") } else { scaled_count(rate) },
            count(in_flight),
            count(stats.requests - stats.succeeded),
        );
        for (name, values) in [("TTFT", &stats.ttft_ns), ("TPOT", &stats.tpot_ns), ("e2e", &stats.e2e_ns)] {
            if !values.is_empty() {
                let (p50, p99) = (values.value_at_quantile(0.5), values.value_at_quantile(0.99));
                line.push_str(&format!(" · {name} p50 {} p99 {}", duration(p50), duration(p99)));
            }
        }
        let mut stderr = io::stderr().lock();
        // Who does not read it misses nothing else.
        let _ = if self.is_terminal { write!(stderr, "\r\x1b[K{line}") } else { writeln!(stderr, "{line}") };
        let _ = stderr.flush();
    }

    /// Takes it away.
    pub fn clear() {
        if io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
