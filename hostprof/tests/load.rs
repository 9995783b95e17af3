//! `hostprof load` against a stub server: what is sent, what is measured, what is kept.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod load_support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Stdio,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use hostprof::{
    load::{FORMAT, LogRow},
    recording::{Config, Recording, RunFolder},
    request::Latencies,
    sink::{ParquetSink, Settings, Sink as _, Writer as _},
    table::{RequestError, RequestRow, RequestSource, TokenRow},
};
use load_support::{Loaded, Stub, load, log};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const MS: u64 = 1_000_000;

#[test]
fn a_closed_loop_keeps_its_connections_and_never_has_more_under_way() {
    let stub = Stub::start("--delay 5");
    let loaded = Loaded::run(&mut stub.load("--concurrency 3 --requests 30 --output-tokens 4"));
    assert_eq!(loaded.status, Some(0), "{loaded:?}");
    assert_eq!((loaded.number("requests"), loaded.number("succeeded"), loaded.number("failed")), (30, 30, 0));
    assert_eq!(stub.stat("most_at_a_time"), 3);
    assert_eq!(loaded.summary["client"]["connections"], 3);
    assert_eq!(stub.stat("requests"), 30);
}

#[test]
fn the_log_has_a_row_for_each_request_with_the_times_of_its_tokens() {
    let stub = Stub::start("--delay 20 --gap 2");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("load.jsonl");
    let mut command =
        stub.load("--requests 5 --input-tokens 10..50 --output-tokens 3..7 --seed 4 --goodput e2e:1m");
    let loaded = Loaded::run(command.arg("-o").arg(&path));
    assert_eq!(loaded.status, Some(0), "{loaded:?}");
    let (header, rows) = log(&path);
    assert_eq!((header.format.as_str(), header.seed, rows.len()), (FORMAT, 4, 5));
    for (number, row) in rows.iter().enumerate() {
        let request = &row.request;
        assert_eq!(row.number, number as u64);
        assert_eq!((request.error, request.status), (None, Some(200)));
        assert_eq!(request.input_tokens, Some(row.wanted_input_tokens), "{row:?}");
        assert_eq!(request.output_tokens, Some(row.wanted_output_tokens));
        assert_eq!(row.token_mono_ns.len() as u32, row.wanted_output_tokens);
        assert_eq!(request.chunks, row.wanted_output_tokens);
        assert_eq!(request.finish_reason.as_deref(), Some("length"));
        let times: Vec<u64> = [request.arrival_mono_ns, request.send_mono_ns.unwrap()]
            .into_iter()
            .chain([request.first_byte_mono_ns.unwrap()])
            .chain(row.token_mono_ns.iter().copied())
            .chain(request.end_mono_ns)
            .collect();
        assert!(times.is_sorted() && times[0] > header.mono_ns, "{times:?}");
        let latencies = Latencies::of(request);
        assert!(latencies.ttft_ns.unwrap() >= row.request.prefill_ns.unwrap(), "{row:?}");
        assert!(latencies.tpot_ns.unwrap() >= 2 * MS, "{row:?}");
    }
    assert_eq!(loaded.summary["goodput"]["good"], 5);
    let ids: std::collections::HashSet<&str> =
        rows.iter().map(|row| row.request.request_id.as_str()).collect();
    assert_eq!(ids.len(), 5);
}

#[test]
fn a_seed_makes_the_same_requests_again() {
    let stub = Stub::start("");
    let dir = tempfile::tempdir().unwrap();
    let lengths = |name: &str, options: &str| {
        let path = dir.path().join(name);
        let mut command = stub.load("--requests 40 --input-tokens lognormal:50:1 --output-tokens normal:8:3");
        Loaded::run(command.args(options.split_whitespace()).arg("-o").arg(&path));
        let mut rows = log(&path).1;
        rows.sort_by_key(|row| row.number);
        rows.iter().map(|row| (row.wanted_input_tokens, row.wanted_output_tokens)).collect::<Vec<_>>()
    };
    let first = lengths("a", "--seed 1");
    assert_eq!(first, lengths("b", "--seed 1 --concurrency 8 --warmup 5"));
    assert_ne!(first, lengths("c", "--seed 2"));
}

