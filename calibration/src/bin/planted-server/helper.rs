//! A process that the server asks and waits for, through pipes.

use std::{
    env,
    io::{self, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::work::Pace;

/// What an answer takes, for each token asked about and for all.
const US_A_TOKEN: u64 = 2;
const US: u64 = 30;

/// A helper process; it ends when its input does.
#[derive(Debug)]
pub struct Helper {
    child: Child,
    ask: ChildStdin,
    answer: ChildStdout,
}

impl Helper {
    /// Starts this program as a helper.
    pub fn start(name: &str) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?)
            .args(["--helper", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (ask, answer) = (child.stdin.take(), child.stdout.take());
        let (Some(ask), Some(answer)) = (ask, answer) else { return Err(io::Error::other("no pipes")) };
        Ok(Self { child, ask, answer })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has so many tokens made into text, or the other way round.
    pub fn ask(&mut self, tokens: u64) -> io::Result<()> {
        self.ask.write_all(&tokens.to_le_bytes())?;
        self.answer.read_exact(&mut [0; 8])
    }
}

/// The helper's own life.
pub fn be(name: &str) -> io::Result<()> {
    let pace = Pace::measure();
    let mut comm = name.as_bytes().to_vec();
    comm.push(0);
    // SAFETY: a text that ends with NUL and outlives the call.
    unsafe { libc::prctl(libc::PR_SET_NAME, comm.as_ptr(), 0, 0, 0) };
    let (mut asked, mut answer) = (io::stdin().lock(), io::stdout().lock());
    let mut tokens = [0; 8];
    while asked.read_exact(&mut tokens).is_ok() {
        pace.work(US + US_A_TOKEN * u64::from_le_bytes(tokens).min(10_000));
        answer.write_all(&tokens)?;
        answer.flush()?;
    }
    Ok(())
}
