//! `hostprof` alone on a terminal: driven by keys on a pseudo-terminal, which must be as before at the end.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    fs::File,
    io::{Read as _, Write as _},
    num::NonZero,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use hostprof::{
    recording::Recording,
    tui::{Screen, pick},
};
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    pty::{Winsize, openpty},
    sys::{
        signal::Signal,
        termios::{LocalFlags, Termios, tcgetattr},
    },
};
use support::{hostprof_path, poll, send, wait};

const ROWS: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(100).unwrap();

/// Leaves the alternate screen: what was on the terminal before is seen again.
const LEFT: &str = "\x1b[?1049l";

/// A program on a terminal of its own.
struct Terminal {
    child: Child,
    keys: File,
    slave: OwnedFd,
    before: Termios,
    written: Arc<Mutex<Vec<u8>>>,
}

/// Takes the alternate screen.
const TAKEN: &str = "\x1b[?1049h";

impl Terminal {
    /// Starts a command with the terminal as its controlling one.
    fn start(program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
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
        let sink = Arc::clone(&written);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                sink.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, keys, slave: pty.slave, before, written }
    }

    fn picker(variables: &[(&str, &str)]) -> Self {
        Self::start(&hostprof_path(), &[], variables)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// What is to be seen.
    fn seen(&self) -> String {
        let mut parser = vt100::Parser::new(ROWS, COLUMNS, 0);
        parser.process(&self.written.lock().unwrap());
        parser.screen().contents()
    }

    fn until(&self, text: &str) {
        poll(text, || self.seen().contains(text).then_some(()));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(self.slave.as_fd()).unwrap().local_flags.contains(LocalFlags::ICANON)
    }

    /// Waits for its end; the terminal must be as it was.
    fn end(mut self) -> (Option<i32>, String) {
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

#[test]
fn q_leaves_and_so_do_ctrl_c_and_a_signal_each_with_its_status() {
    for (keys, signal, status) in [
        ("q", None, 0),
        ("\x1b", None, 0),
        ("\x03", None, 130),
        ("/q\x03", None, 130),
        ("", Some(Signal::SIGTERM), 143),
        ("", Some(Signal::SIGINT), 130),
    ] {
        let mut terminal = Terminal::picker(&[]);
        terminal.until("pick what to record");
        assert!(terminal.is_raw());
        terminal.press(keys);
        if let Some(signal) = signal {
            send(terminal.child.id(), signal);
        }
        let (code, text) = terminal.end();
        assert_eq!(code, Some(status), "{keys:?} {signal:?}: {text}");
    }
}

#[test]
fn the_engine_that_is_picked_is_recorded() {
    let mut engine = Command::new("bash").args(["-c", "exec -a llama-server sleep 61.25"]).spawn().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("runs");
    let settings = [("HOSTPROF_OUT", out.to_str().unwrap()), ("HOSTPROF_DURATION", "300ms")];
    let mut terminal = Terminal::picker(&settings);
    terminal.until("61.25");
    terminal.press("/61.25");
    terminal.until("/61.25▏");
    terminal.press("\r");
    let (code, text) = terminal.end();
    let target = Recording::open(&out.join("run_001")).map(|run| run.config().target.clone());
    engine.kill().unwrap();
    engine.wait().unwrap();
    assert_eq!(code, Some(0), "{text}");
    let target = target.unwrap();
    assert_eq!((target.kind.as_str(), target.value), ("pid", engine.id().to_string()));
    assert_eq!(target.engine.as_deref(), Some("llama.cpp"));
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    let own = std::env::current_exe().unwrap();
    let arguments = ["--exact", "a_view_that_panics", "--ignored", "--nocapture"];
    let (code, text) = Terminal::start(&own, &arguments, &[]).end();
    assert_eq!(code, Some(101), "{text}");
    let (left, told) = (text.find(LEFT).unwrap(), text.find("a bug in a view").expect("it is told"));
    assert!(text.find(TAKEN).unwrap() < left && left < told, "{text}");
}

#[test]
#[ignore = "run by the test above, on a terminal of its own"]
fn a_view_that_panics() {
    let mut screen = Screen::enter().unwrap();
    screen.draw(|frame| pick::draw(frame, &mut pick::Picker::default())).unwrap();
    panic!("a bug in a view");
}
