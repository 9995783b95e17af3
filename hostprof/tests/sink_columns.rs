//! Columns as the sink writes them, in all the ways it can: with a dictionary, with one that is full, with one
//! that was given up, with nulls between, and with the least and the greatest of each.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod sink_support;

use std::{fs::File, time::Duration};

use hostprof::{
    sink::Settings,
    table::{FdKind, OffCpuRow, State, Word as _},
};
use parquet::file::{
    reader::{FileReader as _, SerializedFileReader},
    statistics::Statistics,
};
use sink_support::{Run, read, streams::Random};

/// More than a dictionary takes entries, three rows each.
const ROWS: u64 = 3 * ((1 << 17) + (1 << 14));

const ONE_PART: Settings = Settings {
    part_interval: Duration::from_hours(1),
    in_turn: false,
    part_bytes: u64::MAX,
    batch_rows: 1 << 11,
    queued_batches: 64,
    on_work: || {},
};

fn rows() -> Vec<OffCpuRow> {
    let mut random = Random::new(7);
    (0..ROWS)
        .map(|row| OffCpuRow {
            ts_mono_ns: row * 1000 + random.below(900),
            tid: (random.below(40) + u64::from(u32::MAX) - 40) as u32,
            state: State::ALL[random.below(State::ALL.len() as u64) as usize],
            // Two of three are null for a while, then none.
            syscall_nr: (row > ROWS / 2 || row % 3 == 0).then(|| random.below(9) as i32 - 4),
            // A dictionary that fills up in the end, of values that zstd makes nothing of.
            arg0: (row % 7 != 0).then_some((row / 3).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            // One that is given up, with nulls in runs.
            arg1: (row / 100 % 2 == 0).then(|| random.next()),
            fd_kind: (row % 2 == 0).then_some(FdKind::Pipe),
            blocked_ns: if random.below(1000) == 0 { u64::MAX >> 2 } else { random.below(3000) },
            voluntary: random.below(3) == 0,
            cpu_in: Some(5),
            ..OffCpuRow::default()
        })
        .collect()
}

#[test]
fn what_is_written_is_read_whatever_becomes_of_the_dictionaries() {
    let rows = rows();
    let run = Run::new(ONE_PART);
    run.write(rows.clone());
    assert!(read::<OffCpuRow>(&run.open()) == rows, "rows are not what they were");
}

#[test]
fn the_least_and_the_greatest_are_told_with_or_without_a_dictionary() {
    let rows = rows();
    let run = Run::new(ONE_PART);
    run.write(rows.clone());
    let part = &run.open().parts::<OffCpuRow>().unwrap()[0].path;
    let reader = SerializedFileReader::new(File::open(part).unwrap()).unwrap();
    let group = reader.metadata().row_group(0);
    let statistics = |name: &str| {
        let column = group.columns().iter().find(|column| column.column_path().string() == name).unwrap();
        column.statistics().cloned()
    };
    let of_64 = |name| match statistics(name) {
        Some(Statistics::Int64(range)) => (
            range.min_opt().map(|value| *value as u64),
            range.max_opt().map(|value| *value as u64),
            range.null_count_opt().unwrap(),
        ),
        other => panic!("{name}: {other:?}"),
    };
    let of_32 = |name| match statistics(name) {
        Some(Statistics::Int32(range)) => (range.min_opt().copied(), range.max_opt().copied()),
        other => panic!("{name}: {other:?}"),
    };
    let arg0 = || rows.iter().filter_map(|row| row.arg0);
    let arg1 = || rows.iter().filter_map(|row| row.arg1);
    let nulls = |count: usize| (rows.len() - count) as u64;
    assert_eq!(of_64("arg0"), (arg0().min(), arg0().max(), nulls(arg0().count())));
    assert_eq!(of_64("arg1"), (arg1().min(), arg1().max(), nulls(arg1().count())));
    let blocked = || rows.iter().map(|row| row.blocked_ns);
    assert_eq!(of_64("blocked_ns"), (blocked().min(), blocked().max(), 0));
    assert_eq!(of_64("stack_id"), (None, None, nulls(0)));
    assert_eq!(of_32("syscall_nr"), (Some(-4), Some(4)));
    // Without a sign: the reader takes it by the column's type.
    assert_eq!(of_32("tid"), (Some(-41), Some(-2)));
    assert!(statistics("state").is_none());
}
