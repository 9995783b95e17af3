//! A program on a terminal of its own: keys in, what is to be seen out, and the terminal as it was at the end.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZero,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::{Winsize, openpty},
    sys::termios::{LocalFlags, Termios, tcgetattr},
};

use super::{hostprof_path, poll, wait};

const ROWS: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(100).unwrap();

/// Leaves the alternate screen: what was on the terminal before is seen again.
pub const LEFT: &str = "\x1b[?1049l";

/// A program on a terminal of its own.
pub struct Terminal {
    pub child: Child,
    keys: File,
    slave: OwnedFd,
    before: Termios,
    written: Arc<Mutex<Vec<u8>>>,
    stopped: Arc<AtomicBool>,
    closed: Arc<AtomicBool>,
    reader: Option<thread::JoinHandle<()>>,
}

/// Takes the alternate screen.
pub const TAKEN: &str = "\x1b[?1049h";

impl Terminal {
    /// Starts a command with the terminal as its controlling one.
    pub fn start(program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let size = Winsize { ws_row: ROWS.get(), ws_col: COLUMNS.get(), ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        // Else the program would keep its own terminal from hanging up.
        for end in [pty.master.as_fd(), pty.slave.as_fd()] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        }
        let before = tcgetattr(pty.slave.as_fd()).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program).args(arguments).env("TERM", "xterm");
        for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("start it");
        let mut master = File::from(pty.master);
        let keys = master.try_clone().unwrap();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (sink, stopped) = (Arc::clone(&written), Arc::new(AtomicBool::new(false)));
        let closed = Arc::new(AtomicBool::new(false));
        let (is_stopped, is_closed) = (Arc::clone(&stopped), Arc::clone(&closed));
        let reader = thread::spawn(move || {
            let mut bytes = [0; 4096];
            while !is_closed.load(Ordering::Relaxed)
                && let Ok(count @ 1..) = master.read(&mut bytes)
            {
                sink.lock().unwrap().extend_from_slice(&bytes[..count]);
                while is_stopped.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(10));
                }
            }
        });
        Self { child, keys, slave: pty.slave, before, written, stopped, closed, reader: Some(reader) }
    }

    /// Reads nothing of what is written, as a terminal after Ctrl-S, or reads on.
    pub fn stop(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::Relaxed);
    }

    pub fn picker(variables: &[(&str, &str)]) -> Self {
        Self::start(&hostprof_path(), &[], variables)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// What is to be seen.
    pub fn seen(&self) -> String {
        let mut parser = vt100::Parser::new(ROWS, COLUMNS, 0);
        parser.process(&self.written.lock().unwrap());
        parser.screen().contents()
    }

    pub fn until(&self, text: &str) {
        let begun = std::time::Instant::now();
        poll(text, || {
            let seen = self.seen();
            let found = seen.contains(text);
            // What is seen instead tells more than that it is not there.
            if !found && begun.elapsed() > super::PATIENCE / 2 {
                eprintln!("{seen}");
                thread::sleep(super::PATIENCE / 4);
            }
            found.then_some(())
        });
    }

    /// Makes it another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the terminal is open, and the size is what the call reads.
        let done = unsafe { libc::ioctl(self.slave.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(done, 0);
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Goes away, as a window that is closed; tells how the program ended.
    pub fn hang_up(mut self) -> Option<i32> {
        self.closed.store(true, Ordering::Relaxed);
        // The reader goes with what is written next: the help.
        self.press("?");
        self.reader.take().unwrap().join().unwrap();
        self.keys = File::open("/dev/null").unwrap();
        wait("a program whose terminal is gone", &mut self.child).code()
    }

    pub fn is_raw(&self) -> bool {
        !tcgetattr(self.slave.as_fd()).unwrap().local_flags.contains(LocalFlags::ICANON)
    }

    /// Waits for its end; the terminal must be as it was.
    pub fn end(mut self) -> (Option<i32>, String) {
        let status = wait("a program on a terminal", &mut self.child);
        poll("the terminal to be given back", || self.text().contains(LEFT).then_some(()));
        assert_eq!(tcgetattr(self.slave.as_fd()).unwrap(), self.before, "the terminal is as before");
        (status.code(), self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // After a failed assertion; one that was waited for is no more.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
