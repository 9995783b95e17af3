//! What a million records cost, from the drains to Parquet, by stage, in CPU-seconds:
//! `cargo bench -p hostprof --bench replay -- RUN [RUN...]` replays the episodes of recordings.
//!
//! Each stage does all that comes before it as well. The last is the pipeline as a recording runs it, with
//! all its threads; the digest is of the rows it wrote, and must not change where only its speed should.

mod support;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    hint::black_box,
    path::{Path, PathBuf},
    sync::Arc,
};

use hostprof::{
    bpf::{Drained, Streams},
    clock,
    collector::{Folds, Gauges, Kept, Message, Setting},
    order::{Order, SLACK_NS},
    probe::{Devices, Event, Fold, fold_of_record},
    recording::{Config, Recording, RunFolder},
    sink::{ParquetSink, Settings},
    table::{OffCpuRow, SCHEMA_VERSION},
    target::Proc,
    units::MonoNs,
    usage::{own_cpu, own_max_rss},
};
use support::{Replay, Taker};

const REPEATS: usize = 5;
const RINGS: usize = 2;

fn main() {
    let runs = std::env::args_os().skip(1).filter(|arg| arg != "--bench").map(PathBuf::from);
    for run in runs {
        let replay = Replay::of_run(&run, RINGS);
        println!("{}: {} records; CPU-s per million, median of {REPEATS}", run.display(), replay.records);
        for (name, stage) in STAGES {
            let mut costs: Vec<f64> = (0..REPEATS).map(|_| stage(&replay)).collect();
            costs.sort_by(f64::total_cmp);
            println!("  {name:<8} {:.3}  ({:.3} to {:.3})", costs[REPEATS / 2], costs[0], costs[REPEATS - 1]);
        }
        for folds in [1, 4] {
            let (rows, digest, bytes) = written(&replay, folds);
            println!(
                "  {folds} folds: {rows} rows, {:.2} bytes a row, digest {digest:016x}",
                bytes as f64 / rows as f64
            );
        }
    }
    println!("peak {} MiB, the records included", own_max_rss() >> 20);
}

type Stage = fn(&Replay) -> f64;
const STAGES: [(&str, Stage); 4] =
    [("decode", decode), ("order", order), ("fold", fold), ("parquet", parquet)];

/// CPU-seconds per million records of what `work` does, in all threads.
fn cost(replay: &Replay, work: impl FnOnce()) -> f64 {
    let began = own_cpu();
    work();
    own_cpu().saturating_sub(began).as_secs_f64() * 1e6 / replay.records as f64
}

fn events(mut bytes: &[u8], mut each: impl FnMut(Event)) {
    while let Ok(event) = Event::decode(bytes) {
        bytes = &bytes[event.wire_bytes()..];
        each(event);
    }
}

fn decode(replay: &Replay) -> f64 {
    cost(replay, || {
        for drained in &replay.drained {
            if let Drained::Records { bytes, .. } = drained {
                events(bytes, |event| {
                    black_box(event);
                });
            }
        }
    })
}

fn order(replay: &Replay) -> f64 {
    cost(replay, || {
        ordered(replay, |event| {
            black_box(event);
        });
    })
}

fn fold(replay: &Replay) -> f64 {
    cost(replay, || {
        let mut fold = Fold::new(Devices::default());
        ordered(replay, |event| fold.event(event, &mut Taker::default()));
    })
}

fn ordered(replay: &Replay, mut each: impl FnMut(&Event)) {
    let mut order = Order::new(replay.of.count());
    for drained in &replay.drained {
        match drained {
            Drained::Records { stream, bytes } => events(bytes, |event| order.push(*stream, event)),
            Drained::Round { at } => order.release(MonoNs(at.0 - SLACK_NS), &mut each),
        }
    }
    order.finish(each);
}

fn parquet(replay: &Replay) -> f64 {
    let out = tempfile::tempdir().expect("make a folder");
    let messages = replay.drained.clone();
    cost(replay, || write(out.path(), messages, replay.of, 1))
}

/// Runs the folds over the records, into a run folder below `out`.
fn write(out: &Path, drained: Vec<Drained>, of: Streams, folds: usize) {
    let folder = Arc::new(RunFolder::create(out).expect("make a run folder"));
    let config = Config { schema_version: SCHEMA_VERSION, ..Config::default() };
    config.write(&folder).expect("write the configuration");
    let sink = ParquetSink::new(folder, Settings::default());
    let setting = Setting {
        streams: of,
        devices: Devices::default(),
        page_faults: true,
        proc: Proc::new(),
        gauges: Arc::new(Gauges::new(&[])),
        on_work: || {},
    };
    let folds = Folds::new(folds, &sink, &setting, None).expect("begin the tables");
    let inlet = folds.inlet();
    let folding = folds.start().expect("start the folds");
    let send =
        |fold: usize, drained| inlet.each()[fold].send(Message::Drained(drained)).expect("a fold runs");
    for drained in drained {
        match drained {
            Drained::Records { stream, bytes } if stream != of.threads() => {
                for (fold, bytes) in dealt_out(bytes, inlet.each().len()).into_iter().enumerate() {
                    send(fold, Drained::Records { stream, bytes });
                }
            }
            drained => (0..inlet.each().len()).for_each(|fold| send(fold, drained.clone())),
        }
    }
    let ended = folding.finish(Kept { at: clock::mono(), ..Kept::default() });
    ended.expect("no fold panics").expect("all rows are written");
}

/// Records as the drains deal them out.
fn dealt_out(bytes: Vec<u8>, folds: usize) -> Vec<Vec<u8>> {
    if folds == 1 {
        return vec![bytes];
    }
    let (mut rest, mut parts) = (bytes.as_slice(), vec![Vec::new(); folds]);
    while let Ok(event) = Event::decode(rest) {
        let (record, after) = rest.split_at(event.wire_bytes());
        parts[fold_of_record(record, folds)].extend_from_slice(record);
        rest = after;
    }
    parts
}

/// Rows, a digest of them, and bytes of `off_cpu`, as the pipeline writes them.
fn written(replay: &Replay, folds: usize) -> (u64, u64, u64) {
    let out = tempfile::tempdir().expect("make a folder");
    write(out.path(), replay.drained.clone(), replay.of, folds);
    let run = Recording::list(out.path()).expect("list runs").remove(0);
    let recording = Recording::open(&run).expect("open the recording");
    let (mut digest, mut rows) = (0_u64, 0);
    for mut row in
        recording.rows::<OffCpuRow>().expect("read off_cpu").flat_map(|rows| rows.expect("read rows"))
    {
        // What a process of that number has open here and now.
        row.fd_kind = None;
        let mut hasher = DefaultHasher::new();
        format!("{row:?}").hash(&mut hasher);
        // Of rows that end at once any may come first.
        digest = digest.wrapping_add(hasher.finish());
        rows += 1;
    }
    let bytes = recording.parts::<OffCpuRow>().expect("list parts").iter().map(|part| part.bytes).sum();
    (rows, digest, bytes)
}
