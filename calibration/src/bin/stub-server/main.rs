//! `stub-server`: an OpenAI-compatible server on loopback that does as told, for the tests of `hostprof load`.

#![allow(clippy::doc_markdown, reason = "the doc comments here are help texts, read on a terminal")]

mod answer;
mod fault;

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use calibration::http;
use clap::Parser;

use fault::Fault;

/// Enough for what a connection does: there may be thousands.
const STACK_BYTES: usize = 128 << 10;

/// Answer requests for completions, well or badly, on 127.0.0.1
///
/// Standard output is one line of JSON, {"ready":true,"port":…}. GET /v1/models lists one model, GET /stats tells
/// {"connections":…,"requests":…,"most_at_a_time":…}. A request for a completion gets as many tokens as it asks for;
/// the last event has the server's own times in "timings", as llama.cpp does. Ends by signal.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Port, 0 for any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Milliseconds from a request to its first token
    #[arg(long, default_value_t = 0.0)]
    delay: f64,
    /// Milliseconds between tokens
    #[arg(long, default_value_t = 0.0)]
    gap: f64,
    /// Misbehave
    #[arg(long, value_enum)]
    fault: Option<Fault>,
    /// Only at each Kth request, the first being the Kth
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Only at so many requests
    #[arg(long, default_value_t = u64::MAX)]
    times: u64,
    /// Refuse token ids with status 400
    #[arg(long)]
    no_ids: bool,
    /// Refuse ignore_eos with status 400
    #[arg(long)]
    no_ignore_eos: bool,
    /// Tell no usage
    #[arg(long)]
    no_usage: bool,
    /// Refuse requests that have not this key
    #[arg(long)]
    key: Option<String>,
}

/// What connections share.
#[derive(Debug)]
struct Server {
    delay: Duration,
    gap: Duration,
    fault: Option<Fault>,
    every: u64,
    times: u64,
    no_ids: bool,
    no_ignore_eos: bool,
    no_usage: bool,
    key: Option<String>,
    connections: AtomicU64,
    requests: AtomicU64,
    faults: AtomicU64,
    at_a_time: AtomicU64,
    most_at_a_time: AtomicU64,
}

impl Server {
    /// How to misbehave at the request that now came, if at all.
    fn fault(&self) -> Option<Fault> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = self.fault.filter(|_| number.is_multiple_of(self.every))?;
        (self.faults.fetch_add(1, Ordering::Relaxed) < self.times).then_some(fault)
    }

    fn began(&self) {
        let now = self.at_a_time.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_a_time.fetch_max(now, Ordering::Relaxed);
    }

    fn ended(&self) {
        self.at_a_time.fetch_sub(1, Ordering::Relaxed);
    }

    fn stats(&self) -> String {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        serde_json::json!({
            "connections": of(&self.connections),
            "requests": of(&self.requests),
            "most_at_a_time": of(&self.most_at_a_time),
        })
        .to_string()
    }
}

fn main() -> ExitCode {
    match serve(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stub-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Arguments) -> io::Result<()> {
    let ms = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
    let server = Arc::new(Server {
        delay: ms(arguments.delay),
        gap: ms(arguments.gap),
        fault: arguments.fault,
        every: arguments.every,
        times: arguments.times,
        no_ids: arguments.no_ids,
        no_ignore_eos: arguments.no_ignore_eos,
        no_usage: arguments.no_usage,
        key: arguments.key,
        connections: AtomicU64::new(0),
        requests: AtomicU64::new(0),
        faults: AtomicU64::new(0),
        at_a_time: AtomicU64::new(0),
        most_at_a_time: AtomicU64::new(0),
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port))?;
    println!("{{\"ready\":true,\"port\":{}}}", listener.local_addr()?.port());
    io::stdout().flush()?;
    for stream in listener.incoming() {
        let (stream, server) = (stream?, Arc::clone(&server));
        server.connections.fetch_add(1, Ordering::Relaxed);
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            // A client that goes away ends its connection, and no more.
            let _ = converse(&server, stream);
        })?;
    }
    Ok(())
}

/// Answers one request after the other.
fn converse(server: &Server, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = http::Connection::new(stream);
    while let Some(request) = connection.request()? {
        if request.method == "GET" {
            let (status, body) = match request.path.as_str() {
                "/v1/models" => {
                    (200, r#"{"object":"list","data":[{"id":"stub","object":"model"}]}"#.to_owned())
                }
                "/stats" => (200, server.stats()),
                _ => (404, r#"{"error":{"message":"no such path"}}"#.to_owned()),
            };
            connection.json(status, &body)?;
            continue;
        }
        server.began();
        let goes_on = answer::answer(server, &mut connection, &request);
        server.ended();
        if !goes_on? {
            break;
        }
    }
    Ok(())
}
