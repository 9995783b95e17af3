//! What the tests of sink and recording share.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod streams;

use std::{path::Path, sync::Arc};

use hostprof::{
    recording::{Config, Moment, Recording, RunFolder},
    sink::{ParquetSink, Settings, Sink, Writer},
    table::{OffCpuRow, SCHEMA_VERSION, Table},
    units::{MonoNs, WallNs},
};

/// A run folder in a temporary one, and a sink into it.
pub struct Run {
    pub out: tempfile::TempDir,
    pub folder: Arc<RunFolder>,
    pub sink: ParquetSink,
}

impl Run {
    pub fn new(settings: Settings) -> Self {
        let out = tempfile::tempdir().unwrap();
        let folder = Arc::new(RunFolder::create(out.path()).unwrap());
        config().write(&folder).unwrap();
        let sink = ParquetSink::new(folder.clone(), settings);
        Self { out, folder, sink }
    }

    /// Writes a whole table.
    pub fn write<T: Table>(&self, rows: impl IntoIterator<Item = T>) {
        let mut writer = self.sink.writer::<T>().unwrap();
        for row in rows {
            writer.push(row).unwrap();
        }
        writer.finish().unwrap();
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn open(&self) -> Recording {
        Recording::open(self.path()).unwrap()
    }
}

/// The configuration of a recording that goes on.
pub fn config() -> Config {
    Config {
        schema_version: SCHEMA_VERSION,
        hostprof_version: "0.1.0".into(),
        started: Moment::new(WallNs(1_767_225_600_000_000_000), MonoNs(86_400_000_000_000)),
        ..Config::default()
    }
}

/// All rows of a table.
pub fn read<T: Table>(recording: &Recording) -> Vec<T> {
    recording.rows::<T>().unwrap().flat_map(Result::unwrap).collect()
}

/// A row that begins at a time and ends 10 ns later.
pub fn row(ts_mono_ns: u64) -> OffCpuRow {
    OffCpuRow { ts_mono_ns, blocked_ns: 10, ..OffCpuRow::default() }
}

/// The names of the files in a folder, in order.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
