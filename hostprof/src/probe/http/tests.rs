//! Conversations as the kernel half tells them, and the rows they become.

use super::*;
use crate::{
    probe::Life,
    table::{
        CudaCallRow, Endpoint, GpuIoctlRow, OffCpuCountRow, OffCpuRow, PageFaultRow, RequestError,
        RequestRow, StepRow, SyscallRow, TokenRow,
    },
};

#[derive(Default)]
struct Kept {
    requests: Vec<RequestRow>,
    tokens: Vec<TokenRow>,
}

impl Rows for Kept {
    fn off_cpu(&mut self, _: OffCpuRow) {}
    fn off_cpu_count(&mut self, _: OffCpuCountRow) {}
    fn page_fault(&mut self, _: PageFaultRow) {}
    fn syscall(&mut self, _: SyscallRow) {}
    fn gpu_ioctl(&mut self, _: GpuIoctlRow) {}
    fn cuda_call(&mut self, _: CudaCallRow) {}
    fn step(&mut self, _: StepRow) {}
    fn request(&mut self, row: RequestRow) {
        self.requests.push(row);
    }
    fn token(&mut self, row: TokenRow) {
        self.tokens.push(row);
    }
    fn thread(&mut self, _: &Life) {}
}

/// A server's conversations; each event is a microsecond after the one before.
#[derive(Default)]
struct Server {
    http: Http,
    rows: Kept,
    now: u64,
}

impl Server {
    fn event(&mut self, what: What, text: &[u8], length: usize, arrived: Option<u64>) -> u64 {
        self.now += 1000;
        let event = SocketEvent {
            what,
            utid: Utid(1),
            at: MonoNs(self.now),
            arrived: arrived.map(MonoNs),
            connection: 0xc0,
            length: length as u32,
            text: text.into(),
            wire_bytes: 0,
        };
        self.http.event(&event, Some((Tid(12), Tgid(11))), &mut self.rows);
        self.now
    }

    fn receive(&mut self, text: &str) -> u64 {
        self.event(What::Receive, text.as_bytes(), text.len(), None)
    }

    fn send(&mut self, text: &str) -> u64 {
        self.event(What::Send, text.as_bytes(), text.len(), None)
    }

    fn change(&mut self, what: What) -> u64 {
        self.event(what, b"", 0, None)
    }

    fn request(&self) -> &RequestRow {
        assert_eq!(self.rows.requests.len(), 1, "{:#?}", self.rows.requests);
        &self.rows.requests[0]
    }

