//! `kill -9` leaves whole parts and nothing that reads as one but is not.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod sink_support;

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use hostprof::{
    recording::{Recording, RunFolder},
    sink::{ParquetSink, Settings, Sink, Writer},
    table::OffCpuRow,
};
use sink_support::{config, read, row};

const CHILD: &str = "HOSTPROF_TEST_KILLED";

/// What the child does until it is killed.
fn record(out: &Path) -> ! {
    let folder = Arc::new(RunFolder::create(out).unwrap());
    config().write(&folder).unwrap();
    let settings = Settings { part_interval: Duration::from_millis(20), ..Settings::default() };
    let sink = ParquetSink::new(folder, settings);
    let mut writer = sink.writer::<OffCpuRow>().unwrap();
    for time in 0.. {
        writer.push(row(time)).unwrap();
        if time % 1000 == 0 {
            writer.tick().unwrap();
        }
    }
    unreachable!()
}

#[test]
fn a_killed_recorder_leaves_only_whole_parts() {
    if let Some(out) = env::var_os(CHILD) {
        record(Path::new(&out));
    }
    let out = tempfile::tempdir().unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_killed_recorder_leaves_only_whole_parts"])
        .env(CHILD, out.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let run = out.path().join("run_001");
    let began = Instant::now();
    while Recording::open(&run).map_or(0, |recording| recording.parts::<OffCpuRow>().unwrap().len()) < 3 {
        assert!(began.elapsed() < Duration::from_secs(20), "no parts");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(Recording::open(&run).unwrap().goes_on());
    child.kill().unwrap();
    child.wait().unwrap();

    let recording = Recording::open(&run).unwrap();
    assert!(!recording.goes_on());
    assert_eq!(recording.config().ended, None);
    let rows = read::<OffCpuRow>(&recording);
    assert!(!rows.is_empty());
    assert!(rows.iter().zip(0..).all(|(found, time)| *found == row(time)));
    assert!(recording.incomplete_parts().unwrap().len() <= 2);
}
