//! The notebooks, executed on a recording made here: planted-server under load.
//!
//! What they need comes from PyPI into the target directory. Where that cannot be had they are named as not run, with
//! what is missing.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{
    process::{self, Bounded, End},
    setup::note,
    workspace::Workspace,
};

/// Some 100 MB are downloaded, once.
const INSTALL_LIMIT: Duration = Duration::from_mins(5);
const RECORD_LIMIT: Duration = Duration::from_mins(1);
const EXECUTE_LIMIT: Duration = Duration::from_mins(3);
const TICK: Duration = Duration::from_millis(20);

/// How the notebooks went.
pub enum Outcome {
    Passed(u64),
    Failed(String),
    /// Something of another's is missing.
    NotRun(String),
}

/// Why the packages are not there.
enum Missing {
    /// Python, its venv, the network.
    Means(String),
    /// The requirements are at fault.
    Wrong(String),
}

/// Runs all of them.
pub fn run(workspace: &Workspace) -> Outcome {
    let venv = match provide(workspace) {
        Ok(venv) => venv,
        Err(Missing::Means(what)) => return Outcome::NotRun(what),
        Err(Missing::Wrong(what)) => return Outcome::Failed(what),
    };
    match record(workspace).and_then(|run| execute(workspace, &venv, &run)) {
        Ok(count) => Outcome::Passed(count),
        Err(err) => Outcome::Failed(format!("{err:#}")),
    }
}

/// A virtual environment with what the notebooks require.
fn provide(workspace: &Workspace) -> Result<PathBuf, Missing> {
    let file = workspace.root.join("notebooks/requirements.txt");
    let wanted =
        fs::read_to_string(&file).map_err(|err| Missing::Wrong(format!("read {}: {err}", file.display())))?;
    let venv = workspace.tools().join("notebooks");
    let mark = venv.join("installed");
    if fs::read_to_string(&mark).ok().as_ref() == Some(&wanted) {
        return Ok(venv);
    }
    note(&format!("pip install -r notebooks/requirements.txt (at most {} s)", INSTALL_LIMIT.as_secs()));
    let ask = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    if let Err(err) = process::output(Command::new("python3").args(["-c", ask])) {
        return Err(Missing::Means(format!(
            "find python3 of 3.11 or later with venv: {err:#} (Debian and Ubuntu: sudo apt-get install python3-venv)"
        )));
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&venv);
    process::output(&mut make).map_err(|err| Missing::Means(format!("make a venv: {err:#}")))?;
    install(&venv, &file)?;
    fs::write(&mark, wanted).map_err(|err| Missing::Wrong(format!("write {}: {err}", mark.display())))?;
    Ok(venv)
}

fn install(venv: &Path, requirements: &Path) -> Result<(), Missing> {
    let log = venv.join("pip.log");
    let mut pip = Command::new("timeout");
    pip.arg(INSTALL_LIMIT.as_secs().to_string()).arg(venv.join("bin/pip"));
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "1",
        "--timeout",
        "15",
        "--log",
    ]);
    pip.arg(&log).arg("-r").arg(requirements);
    let Err(err) = process::output(&mut pip) else { return Ok(()) };
    // Without a network pip says in the end that no version matches, as it does of a version that is not there.
    let said = fs::read_to_string(&log).unwrap_or_default();
    let unreachable = ["Retrying (", "ConnectionError", "ConnectTimeoutError", "ProxyError"];
    if unreachable.iter().any(|word| said.contains(word)) || said.is_empty() {
        return Err(Missing::Means(format!("reach PyPI: {err:#}")));
    }
    Err(Missing::Wrong(format!("{err:#} (are the versions in notebooks/requirements.txt there?)")))
}

/// A server that ends when its input does.
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    port: u16,
}

#[derive(Deserialize)]
struct Ready {
    port: u16,
}

impl Server {
    fn start(program: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .args(["--step-us", "2000", "--chunk-us", "2000"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("run {}", program.display()))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).context("read what planted-server says")?;
        }
        let input = child.stdin.take();
        let ready: Ready = serde_json::from_str(&line).context("start planted-server")?;
        Ok(Self { child, input, port: ready.port })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// Records it under load; the run folder.
fn record(workspace: &Workspace) -> Result<PathBuf> {
    process::become_root()?;
    let folder = workspace.target.join("notebooks");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let server = Server::start(&workspace.release("planted-server"))?;
    let hostprof = workspace.release("hostprof");
    let mut record = process::as_root(&hostprof.display().to_string());
    record.args([
        "record",
        "--probe",
        "auto,http",
        "--duration",
        "4s",
        "--pid",
        &server.child.id().to_string(),
        "-o",
    ]);
    record.arg(&folder).stdout(Stdio::null());
    let recorder = Bounded::start(&mut record, RECORD_LIMIT)?;
    let run = folder.join("run_001");
    let until = Instant::now() + RECORD_LIMIT;
    while !fs::read_to_string(run.join("config.json")).is_ok_and(|config| config.contains("\"started\"")) {
        if Instant::now() > until {
            drop(server);
            recorder.wait()?;
            bail!("record planted-server: it did not start");
        }
        thread::sleep(TICK);
    }
    let url = format!("http://127.0.0.1:{}", server.port);
    let mut load = Command::new(&hostprof);
    load.args(["load", "--url", &url, "--model", "planted", "--prompt", "text", "--input-tokens", "64"]);
    load.args(["--output-tokens", "32", "--concurrency", "3", "--duration", "2500ms"]);
    process::output(&mut load)?;
    recorder.wait().and_then(End::into_result).context("record planted-server")?;
    Ok(run)
}

/// Executes each on the run. How many there are.
fn execute(workspace: &Workspace, venv: &Path, run: &Path) -> Result<u64> {
    let folder = workspace.root.join("notebooks");
    let mut count = 0;
    for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
        let notebook = entry?.path();
        if notebook.extension().is_none_or(|extension| extension != "ipynb") {
            continue;
        }
        count += 1;
        let mut jupyter = Command::new("timeout");
        jupyter.arg(EXECUTE_LIMIT.as_secs().to_string()).arg(venv.join("bin/jupyter-execute")).arg(&notebook);
        // Nothing of it is left in the user's home.
        jupyter
            .env("HOSTPROF_RUN", run)
            .env("IPYTHONDIR", venv.join("ipython"))
            .env("JUPYTER_DATA_DIR", venv.join("data"));
        jupyter.env("MPLCONFIGDIR", venv.join("matplotlib"));
        let output = jupyter.output().context("run jupyter-execute")?;
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            bail!("execute {}: {} (above)", notebook.display(), output.status);
        }
    }
    if count == 0 {
        bail!("find notebooks: none in {}", folder.display());
    }
    Ok(count)
}
