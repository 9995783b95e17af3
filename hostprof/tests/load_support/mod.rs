//! A stub server under way, and `hostprof load` against it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use hostprof::load::{LogHeader, LogRow};
use serde_json::Value;

/// The program under test.
fn hostprof_path() -> PathBuf {
    env::var_os("HOSTPROF_BIN").map_or_else(|| env!("CARGO_BIN_EXE_hostprof").into(), PathBuf::from)
}

/// The stub server, which lies beside `calibration` or beside hostprof.
fn stub_path() -> PathBuf {
    let beside = env::var_os("CALIBRATION_BIN").map_or_else(hostprof_path, PathBuf::from);
    let path = beside.with_file_name("stub-server");
    assert!(path.exists(), "find {}: not built (cargo build --release -p calibration)", path.display());
    path
}

/// `hostprof load`, without the variables of whoever runs the tests.
pub fn load() -> Command {
    let mut command = Command::new(hostprof_path());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if ["HOSTPROF_", "SUDO_", "OPENAI_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").arg("load");
    command
}

/// A stub server; ends when dropped.
pub struct Stub {
    child: Child,
    port: u16,
}

impl Stub {
    /// One with these options.
    pub fn start(options: &str) -> Self {
        let mut child = Command::new(stub_path())
            .args(options.split_whitespace())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the stub server");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("read the stub server's first line");
        Self { child, port: ready["port"].as_u64().unwrap() as u16 }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A number that it tells.
    pub fn stat(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"GET /stats HTTP/1.1\r\n\r\n").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let stats: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        stats[name].as_u64().unwrap()
    }

    /// `hostprof load` against it, with no trial request.
    pub fn load(&self, options: &str) -> Command {
        let mut command = load();
        command.args(["--url", &self.url(), "--model", "stub", "--prompt", "ids", "--json"]);
        command.args(options.split_whitespace());
        command
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a load came to.
#[derive(Debug)]
pub struct Loaded {
    /// Its exit status.
    pub status: Option<i32>,
    /// Its summary; null where it printed none.
    pub summary: Value,
    /// What it said beside.
    pub stderr: String,
}

impl Loaded {
    /// From what it printed.
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code(),
            summary: serde_json::from_slice(&output.stdout).unwrap_or_default(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it to its end.
    pub fn run(command: &mut Command) -> Self {
        Self::of(&command.output().expect("run hostprof load"))
    }

    /// Failures of a kind.
    pub fn failures(&self, kind: &str) -> u64 {
        let of_kind = |errors: &&Value| errors["kind"] == kind;
        let errors = self.summary["errors"].as_array().unwrap();
        errors.iter().find(of_kind).map_or(0, |errors| errors["count"].as_u64().unwrap())
    }

    /// A number of the summary.
    pub fn number(&self, name: &str) -> u64 {
        self.summary[name].as_u64().unwrap_or_else(|| panic!("no number {name}: {self:?}"))
    }
}

/// A log, read back.
pub fn log(path: &Path) -> (LogHeader, Vec<LogRow>) {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header = serde_json::from_str(lines.next().unwrap()).unwrap();
    (header, lines.map(|line| serde_json::from_str(line).unwrap()).collect())
}
