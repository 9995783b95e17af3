//! The terminal while a view has it: raw, on the alternate screen, and given back however the program ends.
//!
//! Given back when [`Screen`] is dropped, before a panic is told, while the program is stopped, and on SIGINT,
//! SIGTERM and SIGHUP, which become a turn of the view's loop instead of the end of the program.

use std::{
    io,
    time::{Duration, Instant},
};

use nix::sys::{
    signal::{SigSet, SigmaskHow, Signal, raise, sigprocmask},
    signalfd::{SfdFlags, SignalFd},
};
use ratatui::{
    DefaultTerminal, Frame,
    crossterm::{
        event::{self, Event, KeyEvent, KeyEventKind},
        execute,
        terminal::{Clear, ClearType},
    },
};

/// Signals that end a program, and those of a shell's jobs.
const TAKEN: [Signal; 5] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGTSTP, Signal::SIGCONT];

/// How soon a signal is noticed.
const SIGNAL_CHECK: Duration = Duration::from_millis(100);

/// The terminal.
#[derive(Debug)]
pub struct Screen {
    terminal: DefaultTerminal,
    signals: SignalFd,
    /// The signals that were blocked before.
    mask: SigSet,
}

/// Why a view's loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal has another size.
    Resized,
    /// The time was over.
    Timeout,
    /// The program is to end: the number of the signal.
    Signal(i32),
}

impl Screen {
    /// Takes the terminal. Must be called while there is one thread: threads made later leave the signals
    /// to this one, earlier ones would let a signal end the program at once.
    ///
    /// # Errors
    ///
    /// Standard output is none, or refuses.
    pub fn enter() -> io::Result<Self> {
        let taken: SigSet = TAKEN.into_iter().collect();
        let mut mask = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&taken), Some(&mut mask))?;
        let entered = SignalFd::with_flags(&taken, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(io::Error::from)
            // Also lets a panic give the terminal back first.
            .and_then(|signals| Ok((signals, ratatui::try_init()?)));
        match entered {
            Ok((signals, terminal)) => Ok(Self { terminal, signals, mask }),
            Err(error) => {
                let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
                Err(error)
            }
        }
    }

    /// Draws.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }

    /// Stops the program, as a shell's Ctrl-Z does, with the terminal given back; takes it again when the program
    /// goes on.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    pub fn suspend(&mut self) -> io::Result<()> {
        ratatui::try_restore()?;
        raise(Signal::SIGSTOP)?;
        // The SIGCONT that made it go on is not to be taken for another.
        while self.signals.read_signal()?.is_some_and(|signal| signal.ssi_signo != Signal::SIGCONT as u32) {}
        self.enter_again()
    }

    fn enter_again(&mut self) -> io::Result<()> {
        self.terminal = ratatui::try_init()?;
        // Not by `Terminal::clear`, which asks where the cursor is and fails on a terminal that does not answer.
        execute!(io::stdout(), Clear(ClearType::All))
    }

    /// Waits for something to happen, at most so long.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    pub fn turn(&mut self, at_most: Duration) -> io::Result<Turn> {
        let end = Instant::now() + at_most;
        loop {
            if let Some(signal) = self.signals.read_signal()? {
                let number = signal.ssi_signo.cast_signed();
                if number == Signal::SIGTSTP as i32 {
                    self.suspend()?;
                } else if number == Signal::SIGCONT as i32 {
                    // Stopped by a signal that nobody can take: what the terminal was told is not known.
                    self.enter_again()?;
                } else {
                    return Ok(Turn::Signal(number));
                }
                return Ok(Turn::Resized);
            }
            let left = end.saturating_duration_since(Instant::now());
            if event::poll(left.min(SIGNAL_CHECK))? {
                match event::read()? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => return Ok(Turn::Key(key)),
                    Event::Resize(..) => return Ok(Turn::Resized),
                    _ => {}
                }
            } else if left.is_zero() {
                return Ok(Turn::Timeout);
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
    }
}
