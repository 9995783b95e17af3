//! `hostprof` alone: a list of what could be watched; the choice is.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, channel, sync_channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;

use super::{Cli, parse_from};
use crate::{
    target::{Candidate, Proc, Scanner},
    tui::{
        Screen, Turn,
        pick::{self, Outcome, Picker, Row},
    },
};

/// How often the list is made anew.
const REFRESH: Duration = Duration::from_secs(2);

/// The first lists follow sooner: the second tells how busy each process is.
const FIRST_REFRESH: Duration = Duration::from_millis(500);

/// How long a newer list may wait to be drawn.
const TURN: Duration = Duration::from_millis(200);

/// The status a shell tells of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Lets the user pick, where there is a terminal; else tells how hostprof is used.
///
/// # Errors
///
/// The terminal fails, or the choice could not be watched.
pub fn run() -> Result<ExitCode> {
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        eprint!("{}", Cli::command().render_help());
        return Ok(ExitCode::from(2));
    }
    let pid = match pick()? {
        Picked::Process(pid) => pid,
        Picked::Nothing(status) => return Ok(ExitCode::from(status)),
    };
    let words = ["hostprof", "live", "--pid", &pid.to_string()].map(OsString::from);
    super::run(parse_from(&words)?)
}

enum Picked {
    Process(u32),
    /// Exit with this status.
    Nothing(u8),
}

fn pick() -> Result<Picked> {
    let mut screen = Screen::enter().context("use the terminal")?;
    let scans = Scans::start()?;
    let mut picker = Picker::default();
    loop {
        // Of a terminal that is gone the turn tells.
        let _ = screen.draw(|frame| pick::draw(frame, &mut picker));
        let outcome = match screen.turn(TURN).context("use the terminal")? {
            Turn::Key(key) => picker.key(key),
            Turn::Signal(signal) => return Ok(Picked::Nothing(128 + signal as u8)),
            Turn::Resized | Turn::Timeout => Outcome::Open,
        };
        match outcome {
            Outcome::Open => {}
            Outcome::Picked(pid) => return Ok(Picked::Process(pid)),
            Outcome::Left => return Ok(Picked::Nothing(0)),
            Outcome::Interrupted => return Ok(Picked::Nothing(INTERRUPTED)),
        }
        if let Some(rows) = scans.newest()? {
            picker.set_rows(rows);
        }
    }
}

/// A thread that looks for processes: on a large machine that takes longer than a key may.
struct Scans {
    lists: Receiver<io::Result<Vec<Candidate>>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scans {
    fn start() -> Result<Self> {
        let (send, lists) = channel();
        let (stop, stopped) = sync_channel::<()>(0);
        let look = move || {
            let mut scanner = Scanner::new(Proc::new());
            for refresh in std::iter::once(FIRST_REFRESH).chain(std::iter::repeat(REFRESH)) {
                let gone = send.send(scanner.scan()).is_err();
                if gone || stopped.recv_timeout(refresh) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread =
            thread::Builder::new().name("hostprof-scan".to_owned()).spawn(look).context("start a thread")?;
        Ok(Self { lists, stop: Some(stop), thread: Some(thread) })
    }

    /// The newest list, if there is one since the last.
    fn newest(&self) -> Result<Option<Vec<Row>>> {
        let mut newest = None;
        loop {
            match self.lists.try_recv() {
                Ok(list) => newest = Some(list.context("read /proc")?),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => anyhow::bail!("look for processes: the thread ended"),
            }
        }
        Ok(newest.map(|list| list.into_iter().map(row).collect()))
    }
}

impl Drop for Scans {
    /// Waits for the thread: what gives up privileges must be alone.
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn row(candidate: Candidate) -> Row {
    Row {
        pid: candidate.tgid.0,
        command: candidate.command,
        engine: candidate.engine.unwrap_or_default().to_owned(),
        user: candidate.user,
        gpu: candidate.gpu,
        cpu_ratio: candidate.cpu_ratio,
    }
}
