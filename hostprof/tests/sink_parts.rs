//! How a table is cut into parts, and what they say of themselves.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod sink_support;

use std::{
    fs::File,
    thread,
    time::{Duration, Instant},
};

use hostprof::{
    recording::part_key,
    sink::{Settings, Sink, Writer},
    table::{LossRow, OffCpuRow, SCHEMA_VERSION, Table},
};
use parquet::file::reader::{FileReader, SerializedFileReader};
use sink_support::{Run, names, read, row, streams};

fn wait_until(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited too long");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_part_is_closed_when_its_first_row_is_old_enough() {
    let run = Run::new(Settings { part_interval: Duration::from_millis(50), ..Settings::default() });
    let mut writer = run.sink.writer::<OffCpuRow>().unwrap();
    let folder = run.path().join("off_cpu");
    for part in 0..3 {
        writer.push(row(part)).unwrap();
        writer.tick().unwrap();
        wait_until(|| {
            writer.tick().unwrap();
            names(&folder).iter().any(|name| *name == format!("part-{part:05}.parquet"))
        });
    }
    writer.finish().unwrap();
    assert_eq!(names(&folder), ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]);
    assert_eq!(read::<OffCpuRow>(&run.open()), [row(0), row(1), row(2)]);
}

#[test]
fn a_part_is_closed_when_it_is_big_enough() {
    let run = Run::new(Settings { part_bytes: 200_000, ..Settings::default() });
    let rows: Vec<OffCpuRow> = streams::messaging(400_000).collect();
    run.write(rows.clone());
    let parts = run.open().parts::<OffCpuRow>().unwrap();
    assert!(parts.len() > 2 && parts[0].bytes > 100_000, "{parts:?}");
    assert!(read::<OffCpuRow>(&run.open()) == rows);
}

#[test]
fn parts_tell_the_times_of_their_rows_and_readers_skip_by_them() {
    let run = Run::new(Settings { part_interval: Duration::ZERO, ..Settings::default() });
    let mut writer = run.sink.writer::<OffCpuRow>().unwrap();
    for times in [[300, 100], [500, 400]] {
        for time in times {
            writer.push(row(time)).unwrap();
        }
        writer.tick().unwrap();
    }
    writer.finish().unwrap();

    let recording = run.open();
    let parts = recording.parts::<OffCpuRow>().unwrap();
    assert_eq!(
        parts.iter().map(|part| part.span_mono_ns).collect::<Vec<_>>(),
        [Some((100, 310)), Some((400, 510))]
    );
    let file = SerializedFileReader::new(File::open(&parts[0].path).unwrap()).unwrap();
    let metadata = file.metadata().file_metadata();
    let value = |key: &str| {
        let pairs = metadata.key_value_metadata().unwrap();
        pairs.iter().find(|pair| pair.key == key).unwrap().value.clone().unwrap()
    };
    assert_eq!(value(part_key::SCHEMA_VERSION), SCHEMA_VERSION.to_string());
    assert_eq!(value(part_key::MIN_START), "100");
    assert_eq!(value(part_key::MAX_START), "300");
    assert_eq!(value(part_key::MIN_END), "110");
    assert_eq!(value(part_key::MAX_END), "310");
    assert!(metadata.created_by().unwrap().starts_with("hostprof version "));

    let within = |from, to| -> Vec<OffCpuRow> {
        recording.rows_within(from..=to).unwrap().flat_map(Result::unwrap).collect()
    };
    assert_eq!(within(305, 399), [row(300)]);
    assert_eq!(within(110, 400), [row(300), row(100), row(400)]);
    let mut damaged = std::fs::read(&parts[1].path).unwrap();
    damaged[4..100].fill(0xff);
    std::fs::write(&parts[1].path, damaged).unwrap();
    assert_eq!(within(0, 399).len(), 2);
}

