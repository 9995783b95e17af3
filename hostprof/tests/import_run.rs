//! Files of requests into a recording: on its clock, joined with what probe `http` saw, and once.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use hostprof::{
    import::{Added, ImportError, add},
    recording::{ClockAnchor, Config, EndReason, Ended, Moment, Recording, RunFolder},
    request::Latencies,
    sink::{ParquetSink, Settings, Sink as _, Writer as _},
    table::{JoinTier, RequestRow, RequestSource, SCHEMA_VERSION, TokenRow},
    units::{MonoNs, WallNs},
};
use tempfile::TempDir;

const MS: u64 = 1_000_000;
/// When the real files were made, on both clocks: the machine's uptime was 26,484 s at 1,795,672,299 s.
const BEGIN: u64 = 26_400_000 * MS;
const END: u64 = 30_000_000 * MS;
const WALL_LESS_MONO: u64 = 1_795_645_815_000 * MS;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import").join(name)
}

fn moment(mono: u64) -> Moment {
    Moment::new(WallNs(mono + WALL_LESS_MONO), MonoNs(mono))
}

/// A run folder with these rows of probe `http`, whose wall clock ran 600 ns ahead meanwhile.
fn run_with(kernel: &[RequestRow]) -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().unwrap();
    let folder = Arc::new(RunFolder::create(&scratch.path().join("runs")).unwrap());
    let anchor = |mono_ns, ahead| ClockAnchor {
        mono_ns,
        wall_ns: mono_ns + WALL_LESS_MONO + ahead,
        error_ns: Some(50),
        ..ClockAnchor::default()
    };
    let config = Config {
        schema_version: SCHEMA_VERSION,
        started: moment(BEGIN),
        ended: Some(Ended { at: moment(END), reason: EndReason::Signal }),
        clock_anchors: vec![anchor(BEGIN, 0), anchor(END, 600)],
        ..Config::default()
    };
    config.write(&folder).unwrap();
    let sink = ParquetSink::new(Arc::clone(&folder), Settings::default());
    let mut requests = sink.writer::<RequestRow>().unwrap();
    for row in kernel {
        requests.push(row.clone()).unwrap();
    }
    requests.finish().unwrap();
    let run = folder.path().to_owned();
    (scratch, run)
}

fn requests(run: &Path) -> Vec<RequestRow> {
    Recording::open(run).unwrap().all().unwrap()
}

fn imported(run: &Path) -> Vec<RequestRow> {
    let mut rows = requests(run);
    rows.retain(|row| row.source != RequestSource::Kernel);
    rows
}

