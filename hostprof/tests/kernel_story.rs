//! What a request waited for, on the running kernel: a server with two workers, one of which is slow once.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{Recorder, hostprof, receive};

const REQUEST: &str = "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const LAST: &str = "0\r\n\r\n";
const REQUESTS: usize = 12;
const SLOW: usize = 7;
const TOKENS: usize = 4;
/// What the slow worker sleeps before the first token.
const HELD: Duration = Duration::from_millis(300);

/// A worker: does what it is told, then answers.
fn worker(name: &str) -> (Sender<Duration>, Receiver<()>) {
    let (ask, asked) = channel::<Duration>();
    let (answer, answered) = channel();
    let work = move || {
        for held in asked {
            thread::sleep(held);
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(8) {
                std::hint::spin_loop();
            }
            answer.send(()).unwrap();
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).unwrap();
    (ask, answered)
}

/// Serves on a connection; the usual worker makes each token, but the first of the slow request, which the other does.
fn serve(mut stream: TcpStream) {
    let (usual, other) = (worker("usual"), worker("other"));
    for request in 0..REQUESTS {
        receive(&mut stream, "{}");
        stream.write_all(HEAD.as_bytes()).unwrap();
        for token in 0..TOKENS {
            let (by, held) =
                if (request, token) == (SLOW, 0) { (&other, HELD) } else { (&usual, Duration::ZERO) };
            by.0.send(held).unwrap();
            by.1.recv().unwrap();
            let data = "data: {\"choices\":[{\"text\":\"a\"}]}\n\n";
            write!(stream, "{:x}\r\n{data}\r\n", data.len()).unwrap();
        }
        stream.write_all(LAST.as_bytes()).unwrap();
    }
}

fn output(arguments: &[&str], run: &Path) -> String {
    let output = hostprof().arg(arguments[0]).arg(run).args(&arguments[1..]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_report_names_the_thread_that_a_slow_request_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let me = std::process::id().to_string();
    let recorder = Recorder::start(&["--pid", &me, "--tree", "exact", "--probe", "sched,waker,http"]);
    let server = thread::Builder::new().name("server".to_owned());
    let server = server.spawn(move || serve(listener.accept().unwrap().0)).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    for _ in 0..REQUESTS {
        client.write_all(REQUEST.as_bytes()).unwrap();
        receive(&mut client, LAST);
    }
    server.join().unwrap();
    let recorded = recorder.interrupt().checked();

    let report = recorded.report();
    let story = &report["story"];
    assert_eq!(story["requests"], REQUESTS);
    for window in story["ledger"].as_array().unwrap().iter().flat_map(|of| of["windows"].as_array().unwrap())
    {
        for role in window["roles"].as_array().unwrap() {
            let states = role["states_ns"].as_object().unwrap().values();
            assert_eq!(states.map(|ns| ns.as_u64().unwrap()).sum::<u64>(), role["wall_ns"].as_u64().unwrap());
        }
    }
    let slowest = story["told"].as_array().unwrap().iter().find(|told| told["which"] == "slowest").unwrap();
    let prefill = slowest["phases"].as_array().unwrap().iter().find(|of| of["kind"] == "prefill").unwrap();
    let path = prefill["path"].as_array().unwrap();
    let length = prefill["end_mono_ns"].as_u64().unwrap() - prefill["start_mono_ns"].as_u64().unwrap();
    assert_eq!(path.iter().map(|part| part["ns"].as_u64().unwrap()).sum::<u64>(), length);
    assert_eq!(
        (path[0]["comm"].as_str(), path[0]["state"].as_str()),
        (Some("other"), Some("sleep")),
        "{path:?}"
    );
    assert!(path[0]["ns"].as_u64().unwrap() >= HELD.as_nanos() as u64 * 99 / 100);

    let findings = story["findings"].as_array().unwrap();
    assert_eq!(findings[0]["cause"], "lock", "{findings:?}");
    let evidence = findings[0]["evidence"].to_string();
    assert!(evidence.contains("which other ") && evidence.contains("sleep 3"), "{evidence}");

    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    output(&["report", "--html", &file("report.html")], &recorded.run);
    output(&["share", "-o", &file("share.html")], &recorded.run);
    let [page, shared] =
        ["report.html", "share.html"].map(|name| std::fs::read_to_string(file(name)).unwrap());
    assert!(page.contains("<code>lock</code>") && page.contains("other"));
    let id = slowest["request"]["request_id"].as_str().unwrap();
    assert!(page.contains(id) && !shared.contains(id));
    assert!(!shared.contains("usual") && shared.contains("<code>lock</code>"));

    let trace: Value = serde_json::from_str(&output(&["export", "--to", "perfetto"], &recorded.run)).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let slept: f64 = events
        .iter()
        .filter(|event| event["ph"] == "X" && event["tid"] == path[0]["tid"] && event["name"] == "sleep")
        .map(|event| event["dur"].as_f64().unwrap())
        .sum();
    assert!(slept >= HELD.as_micros() as f64, "{slept}");
    let begun = events.iter().filter(|event| event["ph"] == "b" && event["name"] == "request (kernel)");
    assert_eq!(begun.filter(|event| event["args"]["request"] == id).count(), 1);
}
