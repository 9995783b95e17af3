//! A command that hostprof starts, held until the probes are attached, so that nothing of it is missed.
//!
//! The child is forked while hostprof has one thread; it waits on a pipe, and executes the command when
//! told, with the run folder in [`RUN_VARIABLE`]. It has a process group of its own, which gets the terminal: Ctrl-C reaches it alone.

use std::{
    ffi::{CString, OsString},
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::{
        fd::AsFd as _,
        unix::{
            ffi::{OsStrExt as _, OsStringExt as _},
            fs::{OpenOptionsExt as _, PermissionsExt as _},
            process::ExitStatusExt as _,
        },
    },
    path::{Path, PathBuf},
    process::ExitStatus,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal, sigprocmask},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{
        ForkResult, Gid, Pid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, execv, fork, getpgrp, pipe2,
        setgroups, setpgid, setresgid, setresuid, tcsetpgrp,
    },
};

use crate::units::Tgid;

/// Tells a command the run folder that it is recorded into: `hostprof load` within it writes its rows there.
pub const RUN_VARIABLE: &str = "HOSTPROF_RUN";

/// What a command printed that was run without a terminal, in the run folder.
pub const COMMAND_LOG: &str = "command.log";

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nothing of that name on the path.
    #[error("run {0}: command not found")]
    NotFound(String),
    /// It is no program, or may not be executed.
    #[error("run {0}: {1}")]
    NotExecutable(String, io::Error),
    /// It could not be started.
    #[error("start {0}: {1}")]
    Start(String, io::Error),
}

impl CommandError {
    /// The exit status a shell would give.
    pub fn status(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::NotExecutable(..) => 126,
            Self::Start(..) => 125,
        }
    }
}

/// A command that waits for its start, or runs.
pub struct HeldCommand {
    name: String,
    pid: Pid,
    start: Option<File>,
    failure: File,
    has_terminal: bool,
}

