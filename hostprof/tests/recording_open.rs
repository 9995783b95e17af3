//! Opening recordings, good and bad.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod sink_support;

use std::fs;

use hostprof::{
    recording::{Config, EndReason, Moment, Recording, RecordingError, config::Ended},
    sink::Settings,
    table::{LossRow, OffCpuRow, SCHEMA_VERSION},
    units::{MonoNs, WallNs},
};
use sink_support::{Run, config, read, row, streams};

#[test]
fn the_configuration_reads_back_as_written() {
    let run = Run::new(Settings::default());
    let ended = Config {
        ended: Some(Ended {
            at: Moment::new(WallNs(1_767_225_660_000_000_000), MonoNs(86_460_000_000_000)),
            reason: EndReason::Error("attach: operation not permitted".into()),
        }),
        command: vec!["hostprof".into(), "record".into()],
        exit_status: Some(137),
        ..config()
    };
    assert!(run.open().goes_on());
    ended.write(&run.folder).unwrap();
    assert_eq!(*run.open().config(), ended);
    assert!(!run.open().goes_on());
}

#[test]
fn a_folder_that_is_no_run_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    for path in [path.clone(), format!("{path}/missing")] {
        let error = Recording::open(path.as_ref()).unwrap_err();
        assert!(matches!(error, RecordingError::NotRun(_)));
        assert_eq!(error.to_string(), format!("open {path}: not a run folder (no config.json)"));
    }
}

#[test]
fn a_configuration_that_cannot_be_read_says_how() {
    let run = Run::new(Settings::default());
    let path = run.path().display().to_string();
    let error = |text: &[u8]| {
        fs::write(run.path().join("config.json"), text).unwrap();
        Recording::open(run.path()).unwrap_err()
    };
    let whole = serde_json::to_vec(&config()).unwrap();
    for end in [0, 1, whole.len() / 2, whole.len() - 1] {
        let error = error(&whole[..end]);
        assert!(error.to_string().contains("config.json is truncated"), "{error}");
    }
    assert!(error(b"[]").to_string().contains("config.json is damaged"));
    let error = error(br#"{"schema_version":99,"started":"otherwise"}"#);
    assert!(matches!(error, RecordingError::NewerSchema { found: 99, .. }));
    assert_eq!(
        error.to_string(),
        format!("open {path}: needs hostprof with schema 99 or newer; this one reads {SCHEMA_VERSION}")
    );
}

#[test]
fn a_truncated_part_is_named_and_ends_the_reading() {
    let run = Run::new(Settings { part_bytes: 100_000, ..Settings::default() });
    run.write(streams::ping_pong(200_000));
    let recording = run.open();
    let part = recording.parts::<OffCpuRow>().unwrap()[1].path.clone();
    let whole = fs::read(&part).unwrap();
    for content in [&whole[..whole.len() - 1], &whole[..3], &[]] {
        fs::write(&part, content).unwrap();
        let batches: Vec<_> = recording.rows::<OffCpuRow>().unwrap().collect();
        let (last, good) = batches.split_last().unwrap();
        assert!(!good.is_empty() && good.iter().all(Result::is_ok));
        let error = last.as_ref().unwrap_err();
        assert!(matches!(error, RecordingError::Part { .. }), "{error:?}");
        assert!(error.to_string().contains("off_cpu/part-00001.parquet: truncated or damaged ("), "{error}");
    }
}

#[test]
fn a_part_of_another_table_is_told_by_its_columns() {
    let run = Run::new(Settings::default());
    run.write::<LossRow>([LossRow::default()]);
    fs::rename(run.path().join("loss"), run.path().join("off_cpu")).unwrap();
    let error = run.open().rows::<OffCpuRow>().unwrap().next().unwrap().unwrap_err();
    assert!(
        error.to_string().ends_with("part-00000.parquet: Schema error: column ts_mono_ns: missing"),
        "{error}"
    );
}

#[test]
fn parts_under_way_are_left_out_and_named() {
    let run = Run::new(Settings::default());
    run.write([row(1)]);
    let left = run.path().join("off_cpu/.part-00001.parquet.tmp");
    fs::write(&left, "PAR1").unwrap();
    fs::write(run.path().join("off_cpu/notes.txt"), "").unwrap();
    assert_eq!(read::<OffCpuRow>(&run.open()), [row(1)]);
    assert_eq!(run.open().incomplete_parts().unwrap(), [left]);
    assert_eq!(read::<LossRow>(&run.open()), []);
}