#[test]
fn rows_of_writers_beside_each_other_are_read_in_the_order_of_their_ends() {
    let run = Run::new(Settings { part_bytes: 30_000, ..Settings::default() });
    let mut writers: Vec<_> = (0..3).map(|_| run.sink.writer::<OffCpuRow>().unwrap()).collect();
    let end = |row: &OffCpuRow| row.span_mono_ns().1;
    let mut rows: Vec<OffCpuRow> = streams::messaging(300_000).collect();
    rows.sort_by_key(end);
    // One of them is slow: its rows come in later parts than those of others that end as they do.
    let (slow, fast): (Vec<_>, Vec<_>) = rows.iter().cloned().partition(|row| row.tid % 3 == 0);
    for row in fast {
        writers[row.tid as usize % 3].push(row).unwrap();
    }
    for row in slow {
        writers[0].push(row).unwrap();
    }
    for writer in writers {
        writer.finish().unwrap();
    }
    let recording = run.open();
    let parts = recording.parts::<OffCpuRow>().unwrap();
    assert!(parts.len() > 9, "{} parts", parts.len());
    let progress = run.sink.progress();
    let (name, progress) = &progress[0];
    let bytes = parts.iter().map(|part| part.bytes).sum::<u64>();
    assert_eq!((*name, progress.rows(), progress.bytes()), ("off_cpu", 300_000, bytes));

    let sorted = |mut rows: Vec<OffCpuRow>| {
        rows.sort_by_key(|row| (end(row), row.tid, row.ts_mono_ns));
        rows
    };
    let found = read::<OffCpuRow>(&recording);
    assert!(found.is_sorted_by_key(end));
    assert!(sorted(found) == sorted(rows.clone()));

    let (from, to) = (end(&rows[100_000]), end(&rows[110_000]));
    let within: Vec<OffCpuRow> =
        recording.rows_ended(from..=to, to).unwrap().flat_map(Result::unwrap).collect();
    assert!(within.is_sorted_by_key(end));
    let wanted = rows.into_iter().filter(|row| (from..=to).contains(&end(row))).collect();
    assert!(sorted(within) == sorted(wanted));
}

#[test]
fn a_writer_beside_another_leaves_no_part_without_rows() {
    let run = Run::new(Settings::default());
    let writers = [run.sink.writer::<LossRow>().unwrap(), run.sink.writer::<LossRow>().unwrap()];
    for writer in writers {
        writer.finish().unwrap();
    }
    assert_eq!(names(&run.path().join("loss")), ["part-00000.parquet"]);
}

#[test]
fn progress_counts_rows_bytes_and_time_by_table() {
    let run = Run::new(Settings::default());
    run.write(streams::ping_pong(100_000));
    run.write::<LossRow>([]);
    let progress = run.sink.progress();
    let (name, off_cpu) = &progress[0];
    assert_eq!(
        (*name, off_cpu.rows(), off_cpu.closed_rows(), off_cpu.parts()),
        ("off_cpu", 100_000, 100_000, 1)
    );
    assert_eq!(off_cpu.bytes(), run.open().parts::<OffCpuRow>().unwrap()[0].bytes);
    assert!(off_cpu.encode_time() > Duration::ZERO && off_cpu.error().is_none());
    assert_eq!(run.sink.bytes(), off_cpu.bytes() + progress[1].1.bytes());
    assert!(run.sink.error().is_none());
}

#[test]
fn a_writer_that_is_dropped_still_has_its_rows_written() {
    let run = Run::new(Settings::default());
    let mut writer = run.sink.writer::<OffCpuRow>().unwrap();
    writer.push(row(1)).unwrap();
    drop(writer);
    wait_until(|| run.sink.progress()[0].1.parts() == 1);
    assert_eq!(read::<OffCpuRow>(&run.open()), [row(1)]);
}

#[test]
fn files_carry_unit_and_meaning_of_every_column() {
    let run = Run::new(Settings::default());
    run.write::<OffCpuRow>([row(1)]);
    let file = File::open(run.path().join("off_cpu/part-00000.parquet")).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    assert_eq!(reader.schema().fields(), OffCpuRow::schema().fields());
    assert_eq!(reader.schema().field(0).metadata()["unit"], "ns");
}

#[test]
fn the_streams_stay_within_their_bytes_a_row() {
    let bytes_per_row = |rows: Vec<OffCpuRow>| {
        let run = Run::new(Settings::default());
        let count = rows.len() as f64;
        run.write(rows);
        run.sink.bytes() as f64 / count
    };
    let ping_pong = bytes_per_row(streams::ping_pong(300_000).collect());
    assert!(ping_pong < 4.25, "{ping_pong}");
    let messaging = bytes_per_row(streams::messaging(300_000).collect());
    assert!(messaging < 10.25, "{messaging}");
}
