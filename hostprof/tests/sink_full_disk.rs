//! A disk that is full: a limit on the size of files fails writes in the same way.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod sink_support;

use hostprof::{
    sink::{Settings, Sink, Writer},
    table::{LossRow, OffCpuRow},
};
use nix::sys::{
    resource::{Resource, setrlimit},
    signal::{SigHandler, Signal, signal},
};
use sink_support::{Run, names, read, row, streams};

#[test]
fn a_full_disk_ends_the_table_and_leaves_what_was_closed() {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.unwrap();
    let settings =
        Settings { part_interval: std::time::Duration::ZERO, batch_rows: 1 << 13, ..Settings::default() };
    let run = Run::new(settings);
    let mut writer = run.sink.writer::<OffCpuRow>().unwrap();
    let mut other = run.sink.writer::<LossRow>().unwrap();
    writer.push(row(1)).unwrap();
    writer.tick().unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 50_000, 50_000).unwrap();

    let error = streams::messaging(2_000_000)
        .find_map(|row| writer.push(row).err())
        .unwrap_or_else(|| writer.tick().unwrap_err());
    assert!(error.is_disk_full(), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("write ") && text.contains("part-00001.parquet: File too large"), "{text}");
    assert_eq!(writer.push(row(2)).and_then(|()| writer.tick()).unwrap_err().to_string(), text);
    assert_eq!(run.sink.error().unwrap().to_string(), text);
    assert_eq!(writer.finish().unwrap_err().to_string(), text);

    other.push(LossRow { dropped: 1, ..LossRow::default() }).unwrap();
    other.finish().unwrap();
    assert_eq!(names(&run.path().join("off_cpu")), ["part-00000.parquet"]);
    assert_eq!(read::<OffCpuRow>(&run.open()), [row(1)]);
    assert_eq!(read::<LossRow>(&run.open()).len(), 1);
}