impl HeldCommand {
    /// Forks the child that will run the command, as `user` where that is given. What is `detached` leaves the
    /// terminal to hostprof: it reads nothing, and what it prints goes to `command.log` in the run folder.
    ///
    /// # Errors
    ///
    /// The command is not there or not executable; told before anything is started.
    pub fn hold(
        command: &[OsString],
        user: Option<(Uid, Gid)>,
        detached: bool,
    ) -> Result<Self, CommandError> {
        let name = command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let program = resolve(&name)?;
        let start = |error: Errno| CommandError::Start(name.clone(), error.into());
        let (hold_read, hold_write) = pipe2(OFlag::O_CLOEXEC).map_err(start)?;
        let (failure_read, failure_write) = pipe2(OFlag::O_CLOEXEC).map_err(start)?;
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|_| start(Errno::EINVAL));
        let path = c_string(program.as_os_str().as_bytes())?;
        let arguments =
            command.iter().map(|argument| c_string(argument.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        // SAFETY: hostprof has one thread here, so the child may do what a program may.
        match unsafe { fork() }.map_err(start)? {
            ForkResult::Child => {
                drop((hold_write, failure_read));
                let error = child(File::from(hold_read), &path, &arguments, user, detached);
                let _ = File::from(failure_write).write_all(&(error as i32).to_ne_bytes());
                std::process::exit(127);
            }
            ForkResult::Parent { child } => {
                let _ = setpgid(child, child);
                Ok(Self {
                    name,
                    pid: child,
                    start: Some(File::from(hold_write)),
                    failure: File::from(failure_read),
                    has_terminal: !detached && give_terminal(child),
                })
            }
        }
    }

    /// Its process.
    pub fn tgid(&self) -> Tgid {
        Tgid(self.pid.as_raw() as u32)
    }

    /// Lets it run, recorded into the folder `run`.
    ///
    /// # Errors
    ///
    /// It could not be executed after all.
    pub fn start(&mut self, run: &Path) -> Result<(), CommandError> {
        let run = run.canonicalize().unwrap_or_else(|_| run.to_owned());
        if let Some(mut start) = self.start.take() {
            let word = [run.as_os_str().as_bytes(), b"\0"].concat();
            start.write_all(&word).map_err(|error| CommandError::Start(self.name.clone(), error))?;
        }
        let mut errno = [0; 4];
        match self.failure.read(&mut errno) {
            Ok(4) => {
                let error = Errno::from_raw(i32::from_ne_bytes(errno));
                let _ = waitpid(self.pid, None);
                Err(match error {
                    Errno::ENOENT => CommandError::NotFound(self.name.clone()),
                    error => CommandError::NotExecutable(self.name.clone(), error.into()),
                })
            }
            _ => Ok(()),
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(self.pid, signal);
    }

    /// How it ended; `None` while it runs.
    pub fn try_wait(&self) -> Option<ExitStatus> {
        Self::status(waitpid(self.pid, Some(WaitPidFlag::WNOHANG)))
    }

    /// Waits for its end.
    pub fn wait(&self) -> Option<ExitStatus> {
        loop {
            match waitpid(self.pid, None) {
                Err(Errno::EINTR) => {}
                status => return Self::status(status),
            }
        }
    }

    fn status(status: nix::Result<WaitStatus>) -> Option<ExitStatus> {
        match status {
            Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw(code << 8)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
            _ => None,
        }
    }
}

impl Drop for HeldCommand {
    fn drop(&mut self) {
        if self.start.is_some() {
            // Never started: it waits for a word that will not come.
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = waitpid(self.pid, None);
        }
        if self.has_terminal {
            let _ = tcsetpgrp(io::stdin().as_fd(), getpgrp());
        }
    }
}

/// Makes the child's group the terminal's, where hostprof has the terminal.
fn give_terminal(child: Pid) -> bool {
    let stdin = io::stdin();
    if nix::unistd::tcgetpgrp(stdin.as_fd()) != Ok(getpgrp()) {
        return false;
    }
    // SAFETY: `SIG_IGN` runs no code. A background group that gives the terminal away is sent SIGTTOU.
    let _ = unsafe { signal(Signal::SIGTTOU, SigHandler::SigIgn) };
    tcsetpgrp(stdin.as_fd(), child).is_ok()
}

/// The child's part: waits for the word, a path and a zero, then becomes the command. Returns only when that fails.
fn child(
    hold: File,
    path: &CString,
    arguments: &[CString],
    user: Option<(Uid, Gid)>,
    detached: bool,
) -> Errno {
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    let mut word = Vec::new();
    // Without a word hostprof is gone: there is nothing to run for.
    if BufReader::new(hold).read_until(0, &mut word).is_err() || word.pop() != Some(0) {
        std::process::exit(125);
    }
    if detached && let Err(error) = leave_terminal(&OsString::from_vec(word.clone())) {
        return error;
    }
    // SAFETY: the child has one thread.
    unsafe { std::env::set_var(RUN_VARIABLE, OsString::from_vec(word)) };
    // SAFETY: restoring default dispositions runs no code.
    unsafe {
        let _ = signal(Signal::SIGPIPE, SigHandler::SigDfl);
        let _ = signal(Signal::SIGTTOU, SigHandler::SigDfl);
    }
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    if let Some((uid, gid)) = user {
        let became =
            setgroups(&[gid]).and_then(|()| setresgid(gid, gid, gid)).and_then(|()| setresuid(uid, uid, uid));
        if let Err(error) = became {
            return error;
        }
    }
    match execv(path, arguments) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

/// Reads from nothing and writes to a file in the run folder.
fn leave_terminal(run: &OsString) -> Result<(), Errno> {
    let failed = |error: io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
    let nothing = File::open("/dev/null").map_err(failed)?;
    let log = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(Path::new(run).join(COMMAND_LOG))
        .map_err(failed)?;
    dup2_stdin(nothing)?;
    dup2_stdout(&log)?;
    dup2_stderr(log)
}

/// Finds a command as a shell does.
fn resolve(name: &str) -> Result<PathBuf, CommandError> {
    let executable = |path: &Path| {
        path.is_file() && path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match path.metadata() {
            Err(_) => Err(CommandError::NotFound(name.to_owned())),
            Ok(_) if executable(&path) => Ok(path),
            Ok(_) => {
                Err(CommandError::NotExecutable(name.to_owned(), io::ErrorKind::PermissionDenied.into()))
            }
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| executable(candidate))
        .ok_or_else(|| CommandError::NotFound(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_as_a_shell_finds_them() {
        assert!(resolve("sh").is_ok());
        assert!(matches!(resolve("no-such-command-here"), Err(CommandError::NotFound(_))));
        assert_eq!(resolve("/etc/passwd").err().map(|error| error.status()), Some(126));
        assert_eq!(resolve("/no/such/file").err().map(|error| error.status()), Some(127));
    }
}
