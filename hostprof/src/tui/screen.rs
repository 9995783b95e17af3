//! The terminal while a view has it: raw, on the alternate screen, and given back however the program ends.
//!
//! Given back when [`Screen`] is dropped, before a panic is told, while the program is stopped, and on SIGINT,
//! SIGTERM and SIGHUP, which become a turn of the view's loop instead of the end of the program, as does a terminal that
//! is gone.

use std::{
    io,
    mem::ManuallyDrop,
    os::fd::AsRawFd as _,
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

/// Signals that end a program, those of a shell's jobs, and that of a terminal of another size.
const TAKEN: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGTSTP, Signal::SIGCONT, Signal::SIGWINCH];

/// The terminal.
#[derive(Debug)]
pub struct Screen {
    /// When dropped it shows the cursor, and panics where standard error is a terminal that is gone as well.
    terminal: ManuallyDrop<DefaultTerminal>,
    signals: SignalFd,
    /// The signals that were blocked before.
    mask: SigSet,
    /// The terminal is no more.
    gone: bool,
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
            Ok((signals, terminal)) => {
                Ok(Self { terminal: ManuallyDrop::new(terminal), signals, mask, gone: false })
            }
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
    /// The terminal is gone. The next turn says so too.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        let drawn = self.terminal.draw(draw).map(drop);
        self.gone |= drawn.is_err();
        drawn
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
        *self.terminal = ratatui::try_init()?;
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
            if self.gone {
                return Ok(Turn::Signal(Signal::SIGHUP as i32));
            }
            if let Some(signal) = self.signals.read_signal()? {
                let number = signal.ssi_signo.cast_signed();
                self.gone |= number == Signal::SIGHUP as i32;
                if number == Signal::SIGTSTP as i32 {
                    self.suspend()?;
                } else if number == Signal::SIGCONT as i32 {
                    // Stopped by a signal that nobody can take: what the terminal was told is not known.
                    self.enter_again()?;
                } else if number != Signal::SIGWINCH as i32 {
                    return Ok(Turn::Signal(number));
                }
                return Ok(Turn::Resized);
            }
            // Before the library looks: of a terminal that is gone it reads nothing for ever.
            if self.wait(Duration::ZERO)? & GONE != 0 {
                self.gone = true;
                continue;
            }
            // Of keys that were read together all but the first are with the library.
            if event::poll(Duration::ZERO)? {
                match event::read()? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => return Ok(Turn::Key(key)),
                    Event::Resize(..) => return Ok(Turn::Resized),
                    _ => continue,
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Turn::Timeout);
            }
            self.wait(left)?;
        }
    }

    /// Waits for a key or a signal, at most so long; tells what there is of the terminal.
    fn wait(&self, at_most: Duration) -> io::Result<i16> {
        let of = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut fds = [of(io::stdin().as_raw_fd()), of(self.signals.as_raw_fd())];
        // In whole milliseconds, rounded up: less would come back at once, again and again.
        let at_most = i32::try_from(at_most.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        // SAFETY: the array is alive and as long as is said.
        let done = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, at_most) };
        if done < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(0) } else { Err(error) };
        }
        Ok(fds[0].revents)
    }
}

/// What the kernel says of a terminal that nobody can read or write any more.
const GONE: i16 = libc::POLLHUP | libc::POLLERR | libc::POLLNVAL;

impl Drop for Screen {
    fn drop(&mut self) {
        if self.gone {
            // The signal that says so, now or soon, must not end the program before it has cleaned up.
            return;
        }
        // SAFETY: it is dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.terminal) };
        ratatui::restore();
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.mask), None);
    }
}
