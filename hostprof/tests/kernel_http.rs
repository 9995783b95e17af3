//! Requests rebuilt from sockets, on the running kernel: each against the clock readings around the very calls.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    io::{IoSlice, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use hostprof::{
    probe::HTTP,
    table::{Endpoint, RequestError, RequestRow, RequestSource, TokenRow},
};
use support::{Recorded, Recorder, mono_ns, receive};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const LAST: &str = "0\r\n\r\n";
const SECRET: &str = "Zw8xSpoken4Ut3";

/// The clock around a call.
type Around = (u64, u64);

fn around(call: impl FnOnce()) -> Around {
    let before = mono_ns();
    call();
    (before, mono_ns())
}

fn within(at: Option<u64>, (before, after): Around) {
    assert!(at.is_some_and(|at| before <= at && at <= after), "{at:?} within {before} and {after}");
}

/// This process, recorded: it holds servers and clients, and only the servers' requests are told.
fn recorder() -> Recorder {
    let me = std::process::id().to_string();
    Recorder::start(&["--pid", &me, "--tree", "exact", "--probe", "sched,http"])
}

fn rows(recorded: &Recorded) -> Vec<RequestRow> {
    let mut rows = recorded.rows::<RequestRow>();
    rows.sort_by_key(|row| row.arrival_mono_ns);
    assert!(rows.iter().all(|row| row.source == RequestSource::Kernel));
    rows
}

