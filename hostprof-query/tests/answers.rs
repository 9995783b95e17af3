//! The program itself, on a run folder of known rows.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use datafusion::{
    arrow::array::{ArrayRef, RecordBatch, StringArray, UInt32Array, UInt64Array},
    parquet::arrow::ArrowWriter,
};

/// A part of `off_cpu` with threads 0..rows, of which every third has no waker.
fn part(folder: &Path, number: u32, rows: u32) {
    fs::create_dir_all(folder).unwrap();
    let column = |name, array: ArrayRef| (name, array, true);
    let batch = RecordBatch::try_from_iter_with_nullable([
        column("tid", Arc::new(UInt32Array::from_iter_values(0..rows))),
        column("state", Arc::new(StringArray::from_iter_values((0..rows).map(|_| "futex")))),
        column(
            "blocked_ns",
            Arc::new(UInt64Array::from_iter_values((0..rows).map(|row| u64::from(row) * 10))),
        ),
        column(
            "waker_tid",
            Arc::new((0..rows).map(|row| (row % 3 != 0).then_some(row)).collect::<UInt32Array>()),
        ),
    ])
    .unwrap();
    let file = File::create(folder.join(format!("part-{number:05}.parquet"))).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Two parts of `off_cpu` of 4 and 3 rows, one of `thread`, and what is no table.
fn run() -> tempfile::TempDir {
    let run = tempfile::tempdir().unwrap();
    fs::write(run.path().join("config.json"), "{}").unwrap();
    part(&run.path().join("off_cpu"), 0, 4);
    part(&run.path().join("off_cpu"), 1, 3);
    fs::write(run.path().join("off_cpu/.part-00002.parquet.tmp"), "PAR1").unwrap();
    part(&run.path().join("thread"), 0, 1);
    fs::create_dir(run.path().join("loss")).unwrap();
    run
}

fn ask(run: &Path, sql: &str, format: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hostprof-query"))
        .args(["--format", format])
        .arg(run)
        .arg(sql)
        .output()
        .unwrap()
}

fn answer(sql: &str, format: &str) -> String {
    let run = run();
    let output = ask(run.path(), sql, format);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one line of a failure.
fn failure(run: &Path, sql: &str) -> String {
    let output = ask(run, sql, "csv");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn all_closed_parts_of_a_table_are_asked() {
    let sql = "SELECT count(*) AS n, sum(blocked_ns) AS ns, count(waker_tid) AS woken FROM off_cpu";
    assert_eq!(answer(sql, "csv"), "n,ns,woken\n7,90,4\n");
}

#[test]
fn tables_join() {
    let sql = "SELECT count(*) AS n FROM off_cpu JOIN thread USING (tid)";
    assert_eq!(answer(sql, "csv"), "n\n2\n");
}

#[test]
fn null_is_empty_in_a_table_and_in_csv_and_null_in_json() {
    let sql = "SELECT tid, state, waker_tid FROM off_cpu ORDER BY tid DESC, state LIMIT 2";
    assert_eq!(answer(sql, "csv"), "tid,state,waker_tid\n3,futex,\n2,futex,2\n");
    assert_eq!(
        answer(sql, "json"),
        "{\"tid\":3,\"state\":\"futex\",\"waker_tid\":null}\n{\"tid\":2,\"state\":\"futex\",\"waker_tid\":2}\n"
    );
    let table = "\
+-----+-------+-----------+
| tid | state | waker_tid |
+-----+-------+-----------+
| 3   | futex |           |
| 2   | futex | 2         |
+-----+-------+-----------+
";
    assert_eq!(answer(sql, "table"), table);
}

#[test]
fn an_answer_of_no_row_has_its_columns() {
    let sql = "SELECT tid, state FROM off_cpu WHERE state = 'poll'";
    assert_eq!(answer(sql, "csv"), "tid,state\n");
    assert!(answer(sql, "table").contains("| tid | state |"));
}

#[test]
fn a_table_ends_at_its_bound_and_csv_does_not() {
    let run = run();
    part(&run.path().join("off_cpu"), 2, 12_000);
    let table = ask(run.path(), "SELECT tid FROM off_cpu", "table");
    assert_eq!(String::from_utf8(table.stdout).unwrap().lines().count(), 10_000 + 4);
    assert!(String::from_utf8(table.stderr).unwrap().contains("the first 10000 rows"));
    let csv = ask(run.path(), "SELECT tid FROM off_cpu", "csv");
    assert_eq!(String::from_utf8(csv.stdout).unwrap().lines().count(), 12_007 + 1);
}

#[test]
fn show_tables_names_the_folders_with_parts() {
    let tables =
        answer("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'", "csv");
    let mut lines: Vec<_> = tables.lines().skip(1).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["off_cpu", "thread"]);
    assert!(answer("SHOW TABLES", "table").contains("off_cpu"));
}

#[test]
fn a_wrong_query_is_told_in_a_line_with_the_tables() {
    let run = run();
    for (sql, what) in [
        ("SELECT * FROM offcpu", "offcpu"),
        ("SELECT blocked FROM off_cpu", "blocked"),
        ("SELEC 1", "SELEC"),
        ("SELECT 1 /", "Expected"),
    ] {
        let text = failure(run.path(), sql);
        assert!(text.starts_with("hostprof: plan query: ") && text.contains(what), "{text}");
        assert!(text.ends_with("(tables: off_cpu, thread)\n"), "{text}");
    }
}

#[test]
fn nothing_but_reading_is_done() {
    let run = run();
    let target = run.path().join("copy.csv");
    for sql in [
        format!("COPY off_cpu TO '{}'", target.display()),
        "CREATE TABLE t AS SELECT * FROM off_cpu".to_owned(),
        "DROP TABLE off_cpu".to_owned(),
        "SET datafusion.execution.batch_size = 1".to_owned(),
    ] {
        assert!(failure(run.path(), &sql).contains("not supported"), "{sql}");
    }
    assert!(!target.exists());
}

#[test]
fn what_is_no_run_folder_or_has_no_rows_yet_says_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(failure(folder.path(), "SELECT 1").ends_with("not a run folder (no config.json)\n"));
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    assert!(failure(folder.path(), "SELECT 1").ends_with("no table has a part yet\n"));
}

#[test]
fn a_damaged_part_is_named() {
    let run = run();
    let damaged = run.path().join("off_cpu/part-00001.parquet");
    fs::write(&damaged, "PAR1").unwrap();
    let text = failure(run.path(), "SELECT sum(blocked_ns) FROM off_cpu");
    assert!(text.contains("off_cpu"), "{text}");
}

#[test]
fn a_reader_that_has_read_enough_ends_it_quietly() {
    let run = run();
    part(&run.path().join("off_cpu"), 2, 200_000);
    let script = format!(
        "set -o pipefail; {} --format csv {} 'SELECT * FROM off_cpu' | head -n 1",
        env!("CARGO_BIN_EXE_hostprof-query"),
        run.path().display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(output.stdout, b"tid,state,blocked_ns,waker_tid\n");
}