#[test]
fn an_open_loop_counts_latency_from_the_intended_arrival() {
    // Each request takes 40 ms and 25 arrive at once, as it were: none waits for another.
    let stub = Stub::start("--delay 40");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("load.jsonl");
    let mut command = stub.load("--rate 500 --arrivals fixed --requests 25 --output-tokens 2");
    let loaded = Loaded::run(command.arg("-o").arg(&path));
    assert_eq!(loaded.status, Some(0), "{loaded:?}");
    let mut rows = log(&path).1;
    rows.sort_by_key(|row| row.number);
    for pair in rows.windows(2) {
        let gap = pair[1].request.arrival_mono_ns - pair[0].request.arrival_mono_ns;
        assert_eq!(gap, 2 * MS, "arrivals are as intended, however late the client was");
    }
    for row in &rows {
        let late = row.request.send_mono_ns.unwrap() - row.request.arrival_mono_ns;
        assert!(Latencies::of(&row.request).ttft_ns.unwrap() >= 40 * MS + late, "{row:?}");
    }
    assert!(stub.stat("most_at_a_time") > 5, "requests do not wait for one another");
}

#[test]
fn a_trace_is_replayed_with_its_times_and_lengths() {
    let stub = Stub::start("");
    let dir = tempfile::tempdir().unwrap();
    let (trace, path) = (dir.path().join("trace.jsonl"), dir.path().join("load.jsonl"));
    fs::write(
        &trace,
        "{\"timestamp\":100,\"input_length\":7,\"output_length\":3,\"hash_ids\":[1]}\n\
         {\"at_ms\":112.5,\"input_tokens\":9,\"output_tokens\":1}\n",
    )
    .unwrap();
    let loaded = Loaded::run(stub.load("").arg("--trace").arg(&trace).arg("-o").arg(&path));
    assert_eq!(loaded.status, Some(0), "{loaded:?}");
    let mut rows = log(&path).1;
    rows.sort_by_key(|row| row.number);
    let wanted: Vec<_> = rows.iter().map(|row| (row.wanted_input_tokens, row.wanted_output_tokens)).collect();
    assert_eq!(wanted, [(7, 3), (9, 1)]);
    assert_eq!(rows[1].request.arrival_mono_ns - rows[0].request.arrival_mono_ns, 12_500_000);
    assert_eq!(Latencies::of(&rows[1].request).tpot_ns, None, "one token");
}

#[test]
fn a_trial_finds_out_what_the_server_takes() {
    let form = |options: &str| {
        let stub = Stub::start(options);
        let mut command = load();
        command.args(["--url", &stub.url(), "--requests", "2", "--json", "--input-tokens", "20"]);
        let loaded = Loaded::run(&mut command);
        assert_eq!(loaded.status, Some(0), "{loaded:?}");
        assert_eq!(loaded.summary["model"], "stub", "the first that is listed");
        loaded.summary["notes"].to_string()
    };
    assert_eq!(form(""), "[]");
    assert!(form("--no-ids").contains("prompts are text"));
    let neither = form("--no-ids --no-ignore-eos");
    assert!(neither.contains("prompts are text") && neither.contains("no ignore_eos"), "{neither}");
}

#[test]
fn a_chat_and_a_whole_response_are_measured_as_far_as_they_can_be() {
    let stub = Stub::start("--delay 3");
    let mut command = load();
    command.args(["--url", &format!("{}/v1/chat/completions", stub.url()), "--requests", "4", "--json"]);
    let chat = Loaded::run(&mut command);
    assert_eq!((chat.status, chat.number("succeeded")), (Some(0), 4), "{chat:?}");
    assert!(chat.summary["ttft"]["p50_ns"].as_u64().unwrap() >= 3 * MS);
    let whole = Loaded::run(&mut stub.load("--requests 4 --no-stream"));
    assert_eq!((whole.status, whole.number("succeeded")), (Some(0), 4), "{whole:?}");
    assert!(whole.summary["ttft"].is_null() && whole.summary["tpot"].is_null());
    assert!(whole.summary["e2e"]["p50_ns"].as_u64().unwrap() >= 3 * MS);
}

