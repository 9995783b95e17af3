//! What each stage between ring and file costs by itself, in nanoseconds a record: `cargo bench -p hostprof --bench stages`.
//!
//! Each stage is given what the one before it yields, made in advance. The records are those of made-up threads
//! (`support::made`), or with `STAGES_RUN=RUN` of a recording; `replay` tells what the stages cost together, with all
//! their threads.

mod support;

use std::{hint::black_box, path::Path};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hostprof::{
    bpf::Drained,
    order::{Order, SLACK_NS},
    probe::{Devices, Event, Fold},
    recording::RunFolder,
    sink::{ParquetSink, Settings, Sink as _, Writer as _},
    table::OffCpuRow,
    units::MonoNs,
};
use support::{Replay, Taker, made};

/// A tenth of a second of a busy machine, and a little more than a batch of rows.
const RECORDS: usize = 100_000;
const CPUS: usize = 2;

/// The records, and what times of them are compared with.
fn replay() -> (Replay, &'static str) {
    match std::env::var_os("STAGES_RUN") {
        Some(run) => (Replay::of_run(Path::new(&run), CPUS), "recorded"),
        None => (Replay::of_rows(made::rows(RECORDS), CPUS), "made"),
    }
}

/// A round of draining as the merge sees it.
#[derive(Clone)]
enum Portion {
    Events(usize, Vec<Event>),
    Until(MonoNs),
}

fn portions(replay: &Replay) -> Vec<Portion> {
    let portion = |drained: &Drained| match drained {
        Drained::Records { stream, bytes } => Portion::Events(*stream, events(bytes)),
        Drained::Round { at, .. } => Portion::Until(MonoNs(at.0 - SLACK_NS)),
    };
    replay.drained.iter().map(portion).collect()
}

fn events(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Ok(event) = Event::decode(bytes) {
        bytes = &bytes[event.wire_bytes()..];
        events.push(event);
    }
    events
}

fn merge(streams: usize, portions: Vec<Portion>, mut each: impl FnMut(&Event)) {
    let mut order = Order::new(streams);
    for portion in portions {
        match portion {
            Portion::Events(stream, events) => events.into_iter().for_each(|event| order.push(stream, event)),
            Portion::Until(until) => order.release(until, &mut each),
        }
    }
    order.finish(each);
}

fn stages(criterion: &mut Criterion) {
    let (replay, name) = replay();
    let portions = portions(&replay);
    let mut ordered = Vec::new();
    merge(replay.of.count(), portions.clone(), |event| ordered.push(event.clone()));
    let mut kept = Taker::keeping();
    let mut fold = Fold::new(Devices::default());
    for event in &ordered {
        fold.event(event, &mut kept);
    }
    let rows = kept.rows;

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(replay.records));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            for drained in &replay.drained {
                let Drained::Records { bytes, .. } = drained else { continue };
                let mut bytes = bytes.as_slice();
                while let Ok(event) = Event::decode(bytes) {
                    bytes = &bytes[event.wire_bytes()..];
                    black_box(event);
                }
            }
        });
    });
    group.bench_function("order", |bencher| {
        let merge = |portions| {
            merge(replay.of.count(), portions, |event| {
                black_box(event);
            });
        };
        bencher.iter_batched(|| portions.clone(), merge, BatchSize::LargeInput);
    });
    group.bench_function("fold", |bencher| {
        bencher.iter(|| {
            let mut fold = Fold::new(Devices::default());
            for event in &ordered {
                fold.event(event, &mut Taker::default());
            }
        });
    });
    // The time of its thread and of the one that encodes, side by side; the file goes to memory where /dev/shm is.
    group.sample_size(20);
    group.bench_function("encode", |bencher| {
        let shm = Path::new("/dev/shm");
        let out = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
        let out = out.expect("make a folder");
        let to_file = |rows: Vec<OffCpuRow>| {
            let folder = RunFolder::create(out.path()).expect("make a run folder");
            let path = folder.path().to_owned();
            let sink = ParquetSink::new(folder.into(), Settings::default());
            let mut writer = sink.writer::<OffCpuRow>().expect("begin a table");
            for row in rows {
                writer.push(row).expect("write a row");
            }
            writer.finish().expect("write the file");
            std::fs::remove_dir_all(path).expect("remove the run");
        };
        bencher.iter_batched(|| rows.clone(), to_file, BatchSize::LargeInput);
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