fn import(run: &Path, name: &str) -> Added {
    add(run, &data(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// What probe `http` would have seen of imported requests: arrivals a little later, ends a little earlier.
fn as_kernel(rows: &[RequestRow], with_ids: bool) -> Vec<RequestRow> {
    rows.iter()
        .enumerate()
        .map(|(number, row)| RequestRow {
            request_id: format!("c-{number}"),
            arrival_mono_ns: row.arrival_mono_ns + 200_000,
            first_token_mono_ns: row.first_token_mono_ns.map(|at| at - 50_000),
            end_mono_ns: row.end_mono_ns.map(|at| at - 100_000),
            source: RequestSource::Kernel,
            join_tier: JoinTier::Socket,
            join_error_ns: None,
            kernel_id: None,
            client_id: with_ids.then(|| row.request_id.clone()),
            ..row.clone()
        })
        .collect()
}

#[test]
fn vllm_bench_is_on_the_recordings_own_clock() {
    let (_scratch, run) = run_with(&[]);
    let added = import(&run, "vllm_bench.json");
    assert_eq!((added.import.requests, added.import.outside, added.import.bad), (12, 0, 0));
    let rows = imported(&run);
    assert_eq!(rows.len(), 12);
    assert!(
        rows.iter().all(|row| row.join_tier == JoinTier::Monotonic && row.join_error_ns.unwrap() <= 10_000)
    );
    assert!(rows.iter().any(|row| row.arrival_mono_ns == 26_484_368_952_882));
    let tokens: Vec<TokenRow> = Recording::open(&run).unwrap().all().unwrap();
    assert_eq!(tokens.len() as u32, rows.iter().map(|row| row.chunks).sum::<u32>());
}

#[test]
fn a_wall_clock_is_placed_by_the_anchors_with_their_error() {
    let (_scratch, run) = run_with(&[]);
    import(&run, "aiperf.jsonl");
    import(&run, "guidellm.json");
    let rows = imported(&run);
    assert_eq!(rows.len(), 9);
    for row in &rows {
        assert_eq!(row.join_tier, JoinTier::Wall);
        assert!(
            (600..MS).contains(&row.join_error_ns.unwrap()),
            "what the clocks ran apart, and reading: {row:?}"
        );
    }
    let first = rows.iter().find(|row| row.request_id == "32ac9288-cff5-4892-9cc7-039ec4ce899d").unwrap();
    let exact = 1_795_672_529_148_862_463 - WALL_LESS_MONO;
    assert!(first.arrival_mono_ns.abs_diff(exact) <= first.join_error_ns.unwrap());
    assert_eq!(Latencies::of(first).ttft_ns, Some(64_787_512), "durations stay as they were");
}

#[test]
fn requests_that_the_kernel_saw_too_are_joined_by_id_else_by_time() {
    let (_scratch, run) = run_with(&[]);
    import(&run, "aiperf.jsonl");
    import(&run, "vllm_bench.json");
    let alone = imported(&run);
    let kernel = [
        as_kernel(
            &alone.iter().filter(|row| row.source == RequestSource::Aiperf).cloned().collect::<Vec<_>>(),
            true,
        ),
        as_kernel(
            &alone.iter().filter(|row| row.source == RequestSource::VllmBench).cloned().collect::<Vec<_>>(),
            false,
        ),
    ]
    .concat();
    // Names are a connection's: those of the second file follow.
    let kernel: Vec<RequestRow> = kernel
        .into_iter()
        .enumerate()
        .map(|(number, row)| RequestRow { request_id: format!("c-{number}"), ..row })
        .collect();
    let (_scratch, run) = run_with(&kernel);
    assert_eq!(import(&run, "aiperf.jsonl").import.paired, 5);
    assert_eq!(import(&run, "vllm_bench.json").import.paired, 12);
    let rows = imported(&run);
    for row in &rows {
        let told = kernel.iter().find(|kernel| Some(&kernel.request_id) == row.kernel_id.as_ref()).unwrap();
        assert_eq!(told.arrival_mono_ns, row.arrival_mono_ns + 200_000, "its own row, not a neighbour's");
        let by_id = row.source == RequestSource::Aiperf;
        assert_eq!(row.join_tier, if by_id { JoinTier::Exact } else { JoinTier::Monotonic });
        assert!(row.join_error_ns.unwrap() < MS);
    }
}

#[test]
fn durations_alone_find_their_place_through_the_kernel_or_none() {
    let (_scratch, run) = run_with(&[]);
    let alone = add(&run, &data("sglang_bench.jsonl")).unwrap_err();
    assert!(matches!(alone, ImportError::Elsewhere { unplaced: 4, outside: 0, .. }), "{alone}");
    assert!(alone.to_string().contains("probe http"), "{alone}");
    let kernel: Vec<RequestRow> = [(133_u64, 52_u64), (163, 73), (136, 58), (0, 0)]
        .iter()
        .enumerate()
        .map(|(number, &(all, first))| {
            let arrival = BEGIN + 1_000 * MS * (number as u64 + 1);
            RequestRow {
                request_id: format!("k-{number}"),
                arrival_mono_ns: arrival,
                first_token_mono_ns: (first > 0).then_some(arrival + first * MS),
                end_mono_ns: Some(arrival + all * MS),
                source: RequestSource::Kernel,
                ..RequestRow::default()
            }
        })
        .collect();
    let (_scratch, run) = run_with(&kernel);
    let added = import(&run, "sglang_bench.jsonl");
    assert_eq!((added.import.requests, added.import.unplaced), (4, 0));
    let rows = imported(&run);
    assert_eq!((rows[0].arrival_mono_ns, rows[0].join_tier), (BEGIN + 1_000 * MS, JoinTier::Socket));
}

#[test]
fn a_second_of_llama_cpp_is_sharpened_by_the_kernel() {
    let (_scratch, run) = run_with(&[]);
    import(&run, "llama_cpp_stream.txt");
    let coarse = imported(&run).remove(0);
    assert_eq!(coarse.join_tier, JoinTier::Wall);
    assert!(coarse.join_error_ns.unwrap() >= 500 * MS, "it tells a second, and says so");
    let kernel = RequestRow {
        request_id: "k-1".to_owned(),
        arrival_mono_ns: coarse.arrival_mono_ns + 77 * MS,
        first_token_mono_ns: Some(coarse.arrival_mono_ns + 78 * MS),
        end_mono_ns: coarse.end_mono_ns.map(|end| end + 79 * MS),
        source: RequestSource::Kernel,
        ..RequestRow::default()
    };
    let (_scratch, run) = run_with(std::slice::from_ref(&kernel));
    import(&run, "llama_cpp_stream.txt");
    let sharp = imported(&run).remove(0);
    assert_eq!((sharp.join_tier, sharp.kernel_id.as_deref()), (JoinTier::Socket, Some("k-1")));
    assert_eq!((sharp.arrival_mono_ns, sharp.prefill_ns), (kernel.arrival_mono_ns, coarse.prefill_ns));
    assert!(sharp.join_error_ns.unwrap() < 5 * MS);
}

#[test]
fn a_file_is_added_once_and_so_is_a_request() {
    let (scratch, run) = run_with(&[]);
    import(&run, "aiperf.jsonl");
    let again = add(&run, &data("aiperf.jsonl")).unwrap_err();
    assert!(matches!(again, ImportError::Again { .. }), "{again}");
    // Under another name, and with a line more, it is another file of the same requests.
    let longer = scratch.path().join("renamed");
    let text = fs::read_to_string(data("aiperf.jsonl")).unwrap();
    fs::write(&longer, &text).unwrap();
    assert!(matches!(add(&run, &longer), Err(ImportError::Again { .. })), "by content, not by name");
    let line = text.lines().next().unwrap().replace("32ac9288-cff5-4892-9cc7-039ec4ce899d", "one-more");
    fs::write(&longer, format!("{text}{line}\n")).unwrap();
    let added = add(&run, &longer).unwrap();
    assert_eq!((added.import.requests, added.import.known, added.import.paired), (1, 5, 0));
    assert_eq!(imported(&run).len(), 6);
    let config = Recording::open(&run).unwrap().config().clone();
    assert_eq!(config.imports.iter().map(|import| import.requests).collect::<Vec<_>>(), [5, 1]);
    assert_eq!(config.started, moment(BEGIN), "all else in config.json stays");
}

#[test]
fn what_is_of_another_time_or_another_kind_is_refused_and_nothing_is_written() {
    let (scratch, run) = run_with(&[]);
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let vllm = fs::read_to_string(data("vllm_bench.json")).unwrap();
    let earlier = file("earlier", &vllm.replace("[26484.", "[16484.").replace(" 26484.", " 16484."));
    assert!(matches!(add(&run, &earlier), Err(ImportError::Elsewhere { outside: 12, .. })));
    let csv = file("results.json", "a,b\n1,2\n");
    let error = add(&run, &csv).unwrap_err().to_string();
    for source in
        ["load:", "vllm_bench:", "sglang_bench:", "sglang:", "aiperf:", "guidellm:", "llama_cpp:", "otel:"]
    {
        assert!(error.contains(source), "{source} in {error}");
    }
    assert!(matches!(add(&run, &file("empty", "")), Err(ImportError::Nothing { .. })));
    assert!(matches!(add(&run, &scratch.path().join("none")), Err(ImportError::File { .. })));
    assert!(matches!(add(scratch.path(), &csv), Err(ImportError::Recording(_))));
    assert_eq!(requests(&run), []);
    assert_eq!(Recording::open(&run).unwrap().config().imports, []);
}

#[test]
fn a_recording_that_goes_on_is_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(&scratch.path().join("runs")).unwrap();
    Config { schema_version: SCHEMA_VERSION, ..Config::default() }.write(&folder).unwrap();
    let error = add(folder.path(), &data("aiperf.jsonl")).unwrap_err();
    assert!(matches!(error, ImportError::Busy(_)), "{error}");
}
