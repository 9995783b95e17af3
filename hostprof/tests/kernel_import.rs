//! A load generator's file into a recording that saw the same requests: the same instants by two clocks.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    fs,
    io::Write as _,
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hostprof::table::{JoinTier, RequestRow, RequestSource};
use support::{Recorder, hostprof_path, mono_ns, receive};

const SECRET: &str = "Qm5xPlanted8Text";

fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// A request and its answer on one connection, as `AIPerf` writes them down; and CLOCK_MONOTONIC just before and after
/// its start was read.
fn ask(client: &mut TcpStream, server: &mut TcpStream, id: &str) -> (String, (u64, u64)) {
    let before = mono_ns();
    let start = wall_ns();
    let after = mono_ns();
    let body = format!("{{\"prompt\":\"{SECRET}\"}}");
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nX-Request-ID: {id}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(format!("{head}{body}").as_bytes()).unwrap();
    receive(server, &body);
    thread::sleep(Duration::from_millis(5));
    let event = format!("data: {{\"choices\":[{{\"text\":\"{SECRET}\"}}]}}\n\n");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n{event}",
        event.len()
    );
    server.write_all(answer.as_bytes()).unwrap();
    receive(client, "\n\n");
    let end = wall_ns();
    let ttft = (end - start) as f64 / 1e6;
    let line = format!(
        r#"{{"metadata":{{"x_request_id":"{id}","request_start_ns":{start},"request_end_ns":{end}}},"metrics":{{"time_to_first_token":{{"value":{ttft},"unit":"ms"}}}},"output":"{SECRET}"}}"#
    );
    (line, (before, after))
}

#[test]
fn a_file_named_at_the_start_is_joined_at_the_end_by_id_and_within_a_millisecond() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("profile_export.jsonl");
    let me = std::process::id().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let recorder = Recorder::start(&[
        "--pid",
        &me,
        "--tree",
        "exact",
        "--probe",
        "sched,http",
        "--requests",
        file.to_str().unwrap(),
    ]);
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let asked: Vec<_> = (0..8).map(|number| ask(&mut client, &mut server, &format!("id-{number}"))).collect();
    let lines: Vec<&str> = asked.iter().map(|(line, _)| line.as_str()).collect();
    fs::write(&file, format!("{}\nnot a request\n", lines.join("\n"))).unwrap();
    let recorded = recorder.interrupt();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    assert!(recorded.stderr.contains("profile_export.jsonl:9: no JSON"), "{}", recorded.stderr);
    assert!(recorded.stderr.contains("8 requests of profile_export.jsonl"), "{}", recorded.stderr);

    let rows = recorded.rows::<RequestRow>();
    let of = |source: RequestSource| rows.iter().filter(move |row| row.source == source);
    assert_eq!((of(RequestSource::Kernel).count(), of(RequestSource::Aiperf).count()), (8, 8));
    for row in of(RequestSource::Aiperf) {
        let number: usize = row.request_id.strip_prefix("id-").unwrap().parse().unwrap();
        let (before, after) = asked[number].1;
        assert_eq!(row.join_tier, JoinTier::Exact);
        let error = row.join_error_ns.unwrap();
        assert!(error < 1_000_000, "{error} ns");
        assert!(
            before - error.min(before) <= row.arrival_mono_ns && row.arrival_mono_ns <= after + error,
            "{row:?}"
        );
        let kernel = of(RequestSource::Kernel)
            .find(|kernel| Some(&kernel.request_id) == row.kernel_id.as_ref())
            .unwrap();
        assert_eq!(kernel.client_id.as_ref(), Some(&row.request_id));
        assert!(
            kernel.arrival_mono_ns + error >= row.arrival_mono_ns,
            "the client sent before the server had it"
        );
    }
    recorded.assert_nowhere(SECRET);

    let again = Command::new(hostprof_path()).arg("import").arg(&recorded.run).arg(&file).output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    let told = String::from_utf8(again.stderr).unwrap();
    assert!(told.contains("its content is in"), "{told}");
}
