//! Every table, written and read back; and what its files look like to others.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod sink_support;

use std::fmt::Write;

use arrow::datatypes::DataType;
use hostprof::{
    for_each_table,
    sink::Settings,
    table::{
        CgroupSampleRow, CudaCallRow, DiskSampleRow, EngineSampleRow, GpuEventRow, GpuIoctlRow, GpuPmRow,
        GpuProcessSampleRow, GpuSampleRow, HistogramRow, HostSampleRow, LossRow, OffCpuCountRow, OffCpuRow,
        PageFaultRow, ProcessSampleRow, RequestRow, ShedRow, StepRow, SyscallRow, Table, ThreadRow, TokenRow,
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sink_support::{Run, read, streams::Random};

/// A row of any table, of values of every size its columns take.
fn random_row<T: Table + DeserializeOwned>(random: &mut Random) -> T {
    let mut row = Map::new();
    for column in T::columns() {
        if column.nullable && random.below(3) == 0 {
            continue;
        }
        let bits = random.next() >> random.below(64);
        let value = match &column.data_type {
            DataType::UInt64 => Value::from(bits),
            DataType::UInt32 => Value::from(bits as u32),
            DataType::UInt16 => Value::from(bits as u16),
            DataType::Int32 => Value::from(bits as i32),
            DataType::Int64 => Value::from(bits as i64 - (1 << 40)),
            DataType::Float64 => Value::from(bits as f64 / 3.0),
            DataType::Boolean => Value::from(bits.is_multiple_of(2)),
            DataType::Utf8 if column.words.is_empty() => Value::from(format!("naïve \"{}\"", bits % 100)),
            DataType::Utf8 => Value::from(column.words[bits as usize % column.words.len()]),
            other => panic!("no values for {other}"),
        };
        row.insert(column.name.to_owned(), value);
    }
    // A row's end is the sum of up to three times.
    for (name, value) in &mut row {
        if name.ends_with("_ns")
            && let Some(ns) = value.as_u64()
        {
            *value = Value::from(ns >> 2);
        }
    }
    serde_json::from_value(row.into()).unwrap()
}

fn round_trip<T: Table + DeserializeOwned + PartialEq + std::fmt::Debug + Clone>() {
    let mut random = Random::new(7);
    let mut rows: Vec<T> = (0..70_000).map(|_| random_row(&mut random)).collect();
    rows.push(serde_json::from_str("{}").unwrap());
    let run = Run::new(Settings::default());
    run.write(rows.clone());
    assert!(read::<T>(&run.open()) == rows, "table {}", T::NAME);
}

#[test]
fn rows_of_every_table_read_back_as_written() {
    macro_rules! check {
        ($($row:ty),+) => { $( round_trip::<$row>(); )+ };
    }
    for_each_table!(check);
}

#[test]
fn a_table_without_rows_has_one_empty_part_with_all_columns() {
    macro_rules! check {
        ($($row:ty),+) => {
            $(
                let run = Run::new(Settings::default());
                run.write::<$row>([]);
                let parts = run.open().parts::<$row>().unwrap();
                assert_eq!(parts.len(), 1);
                assert_eq!((parts[0].rows, parts[0].span_mono_ns), (0, None));
                assert_eq!(read::<$row>(&run.open()), []);
            )+
        };
    }
    for_each_table!(check);
}

#[test]
fn the_schema_is_what_it_was() {
    let mut text = String::new();
    macro_rules! describe {
        ($($row:ty),+) => {
            $(
                writeln!(text, "{}", <$row>::NAME).unwrap();
                for column in <$row>::columns() {
                    let null = if column.nullable { " or null" } else { "" };
                    let unit = if column.unit.is_empty() { String::new() } else { format!(", {}", column.unit) };
                    writeln!(text, "  {}: {}{null}{unit}, {:?}", column.name, column.data_type, column.encoding)
                        .unwrap();
                    if !column.words.is_empty() {
                        writeln!(text, "    {}", column.words.join(" ")).unwrap();
                    }
                }
            )+
        };
    }
    for_each_table!(describe);
    insta::assert_snapshot!(text);
}