fn tokens(recorded: &Recorded, request: &RequestRow) -> Vec<u64> {
    let mut rows = recorded.rows::<TokenRow>();
    rows.retain(|row| row.request_id == request.request_id);
    rows.sort_by_key(|row| row.index);
    rows.iter().map(|row| row.ts_mono_ns).collect()
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: client-7\r\nAuthorization: Bearer {SECRET}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn chunk(text: &str) -> String {
    let data = format!("data: {{\"choices\":[{{\"text\":\"{text}\"}}]}}\n\n");
    format!("{:x}\r\n{data}\r\n", data.len())
}

fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sends by one of the calls that servers send by.
fn send(stream: &mut TcpStream, text: &str, by: usize) {
    let (a, b) = text.as_bytes().split_at(text.len() / 2);
    match by % 2 {
        0 => stream.write_all(text.as_bytes()).unwrap(),
        _ => assert_eq!(stream.write_vectored(&[IoSlice::new(a), IoSlice::new(b)]).unwrap(), text.len()),
    }
}

#[test]
fn requests_of_a_connection_that_is_kept_are_told_to_the_call() {
    let (listener, address) = listen();
    let recorder = recorder();
    let mut client = TcpStream::connect(address).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut seen = Vec::new();
    for round in 0..3 {
        let body = format!("{{\"prompt\":\"{SECRET}\"}}");
        let arrival = around(|| client.write_all(post("/v1/chat/completions", &body).as_bytes()).unwrap());
        thread::sleep(Duration::from_millis(20));
        let read = around(|| receive(&mut server, &body));
        let head = around(|| send(&mut server, HEAD, round));
        let sent: Vec<Around> = (0..5).map(|_| around(|| send(&mut server, &chunk(SECRET), round))).collect();
        let end = around(|| send(&mut server, LAST, round));
        receive(&mut client, LAST);
        seen.push((arrival, read, head, sent, end));
        // What else a server is asked is no request.
        client.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        receive(&mut server, "\r\n\r\n");
        server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        receive(&mut client, "ok");
    }
    drop((client, server));
    let recorded = recorder.interrupt().checked();
    let rows = rows(&recorded);
    assert_eq!(rows.len(), 3);
    for (row, (arrival, read, head, sent, end)) in rows.iter().zip(seen) {
        within(Some(row.arrival_mono_ns), arrival);
        within(row.send_mono_ns, read);
        within(row.first_byte_mono_ns, head);
        within(row.first_token_mono_ns, sent[0]);
        within(row.end_mono_ns, end);
        let tokens = tokens(&recorded, row);
        assert_eq!(tokens.len(), sent.len());
        tokens.iter().zip(sent).for_each(|(&token, sent)| within(Some(token), sent));
        assert_eq!((row.endpoint, row.status, row.error), (Endpoint::Chat, Some(200), None));
        assert_eq!((row.streamed, row.chunks, row.tgid), (true, 5, Some(std::process::id())));
        assert_eq!(row.client_id.as_deref(), Some("client-7"));
    }
    assert!(recorded.notes(HTTP).starts_with("3 requests; 3 were no requests"), "{}", recorded.notes(HTTP));
    recorded.assert_nowhere(SECRET);
}

#[test]
fn a_request_arrives_when_its_bytes_do_though_nobody_accepts() {
    let (listener, address) = listen();
    let recorder = recorder();
    let mut client = TcpStream::connect(address).unwrap();
    let arrival = around(|| client.write_all(post("/completion", "{}").as_bytes()).unwrap());
    thread::sleep(Duration::from_millis(30));
    let (mut server, _) = listener.accept().unwrap();
    let read = around(|| receive(&mut server, "{}"));
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
    receive(&mut client, "{}");
    let rows = rows(&recorder.interrupt());
    within(Some(rows[0].arrival_mono_ns), arrival);
    within(rows[0].send_mono_ns, read);
    assert_eq!((rows.len(), rows[0].endpoint, rows[0].first_token_mono_ns), (1, Endpoint::Native, None));
}

#[test]
fn a_connection_older_than_the_recording_is_told_from_its_next_request_on() {
    let (listener, address) = listen();
    let mut client = TcpStream::connect(address).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut ask = |body: &str| {
        client.write_all(post("/v1/completions", body).as_bytes()).unwrap();
        receive(&mut server, body);
        let sent = around(|| server.write_all((HEAD.to_owned() + &chunk("a") + LAST).as_bytes()).unwrap());
        receive(&mut client, LAST);
        sent
    };
    ask("{1}");
    let recorder = recorder();
    let sent = ask("{2}");
    let rows = rows(&recorder.interrupt());
    assert_eq!(rows.len(), 1);
    within(rows[0].first_token_mono_ns, sent);
}

#[test]
fn pipelined_and_broken_requests_are_told_apart() {
    let (listener, address) = listen();
    let recorder = recorder();
    let mut client = TcpStream::connect(address).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all((post("/v1/completions", "{1}") + &post("/v1/completions", "{2}")).as_bytes()).unwrap();
    receive(&mut server, "{2}");
    let first = around(|| send(&mut server, &(HEAD.to_owned() + &chunk("a") + LAST), 0));
    let second = around(|| send(&mut server, &(HEAD.to_owned() + &chunk("b")), 1));
    receive(&mut client, "\n\n\r\n");
    client.shutdown(Shutdown::Both).unwrap();
    drop(client);
    assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
    drop(server);
    let recorded = recorder.interrupt().checked();
    let mut rows = rows(&recorded);
    rows.sort_by_key(|row| row.first_token_mono_ns);
    assert_eq!(rows.len(), 2);
    within(rows[0].end_mono_ns, first);
    within(rows[1].first_token_mono_ns, second);
    assert_eq!((rows[0].error, rows[1].error), (None, Some(RequestError::Cancelled)));
}

#[test]
fn protocols_that_are_not_read_are_named() {
    let (listener, address) = listen();
    let recorder = recorder();
    for hello in [&b"\x16\x03\x01\x02\x00\x01\x00\x01"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(hello).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.read_exact(&mut vec![0; hello.len()]).unwrap();
        server.write_all(HEAD.as_bytes()).unwrap();
    }
    let recorded = recorder.interrupt();
    assert!(rows(&recorded).is_empty());
    let notes = recorded.notes(HTTP);
    assert!(
        notes.contains("1 connection not read: TLS") && notes.contains("1 connection not read: HTTP/2"),
        "{notes}"
    );
}
