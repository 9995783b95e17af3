//! Steps of an engine: the real binary probes a program that stands in for llama.cpp, with the functions in a library or in
//! itself, and its rows and counts tell what the program counted.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use hostprof::table::{HistogramRow, StepKind, StepRow};
use serde_json::Value;
use support::{Recorded, Recorder, example, poll};

/// The program under way, which waits where it is told to.
struct User(Child);

impl User {
    fn start(program: &PathBuf, steps: &[String]) -> Self {
        let mut command = Command::new(program);
        command.args(steps).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn go_on(&mut self) {
        writeln!(self.0.stdin.as_mut().unwrap()).unwrap();
    }

    fn attach(&self) -> Recorder {
        let pid = self.0.id().to_string();
        Recorder::start(&["--probe", "auto,engine", "--pid", &pid])
    }

    /// What it printed until its end.
    fn lines(&mut self) -> Vec<Value> {
        let lines = BufReader::new(self.0.stdout.take().unwrap()).lines();
        lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Records these steps of a program that has the functions itself, or of its library; yields what it said as well.
fn record_of(program: &PathBuf, library: Option<&PathBuf>, steps: &[&str]) -> (Recorded, Vec<Value>) {
    let mut all: Vec<String> = library.iter().map(|path| format!("open:{}", path.display())).collect();
    all.push("wait".to_owned());
    all.extend(steps.iter().map(|step| (*step).to_owned()));
    let mut user = User::start(program, &all);
    if let Some(library) = library {
        poll("the library", || {
            let maps = fs::read_to_string(format!("/proc/{}/maps", user.0.id())).ok()?;
            maps.contains(&*library.to_string_lossy()).then_some(())
        });
    }
    let recorder = user.attach();
    user.go_on();
    let lines = user.lines();
    (recorder.finish().checked(), lines)
}

fn record(steps: &[&str]) -> (Recorded, Vec<Value>) {
    record_of(&example("fake_llama_user"), Some(&example("libfake_llama.so")), steps)
}

fn steps(recorded: &Recorded, name: &str) -> Vec<StepRow> {
    let mut rows = recorded.rows::<StepRow>();
    rows.retain(|row| row.name == name);
    rows
}

/// Kind, tokens and sequences of the calls of a name.
fn batches(recorded: &Recorded, name: &str) -> Vec<(StepKind, Option<u32>, Option<u32>)> {
    steps(recorded, name).iter().map(|row| (row.kind, row.tokens, row.sequences)).collect()
}

#[test]
fn every_step_is_a_row_as_long_as_the_program_says() {
    let (recorded, lines) = record(&["decode:3000:4:4:100000", "tokenise:500:12", "sample:2000:0:0:20000"]);
    let rows = steps(&recorded, "llama_decode");
    assert_eq!(rows.len(), 3000);
    assert!(rows.iter().all(|row| row.ret == Some(0) && !row.open_end && row.dur_ns >= 100_000));
    let told: u64 = rows.iter().map(|row| row.dur_ns).sum();
    let own = lines.iter().find(|line| line["step"].as_str().is_some_and(|step| step.starts_with("decode")));
    let own = own.unwrap()["ns"].as_u64().unwrap();
    assert!(told.abs_diff(own) * 20 <= own, "the rows tell {told} ns, the program {own} ns");
    let tokenised = steps(&recorded, "llama_tokenize");
    assert_eq!(tokenised.len(), 500);
    assert!(tokenised.iter().all(|row| row.tokens == Some(12) && row.kind == StepKind::Tokenise));
    assert_eq!(steps(&recorded, "llama_sampler_sample").len(), 2000);
    assert_eq!(recorded.dropped(), 0);
    let counted = |name: &str| -> u64 {
        let rows = recorded.rows::<HistogramRow>();
        let of = |row: &&HistogramRow| row.name == "engine" && row.key.ends_with(&format!(" {name}"));
        rows.iter().filter(of).map(|row| row.count).sum()
    };
    assert_eq!(
        ["llama_decode", "llama_tokenize", "llama_sampler_sample"].map(counted),
        [3000, 500, 2000],
        "as the kernel half counted them"
    );
    let report = recorded.report();
    let decode = report["steps"].as_array().unwrap().iter().find(|of| of["kind"] == "decode").unwrap();
    assert_eq!((decode["calls"].as_u64(), decode["tokens"].as_u64()), (Some(3000), Some(12_000)));
    assert_eq!(decode["sequences_mean"].as_f64(), Some(4.0));
    assert!(recorded.report_text().contains("ENGINE STEPS"));
}

#[test]
fn a_batch_is_told_by_its_tokens_and_sequences_however_it_is_laid_out() {
    let (recorded, _) = record(&[
        "decode:1:3:3",
        "decode:1:512:1",
        "decode:1:7:4",
        "decode:1:513:1",
        "decode:1:65:65",
        "one:1:9",
        "one:1:1",
        "encode:1:5:1",
        "process:1:3:3",
        "process:1:512:2",
        "process:1:9:8",
        "process:1:2000:4",
        "process_encode:1:6:2",
        "odd:1:6",
    ]);
    assert_eq!(
        batches(&recorded, "llama_decode"),
        [
            (StepKind::Decode, Some(3), Some(3)),
            (StepKind::Prefill, Some(512), Some(1)),
            (StepKind::Mixed, Some(7), Some(4)),
            (StepKind::Batch, Some(513), None),
            (StepKind::Batch, Some(65), None),
            (StepKind::Prefill, Some(9), Some(1)),
            (StepKind::Decode, Some(1), Some(1)),
        ]
    );
    assert_eq!(batches(&recorded, "llama_encode"), [(StepKind::Encode, Some(5), Some(1))]);
    assert_eq!(
        batches(&recorded, "llama_process"),
        [
            (StepKind::Decode, Some(3), Some(3)),
            (StepKind::Prefill, Some(512), Some(2)),
            (StepKind::Mixed, Some(9), Some(8)),
            (StepKind::Batch, Some(2000), None),
            (StepKind::Encode, Some(6), Some(2)),
            (StepKind::Batch, None, None),
        ]
    );
}

#[test]
fn a_program_that_has_the_functions_itself_is_probed_unless_it_is_stripped() {
    let own = example("fake_llama_user");
    let (recorded, _) = record_of(&own, None, &["decode:100:2:2", "tokenise:10:3"]);
    assert_eq!((steps(&recorded, "llama_decode").len(), steps(&recorded, "llama_tokenize").len()), (100, 10));
    let notes = recorded.notes("engine");
    assert!(
        notes.contains("not seen, since no mapped file has their symbols: ")
            && notes.contains("update_slots")
    );

    let folder = tempfile::tempdir().unwrap();
    let stripped = folder.path().join("stripped");
    fs::copy(&own, &stripped).unwrap();
    assert!(Command::new("strip").arg("--strip-all").arg(&stripped).status().expect("run strip").success());
    let (recorded, _) = record_of(&stripped, None, &["decode:100:2:2"]);
    assert!(recorded.rows::<StepRow>().is_empty());
    assert!(recorded.stderr.contains("no mapped file has llama.cpp's functions"), "{}", recorded.stderr);
    assert!(recorded.stderr.contains("not stripped") && recorded.notes("engine").contains("not stripped"));
}

#[test]
fn a_library_that_comes_later_is_probed_and_the_time_before_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let stripped = folder.path().join("stripped");
    fs::copy(example("fake_llama_user"), &stripped).unwrap();
    assert!(Command::new("strip").arg("--strip-all").arg(&stripped).status().expect("run strip").success());
    let open = format!("open:{}", example("libfake_llama.so").display());
    let all = ["wait", &open, "wait", "decode:100:2:2"].map(str::to_owned);
    let mut user = User::start(&stripped, &all);
    let recorder = user.attach();
    user.go_on();
    poll("the library to be probed", || {
        recorder.stderr().contains("mapped it after the start; its calls until then").then_some(())
    });
    user.go_on();
    let recorded = recorder.finish().checked();
    assert_eq!(steps(&recorded, "llama_decode").len(), 100);
}

#[test]
fn a_step_that_is_open_at_the_end_is_a_row_with_what_is_known() {
    let mut user =
        User::start(&example("fake_llama_user"), &["wait", "decode:1:3:3:60000000000"].map(str::to_owned));
    let recorder = user.attach();
    user.go_on();
    std::thread::sleep(std::time::Duration::from_secs(1));
    let recorded = recorder.interrupt().checked();
    let rows = steps(&recorded, "llama_decode");
    assert_eq!(rows.len(), 1);
    assert!(rows[0].open_end && rows[0].ret.is_none() && rows[0].tokens == Some(3), "{:?}", rows[0]);
    assert!((500_000_000..20_000_000_000).contains(&rows[0].dur_ns), "{:?}", rows[0]);
}
