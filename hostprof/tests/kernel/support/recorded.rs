//! A recording that is over: its rows, beside what the workload in it said.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Output},
};

use hostprof::{
    recording::{Config, EndReason, Recording},
    table::{LossRow, OffCpuRow, PageFaultRow, State, Table, ThreadRow},
};
use serde_json::Value;
use tempfile::TempDir;

use super::{Recorder, hostprof, workload::json_lines, workload_path};

/// What hostprof made and printed.
pub struct Recorded {
    pub run: PathBuf,
    pub status: ExitStatus,
    pub stderr: String,
    /// The lines of the workload, where it was hostprof's command.
    pub lines: Vec<Value>,
    recording: Recording,
    _scratch: TempDir,
}

/// Records a workload from its start to its end: `hostprof record -- workload ARGUMENTS`. It must pass.
pub fn record(arguments: &[&str]) -> Recorded {
    record_with(&[], arguments)
}

/// The same with arguments for hostprof.
pub fn record_with(options: &[&str], arguments: &[&str]) -> Recorded {
    let mut all: Vec<OsString> = options.iter().map(OsString::from).collect();
    all.extend(["--".into(), workload_path().into_os_string()]);
    all.extend(arguments.iter().map(OsString::from));
    let recorded = Recorder::spawn(&all).finish();
    assert!(recorded.status.success(), "{}: {}", recorded.status, recorded.stderr);
    recorded
}

impl Recorded {
    /// Opens the run that the last line of the output names.
    pub fn new(output: &Output, scratch: TempDir) -> Self {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = stdout.lines().last().unwrap_or_default();
        assert!(last.contains("run_"), "hostprof named no run: {stdout}{stderr}");
        let run = PathBuf::from(last);
        let recording = Recording::open(&run).expect("open the recording");
        let lines = json_lines(&stdout);
        Self { run, status: output.status, stderr, lines, recording, _scratch: scratch }
    }

    pub fn config(&self) -> &Config {
        self.recording.config()
    }

    /// How it ended.
    pub fn reason(&self) -> &EndReason {
        &self.config().ended.as_ref().expect("an end").reason
    }

    /// Holds the recording against the kernel's counters.
    pub fn checked(self) -> Self {
        check(&self.run);
        self
    }

    pub fn rows<T: Table>(&self) -> Vec<T> {
        rows(&self.recording)
    }

    /// Every episode of a thread, or of all threads that had the tid.
    pub fn off_cpu(&self, tid: u32) -> Vec<OffCpuRow> {
        let mut rows = self.rows::<OffCpuRow>();
        rows.retain(|row| row.tid == tid);
        rows
    }

    pub fn in_state(&self, tid: u32, state: State) -> Vec<OffCpuRow> {
        let mut rows = self.off_cpu(tid);
        rows.retain(|row| row.state == state);
        rows
    }

    /// The one life of a thread.
    pub fn thread(&self, tid: u32) -> ThreadRow {
        let mut rows = self.rows::<ThreadRow>();
        rows.retain(|row| row.tid == tid);
        assert_eq!(rows.len(), 1, "lives of thread {tid}: {rows:#?}");
        rows.remove(0)
    }

    pub fn page_faults(&self, tid: u32) -> Vec<PageFaultRow> {
        let mut rows = self.rows::<PageFaultRow>();
        rows.retain(|row| row.tid == tid);
        rows
    }

    /// Looks for a text in every byte as it lies there, and in every table as text, since Parquet is compressed.
    pub fn assert_nowhere(&self, secret: &str) {
        let text = tempfile::tempdir().expect("make a folder");
        let mut export = hostprof();
        export.args(["export", "--to", "json", "-o"]).arg(text.path()).arg(&self.run);
        assert!(export.status().expect("run hostprof").success());
        let tables = fs::read_dir(text.path()).expect("read a folder").count();
        assert!(tables >= 5, "{tables} tables were read");
        for path in [self.run.as_path(), text.path()].into_iter().flat_map(files) {
            let bytes = fs::read(&path).expect("read a file");
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }

    /// The notes of a probe, which is on.
    pub fn notes(&self, probe: &str) -> String {
        let probe = self.config().probes.iter().find(|known| known.name == probe).expect("the probe");
        assert!(probe.on, "{}: {}", probe.name, probe.reason);
        probe.notes.join("\n")
    }

    pub fn dropped(&self) -> u64 {
        self.rows::<LossRow>().iter().map(|row| row.dropped).sum()
    }

    /// Why the workload could not run here, if it said so.
    pub fn unsupported(&self) -> Option<&str> {
        self.lines.iter().find_map(|line| line["unsupported"].as_str())
    }

    pub fn ready(&self) -> &Value {
        line(&self.lines, "ready")
    }

    /// The workload's last line.
    pub fn done(&self) -> &Value {
        line(&self.lines, "done")
    }

    pub fn usage(&self, name: &str) -> &Value {
        usage(&self.lines, name)
    }

    pub fn report(&self) -> Value {
        let output = hostprof().arg("report").arg("--json").arg(&self.run).output().expect("run hostprof");
        assert!(output.status.success(), "report: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("a JSON object")
    }

    pub fn report_text(&self) -> String {
        let output = hostprof().arg("report").arg(&self.run).output().expect("run hostprof");
        assert!(output.status.success(), "report: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

/// Runs `hostprof check`, which must pass.
pub fn check<S: AsRef<OsStr>>(run: S) {
    let output = hostprof().arg("check").arg(run.as_ref()).output().expect("run hostprof");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "check: {}\n{}{}kept as {}",
        output.status,
        text(&output.stdout),
        text(&output.stderr),
        keep(Path::new(run.as_ref())).display(),
    );
}

pub fn rows<T: Table>(recording: &Recording) -> Vec<T> {
    let batches = recording.rows::<T>().expect("read a table");
    batches.flat_map(|batch| batch.expect("read a part")).collect()
}

/// Opens a run that hostprof did not name, because it was killed.
pub fn open(run: &Path) -> Recording {
    Recording::open(run).expect("open the recording")
}

/// The first line with a field.
pub fn line<'a>(lines: &'a [Value], field: &str) -> &'a Value {
    lines
        .iter()
        .find(|line| !line[field].is_null())
        .unwrap_or_else(|| panic!("no line has {field}: {lines:#?}"))
}

/// What a thread's own counters were at the end of its work.
pub fn usage<'a>(lines: &'a [Value], name: &str) -> &'a Value {
    let all = lines.iter().map(|line| &line["usage"]);
    all.into_iter().find(|usage| usage["name"] == name).unwrap_or_else(|| panic!("no usage of {name}"))
}

pub fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {value}"))
}

/// Whole time of the rows, nanoseconds.
pub fn blocked_ns(rows: &[OffCpuRow]) -> u64 {
    rows.iter().map(|row| row.blocked_ns).sum()
}

pub fn off_cpu_ns(rows: &[OffCpuRow]) -> u64 {
    rows.iter().map(|row| row.blocked_ns + row.runqueue_ns).sum()
}

/// A copy of a run that failed, since the run's folder goes with the test.
fn keep(run: &Path) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("failed_{}", std::process::id()));
    let copied = std::process::Command::new("cp").arg("-r").arg(run).arg(&kept).status();
    assert!(copied.is_ok_and(|status| status.success()), "keep {}", run.display());
    kept
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .expect("read a folder")
        .map(|entry| entry.expect("read a folder").path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}