    fn times(&self) -> Vec<u64> {
        self.rows.tokens.iter().map(|token| token.ts_mono_ns).collect()
    }
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn chunk(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n", body.len())
}

fn token(text: &str) -> String {
    format!("data: {{\"choices\":[{{\"text\":\"{text}\"}}]}}\n\n")
}

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\n";
const LAST: &str = "0\r\n\r\n";

#[test]
fn the_first_token_is_the_first_chunk_and_not_the_header() {
    let mut server = Server::default();
    let request = post("/v1/completions", "{}");
    let read = server.event(What::Receive, request.as_bytes(), request.len(), Some(400));
    let header = server.send(STREAM);
    let first = server.send(&chunk(&token("a")));
    let second = server.send(&chunk(&token("b")));
    server.send(&chunk(USAGE));
    let end = server.send(&(chunk("data: [DONE]\n\n") + LAST));
    let row = server.request();
    assert_eq!((row.arrival_mono_ns, row.send_mono_ns), (400, Some(read)));
    assert_eq!((row.first_byte_mono_ns, row.first_token_mono_ns), (Some(header), Some(first)));
    assert_eq!((row.end_mono_ns, row.status, row.error), (Some(end), Some(200), None));
    assert_eq!((row.endpoint, row.streamed, row.chunks), (Endpoint::Completions, true, 2));
    assert_eq!((row.tid, row.tgid, row.request_bytes), (Some(12), Some(11), Some(2)));
    assert_eq!(row.request_id, "c0-1");
    assert_eq!(server.times(), [first, second]);
}

#[test]
fn it_is_the_same_wherever_the_bytes_are_cut() {
    let request = post("/v1/chat/completions", "{\"x\":1}");
    let response = STREAM.to_owned() + &chunk(&(token("a") + &token("b"))) + &chunk(USAGE) + LAST;
    for cut in 1..request.len().max(response.len()) {
        let mut server = Server::default();
        for _ in 0..2 {
            for text in [&request[..cut.min(request.len())], &request[cut.min(request.len())..]] {
                if !text.is_empty() {
                    server.receive(text);
                }
            }
            for text in [&response[..cut.min(response.len())], &response[cut.min(response.len())..]] {
                if !text.is_empty() {
                    server.send(text);
                }
            }
        }
        assert_eq!(server.rows.requests.len(), 2, "cut at {cut}");
        assert!(
            server.rows.requests.iter().all(|row| row.chunks == 2 && row.error.is_none()),
            "cut at {cut}"
        );
        assert_eq!(server.http.counts(), HttpCounts { requests: 2, ..HttpCounts::default() }, "cut at {cut}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_turn() {
    let mut server = Server::default();
    let two = post("/completion", "{}") + "GET /metrics HTTP/1.1\r\n\r\n" + &post("/v1/completions", "[1]");
    server.receive(&two);
    let native = server.send(&(STREAM.to_owned() + &chunk("data: {\"content\":\"a\"}\n\n") + LAST));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx 1\n");
    let plain =
        server.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    let ends: Vec<_> = server.rows.requests.iter().map(|row| (row.endpoint, row.end_mono_ns)).collect();
    assert_eq!(ends, [(Endpoint::Native, Some(native)), (Endpoint::Completions, Some(plain))]);
    assert_eq!(server.rows.requests[1].first_token_mono_ns, None, "it was not streamed");
    assert_eq!(server.http.counts().others, 1);
}

#[test]
fn metrics_and_health_checks_are_no_requests() {
    let mut server = Server::default();
    for path in ["/metrics", "/health", "/v1/models", "/"] {
        server.receive(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
    server.receive("HEAD /v1/completions HTTP/1.1\r\n\r\n");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    server.receive(&post("/tokenize", "{}"));
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    assert!(server.rows.requests.is_empty());
    assert_eq!(server.http.counts(), HttpCounts { others: 6, ..HttpCounts::default() });
}

#[test]
fn a_large_send_ends_where_its_chunk_does() {
    // The text's room holds less than was sent.
    let mut server = Server::default();
    server.receive(&post("/v1/completions", "{}"));
    let body = "x".repeat(9000);
    let response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned() + &chunk(&body) + LAST;
    let end = server.event(What::Send, &response.as_bytes()[..4096], response.len(), None);
    let row = server.request();
    assert_eq!((row.end_mono_ns, row.response_bytes), (Some(end), Some(9000)));
    assert_eq!(server.http.counts().lost_places, 0);
}

#[test]
fn a_place_that_is_lost_is_found_again() {
    let mut server = Server::default();
    server.receive(&post("/v1/completions", "{}"));
    server.send(STREAM);
    let two = chunk(&token(&"y".repeat(5000))) + &chunk(&token("z"));
    server.event(What::Send, &two.as_bytes()[..4096], two.len(), None);
    assert_eq!(server.http.counts().lost_places, 1);
    let last = server.send(&chunk(&token("c")));
    server.receive(&post("/v1/completions", "{}"));
    assert_eq!(server.request().end_mono_ns, Some(last));
    let end = server.send(&(STREAM.to_owned() + &chunk(&token("d")) + LAST));
    assert_eq!(server.rows.requests[1].end_mono_ns, Some(end));
    assert_eq!(server.rows.requests[0].chunks + server.rows.requests[1].chunks, 3);
}

#[test]
fn a_stream_that_breaks_off_is_told_with_who_broke_it() {
    for (what, error) in
        [(What::ClientClosed, RequestError::Cancelled), (What::ServerClosed, RequestError::Closed)]
    {
        let mut server = Server::default();
        server.receive(&post("/v1/completions", "{}"));
        server.send(&(STREAM.to_owned() + &chunk(&token("a"))));
        server.change(what);
        let gone = server.change(What::Gone);
        let row = server.request();
        assert_eq!((row.end_mono_ns, row.error, row.chunks), (Some(gone), Some(error), 1));
    }
}

#[test]
fn a_client_that_goes_at_an_error_has_not_cancelled() {
    let mut server = Server::default();
    server.receive(&post("/v1/completions", "{}"));
    server.send(&(STREAM.to_owned() + &chunk("data: {\"error\":{}}\n\n")));
    server.change(What::ClientClosed);
    server.change(What::Gone);
    assert_eq!(server.request().error, Some(RequestError::Server));
}

#[test]
fn a_response_may_end_with_the_connection() {
    let mut server = Server::default();
    server.receive("POST /v1/completions HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}");
    server.send("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    server.send(&token("a"));
    let end = server.change(What::ServerClosed);
    server.change(What::Gone);
    assert_eq!((server.request().end_mono_ns, server.request().error), (Some(end), None));
}

#[test]
fn refusals_errors_and_empty_streams_are_told() {
    let mut server = Server::default();
    server.receive(&post("/v1/completions", "{}"));
    server.send("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n");
    server.receive(&post("/v1/completions", "{}"));
    server.send(&(STREAM.to_owned() + &chunk("data: {\"error\":{}}\n\n") + LAST));
    server.receive(&post("/v1/completions", "{}"));
    server.send(&(STREAM.to_owned() + &chunk("data: [DONE]\n\n") + LAST));
    let errors: Vec<_> = server.rows.requests.iter().map(|row| row.error).collect();
    assert_eq!(errors, [RequestError::Status, RequestError::Server, RequestError::Empty].map(Some));
}

#[test]
fn what_announces_a_response_is_none() {
    let mut server = Server::default();
    server.receive("POST /v1/completions HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    server.send("HTTP/1.1 100 Continue\r\n\r\n");
    server.receive("{}");
    let end = server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!((server.request().status, server.request().end_mono_ns), (Some(200), Some(end)));
}

#[test]
fn requests_in_flight_have_no_end() {
    let mut server = Server::default();
    server.receive(&post("/v1/completions", "{}"));
    server.http.finish(&mut server.rows);
    assert_eq!(
        (server.request().end_mono_ns, server.request().status, server.request().error),
        (None, None, None)
    );
}

#[test]
fn a_response_whose_request_was_lost_invents_nothing() {
    let mut server = Server::default();
    server.send(&(STREAM.to_owned() + &chunk(&token("a")) + LAST));
    server.receive(&post("/v1/completions", "{}"));
    server.send(&(STREAM.to_owned() + &chunk(&token("b")) + LAST));
    assert_eq!(server.request().chunks, 1);
}

proptest::proptest! {
    #[test]
    fn nothing_that_is_sent_breaks_it(
        pieces in proptest::collection::vec((0_u8..9, 0_usize..64, 0_u32..9000), 0..40),
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 64),
    ) {
        let response = STREAM.to_owned() + &chunk(&token("a")) + LAST;
        let request = post("/v1/completions", "{}");
        let mut server = Server::default();
        for (kind, cut, unseen) in pieces {
            let (what, text): (_, &[u8]) = match kind {
                0 => (What::Receive, request.as_bytes()),
                1 => (What::Receive, &request.as_bytes()[..cut]),
                2 => (What::Send, response.as_bytes()),
                3 => (What::Send, &response.as_bytes()[cut..]),
                4 => (What::Send, &noise[..cut]),
                5 => (What::Receive, &noise[cut..]),
                6 => (What::ClientClosed, b""),
                7 => (What::ServerClosed, b""),
                _ => (What::Gone, b""),
            };
            server.event(what, text, text.len() + if cut % 3 == 0 { unseen as usize } else { 0 }, None);
        }
        server.http.finish(&mut server.rows);
        proptest::prop_assert_eq!(server.http.counts().requests, server.rows.requests.len() as u64);
        let chunks: u32 = server.rows.requests.iter().map(|row| row.chunks).sum();
        proptest::prop_assert_eq!(chunks as usize, server.rows.tokens.len());
    }
}
