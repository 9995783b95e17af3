//! Tables as CSV and JSON: every row, absent apart from empty and zero, in memory that does not grow.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod sink_support;

use std::{
    fs,
    io::{self, Write},
};

use hostprof::{
    export::{ExportError, Format, export},
    sink::Settings,
    table::{LossRow, OffCpuRow, ThreadRow},
};
use sink_support::{Run, read, streams};

fn exported(run: &Run, table: &str, format: Format) -> String {
    let mut text = Vec::new();
    export(&run.open(), table, format, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn json_reads_back_as_the_same_rows() {
    let run = Run::new(Settings { part_bytes: 100_000, ..Settings::default() });
    run.write(streams::ping_pong(50_000));
    let rows = read::<OffCpuRow>(&run.open());
    assert!(run.open().parts::<OffCpuRow>().unwrap().len() > 1);
    let text = exported(&run, "off_cpu", Format::Json);
    let back: Vec<OffCpuRow> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(back == rows);
}

#[test]
fn absent_is_null_in_json_and_empty_in_csv_and_zero_is_zero() {
    let run = Run::new(Settings::default());
    run.write([ThreadRow { tid: 7, comm: "a,\"b\"".into(), nvcsw_first: Some(0), ..ThreadRow::default() }]);
    let json: serde_json::Value = serde_json::from_str(&exported(&run, "thread", Format::Json)).unwrap();
    assert_eq!(json["nvcsw_first"], 0);
    assert!(json.as_object().unwrap().contains_key("nvcsw_last") && json["nvcsw_last"].is_null());
    let csv = exported(&run, "thread", Format::Csv);
    let (names, row) = csv.split_once('\n').unwrap();
    assert!(names.starts_with("tid,tgid,ns_tid,parent_tid,comm,exe,"));
    assert!(row.starts_with("7,0,,,\"a,\"\"b\"\"\",,"), "{row}");
    let after_last = row.trim_end().rsplit(',').next();
    assert_eq!(after_last, Some("0"), "lost_switches");
}

#[test]
fn a_table_of_no_row_has_its_columns() {
    let run = Run::new(Settings::default());
    run.write::<LossRow>([]);
    assert_eq!(run.open().tables().unwrap(), ["loss"]);
    assert_eq!(exported(&run, "loss", Format::Csv), "start_mono_ns,end_mono_ns,probe,cpu,dropped,reason\n");
    assert_eq!(exported(&run, "loss", Format::Json), "");
}

#[test]
fn a_table_that_is_not_there_is_told_with_those_that_are() {
    let run = Run::new(Settings::default());
    run.write([sink_support::row(1)]);
    for name in ["thread", "../off_cpu", ""] {
        let error = export(&run.open(), name, Format::Csv, io::sink()).unwrap_err();
        assert_eq!(error.to_string(), format!("export table {name}: not in this recording (it has off_cpu)"));
    }
}

#[test]
fn a_damaged_part_is_named() {
    let run = Run::new(Settings::default());
    run.write(streams::ping_pong(1000));
    fs::write(run.path().join("off_cpu/part-00001.parquet"), "PAR1").unwrap();
    let mut text = Vec::new();
    let error = export(&run.open(), "off_cpu", Format::Csv, &mut text).unwrap_err();
    assert!(matches!(error, ExportError::Read(_)));
    assert!(error.to_string().contains("part-00001.parquet: truncated or damaged"), "{error}");
    // The header and what was whole.
    assert_eq!(String::from_utf8(text).unwrap().lines().count(), 1001);
}

/// A disk that fills, or a reader that leaves.
struct Full {
    room: usize,
    kind: io::ErrorKind,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(self.kind.into());
        }
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_takes_no_more_is_told_by_its_own_kind() {
    let run = Run::new(Settings::default());
    run.write(streams::ping_pong(10_000));
    for format in [Format::Csv, Format::Json] {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::BrokenPipe] {
            let error = export(&run.open(), "off_cpu", format, Full { room: 100_000, kind }).unwrap_err();
            assert!(
                matches!(&error, ExportError::Write { source, .. } if source.kind() == kind),
                "{format:?}: {error}"
            );
        }
    }
}