#[test]
fn every_way_a_server_can_fail_has_its_kind() {
    for (fault, options, kind) in [
        ("silence", "--timeout 200ms", "timeout"),
        ("close", "--no-keep-alive", "closed"),
        ("close-midway", "", "closed"),
        ("end-midway", "", "closed"),
        ("no-http", "", "http"),
        ("bad-event", "", "malformed"),
        ("no-stream", "", "malformed"),
        ("bad-json", "--no-stream", "malformed"),
        ("too-many", "", "status"),
        ("broken", "", "status"),
        ("error-event", "", "server"),
        ("no-token", "", "empty"),
    ] {
        let stub = Stub::start(&format!("--fault {fault} --every 2"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("load.jsonl");
        let mut command = stub.load("--requests 6 --output-tokens 8");
        let loaded = Loaded::run(command.args(options.split_whitespace()).arg("-o").arg(&path));
        assert_eq!(loaded.status, Some(1), "{fault}: {loaded:?}");
        assert_eq!((loaded.number("succeeded"), loaded.failures(kind)), (3, 3), "{fault}: {loaded:?}");
        let rows = log(&path).1;
        let failed: Vec<&LogRow> = rows.iter().filter(|row| row.request.error.is_some()).collect();
        assert_eq!((rows.len(), failed.len()), (6, 3), "{fault}");
        assert!(failed.iter().all(|row| row.request.end_mono_ns.is_some()), "{fault}");
        if fault == "close-midway" {
            assert!(failed.iter().all(|row| row.token_mono_ns.len() == 4), "what came before is kept");
        }
        if kind == "status" {
            let status = if fault == "broken" { 500 } else { 429 };
            assert!(failed.iter().all(|row| row.request.status == Some(status)), "{fault}");
        }
    }
}

#[test]
fn a_stream_may_be_split_anywhere_and_have_any_line_ends() {
    for fault in ["bytewise", "crlf"] {
        let stub = Stub::start(&format!("--fault {fault}"));
        let loaded = Loaded::run(&mut stub.load("--requests 3 --output-tokens 5"));
        assert_eq!((loaded.status, loaded.number("succeeded")), (Some(0), 3), "{fault}: {loaded:?}");
        assert_eq!(loaded.summary["itl"]["count"], 12, "{fault}");
    }
}

#[test]
fn a_kept_connection_that_is_closed_costs_no_request_and_is_told() {
    let stub = Stub::start("--fault close-after");
    let loaded = Loaded::run(&mut stub.load("--requests 100 --input-tokens 20 --output-tokens 2"));
    assert_eq!((loaded.status, loaded.number("succeeded")), (Some(0), 100), "{loaded:?}");
    assert_eq!(stub.stat("requests"), 100);
    let stub = Stub::start("--fault close --every 2");
    let loaded = Loaded::run(&mut stub.load("--requests 5 --output-tokens 2"));
    // The second request is sent once more, as the third; then each has a new connection, and the fault shows.
    assert_eq!((loaded.number("succeeded"), loaded.failures("closed")), (3, 2), "{loaded:?}");
    assert_eq!(loaded.summary["client"]["resent"], 1);
    assert!(loaded.summary["notes"].to_string().contains("1 request sent once more"), "{loaded:?}");
}

#[test]
fn nothing_is_tried_again_unless_asked() {
    let stub = Stub::start("--fault broken --times 1");
    assert_eq!(Loaded::run(&mut stub.load("--requests 2")).failures("status"), 1);
    let stub = Stub::start("--fault broken --times 2");
    let loaded = Loaded::run(&mut stub.load("--requests 2 --retries 2 --output-tokens 2"));
    assert_eq!((loaded.status, loaded.number("retries")), (Some(0), 2), "{loaded:?}");
    assert!(
        loaded.summary["e2e"]["max_ns"].as_u64().unwrap() >= 300 * MS,
        "from the arrival, pauses and all"
    );
}

#[test]
fn no_server_is_told_at_once_or_counted() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let told = Loaded::run(load().args(["--url", &url, "--requests", "3"]));
    assert_eq!(told.status, Some(1));
    assert!(told.stderr.contains("connection refused (is the server up"), "{}", told.stderr);
    let known = ["--model", "m", "--prompt", "text", "--json", "--requests", "3"];
    let counted = Loaded::run(load().args(["--url", &url]).args(known));
    assert_eq!((counted.status, counted.failures("connect")), (Some(1), 3), "{counted:?}");
}

#[test]
fn bad_usage_has_its_own_status() {
    for words in [
        "--requests 1",
        "--url https://127.0.0.1:1 --requests 1",
        "--url http://127.0.0.1:1",
        "--url http://127.0.0.1:1 --requests 0",
        "--url http://127.0.0.1:1 --requests 1 --rate 1 --concurrency 1",
        "--url http://127.0.0.1:1 --requests 1 --input-tokens many",
        "--url http://127.0.0.1:1 --requests 1 --goodput itl:5ms",
    ] {
        let loaded = Loaded::run(load().args(words.split_whitespace()));
        assert_eq!(loaded.status, Some(2), "{words}: {loaded:?}");
    }
}

#[test]
fn the_key_is_sent_and_never_told() {
    let stub = Stub::start("--key hush-hush");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("load.jsonl");
    let mut command = stub.load("--requests 2 --output-tokens 2");
    let output = command.env("OPENAI_API_KEY", "hush-hush").arg("-o").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let told = [output.stdout, output.stderr, fs::read(&path).unwrap()].concat();
    assert!(!String::from_utf8_lossy(&told).contains("hush-hush"));
    let refused = Loaded::run(&mut stub.load("--requests 2"));
    assert_eq!((refused.status, refused.failures("status")), (Some(1), 2));
}

#[test]
fn ctrl_c_ends_the_load_and_keeps_what_was_measured() {
    let stub = Stub::start("--delay 10 --fault silence --every 6");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("load.jsonl");
    let mut command = stub.load("--concurrency 1 --requests 1000 --output-tokens 2");
    let child = command.arg("-o").arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    let patience = Instant::now() + Duration::from_mins(1);
    while stub.stat("requests") < 6 {
        assert!(Instant::now() < patience, "wait for the sixth request");
        thread::sleep(Duration::from_millis(5));
    }
    kill(pid, Signal::SIGINT).unwrap();
    let loaded = Loaded::of(&child.wait_with_output().unwrap());
    assert_eq!(loaded.status, Some(130), "{loaded:?}");
    let counts = ["requests", "succeeded", "failed", "cancelled"].map(|name| loaded.number(name));
    assert_eq!(counts, [6, 5, 0, 1]);
    let rows = log(&path).1;
    assert_eq!(rows.len(), 6);
    assert_eq!(rows[5].request.error, Some(RequestError::Cancelled));
}

#[test]
fn a_load_of_some_time_ends_after_it() {
    let stub = Stub::start("--delay 20");
    let loaded = Loaded::run(&mut stub.load("--concurrency 2 --duration 300ms --output-tokens 2"));
    assert_eq!(loaded.status, Some(0), "{loaded:?}");
    assert!((2..=32).contains(&loaded.number("requests")), "{loaded:?}");
    assert!(loaded.number("length_ns") >= 280 * MS, "{loaded:?}");
}

#[test]
fn a_slow_client_says_that_it_was_slow() {
    let stub = Stub::start("--delay 2 --gap 2");
    let child = stub
        .load("--concurrency 2 --duration 1500ms --output-tokens 50")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().cast_signed());
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(150));
        kill(pid, Signal::SIGSTOP).unwrap();
        thread::sleep(Duration::from_millis(60));
        kill(pid, Signal::SIGCONT).unwrap();
    }
    let loaded = Loaded::of(&child.wait_with_output().unwrap());
    assert_eq!(loaded.summary["client"]["was_slow"], true, "{loaded:?}");
    let delay = loaded.summary["client"]["delay"]["max_ns"].as_u64().unwrap();
    assert!(delay >= 50 * MS, "stopped for 60 ms: {delay}");
}

/// A run folder with empty tables, as its recorder leaves them, still held.
fn recording(out: &std::path::Path) -> Arc<RunFolder> {
    let folder = Arc::new(RunFolder::create(out).unwrap());
    let config = Config { schema_version: hostprof::table::SCHEMA_VERSION, ..Config::default() };
    folder.write_file("config.json", &serde_json::to_vec(&config).unwrap()).unwrap();
    let sink = ParquetSink::new(Arc::clone(&folder), Settings::default());
    sink.writer::<RequestRow>().unwrap().finish().unwrap();
    sink.writer::<TokenRow>().unwrap().finish().unwrap();
    folder
}

#[test]
fn requests_go_into_a_recording_beside_what_is_there() {
    let stub = Stub::start("");
    let dir = tempfile::tempdir().unwrap();
    let folder = recording(dir.path());
    let first = Loaded::run(stub.load("--requests 7 --output-tokens 3").arg("--run").arg(folder.path()));
    assert_eq!(first.status, Some(0), "{first:?}");
    let run = folder.path().to_owned();
    drop(folder);
    let second = Loaded::run(stub.load("--requests 5 --output-tokens 3").env("HOSTPROF_RUN", &run));
    assert_eq!(second.status, Some(0), "{second:?}");
    let recording = Recording::open(&run).unwrap();
    let rows = |batch: Result<Vec<RequestRow>, _>| batch.unwrap();
    let requests: Vec<RequestRow> = recording.rows::<RequestRow>().unwrap().flat_map(rows).collect();
    let tokens: Vec<TokenRow> =
        recording.rows::<TokenRow>().unwrap().flat_map(|batch| batch.unwrap()).collect();
    assert_eq!((requests.len(), tokens.len()), (12, 36));
    assert!(requests.iter().all(|row| row.source == RequestSource::Load && row.output_tokens == Some(3)));
    for request in &requests {
        let of: Vec<&TokenRow> =
            tokens.iter().filter(|token| token.request_id == request.request_id).collect();
        assert_eq!(of.iter().map(|token| token.index).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(Some(of[0].ts_mono_ns), request.first_token_mono_ns);
    }
    assert!(recording.incomplete_parts().unwrap().is_empty());
    let none = Loaded::run(stub.load("--requests 1").arg("--run").arg(dir.path()));
    assert_eq!(none.status, Some(1));
    assert!(none.stderr.contains("not a run folder"), "{}", none.stderr);
}

#[test]
fn a_response_that_trickles_is_waited_for_until_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        let event = "data: {\"choices\":[{\"text\":\"a\"}]}\n\n";
        let _ = stream.read(&mut [0; 4096]);
        let trickle = |stream: &mut TcpStream, text: &str| {
            text.bytes().try_for_each(|byte| {
                thread::sleep(Duration::from_millis(2));
                stream.write_all(&[byte])
            })
        };
        trickle(&mut stream, head).unwrap();
        // Until the client has had enough.
        while trickle(&mut stream, event).is_ok() {}
    });
    let options = ["--model", "m", "--prompt", "text", "--requests", "1", "--timeout", "700ms", "--json"];
    let loaded = Loaded::run(load().args(["--url", &format!("http://{address}")]).args(options));
    assert_eq!((loaded.status, loaded.failures("timeout")), (Some(1), 1), "{loaded:?}");
    server.join().unwrap();
}
