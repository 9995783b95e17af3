//! `planted-server`: an OpenAI-compatible server with the parts of a serving engine, in which causes of slow requests can be
//! planted.
//!
//! A thread a connection; one `engine` that batches, with workers beside it; a `tokenizer` and a `detokenizer` in
//! processes of their own; threads that keep the engine's cache and share its lock; weights read through the page cache,
//! and adapters that are not kept in it. What it computes is a fixed amount of work, so it takes longer where it is held.

#![allow(clippy::doc_markdown, reason = "the doc comments here are help texts, read on a terminal")]

mod cache;
mod engine;
mod helper;
mod orders;
mod serve;
mod storage;
mod work;

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex},
    thread,
};

use clap::Parser;

use self::{cache::Cache, engine::Engine, helper::Helper, orders::Orders, serve::Server, work::Pace};

/// Serve completions on 127.0.0.1, and do on standard input's orders what makes them slow
///
/// Standard output is one line of JSON: {"ready":true,"port":…,"helpers":{"tokenizer":PID,"detokenizer":PID}}. Ends by
/// signal, or at the end of standard input. Orders, a line each:
///
/// hold metrics|evictor|logger MS sleep|compute : that thread takes the cache's lock, and keeps it;
///
/// yield COUNT US MS engine|compute-1 : threads on that one's CPUs work for US, give way, and so on, for MS;
///
/// read file|map : how weights are read from now on;
///
/// gap US MS sleep|compute : for MS, the engine does something else for US before each step;
///
/// warm : all weights are read, then {"warm":true} is told.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Port, 0 for any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Threads that compute beside the engine
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Microseconds of work of a step that makes a token of each request
    #[arg(long, default_value_t = 8000)]
    step_us: u64,
    /// Microseconds of work of a chunk of a prompt; a step has one chunk of one request
    #[arg(long, default_value_t = 5000)]
    chunk_us: u64,
    /// Tokens of a chunk
    #[arg(long, default_value_t = 16)]
    chunk_tokens: u64,
    /// File of weights; a step reads blocks of it
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Blocks of 16 KiB that a step reads
    #[arg(long, default_value_t = 192)]
    reads: u32,
    /// File or device of adapters; a chunk, and every eighth step, reads a block that is not in memory
    #[arg(long)]
    adapter: Option<PathBuf>,
    /// Bytes of an event
    #[arg(long, default_value_t = 1024)]
    event_bytes: usize,
    /// Bytes that a connection's socket may hold of what is sent
    #[arg(long, default_value_t = 16 << 10)]
    send_buffer: usize,
    /// Compute on the GPU
    #[arg(long)]
    gpu: bool,
    /// Be a helper process of this name
    #[arg(long, hide = true)]
    helper: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.helper {
        Some(name) => helper::be(name),
        None => serve(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("planted-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> io::Result<()> {
    let pace = Pace::measure();
    let cache = Arc::new(Cache::start(pace)?);
    let (tokenizer, detokenizer) = (Helper::start("tokenizer")?, Helper::start("detokenizer")?);
    let helpers = serde_json::json!({"tokenizer": tokenizer.pid(), "detokenizer": detokenizer.pid()});
    let engine_orders = Arc::default();
    let engine = Engine::new(arguments, pace, Arc::clone(&cache), detokenizer, Arc::clone(&engine_orders))?;
    let jobs = engine.start()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port))?;
    let port = listener.local_addr()?.port();
    println!("{}", serde_json::json!({"ready": true, "port": port, "helpers": helpers}));
    io::stdout().flush()?;
    let weights = arguments.weights.clone();
    let orders = Orders { pace, cache, engine: engine_orders, weights };
    thread::Builder::new().name("orders".to_owned()).spawn(move || orders.obey())?;
    let tokenizer = Arc::new(Mutex::new(tokenizer));
    let server = Server {
        jobs,
        tokenizer,
        chunk_tokens: arguments.chunk_tokens.max(1),
        event_bytes: arguments.event_bytes,
        send_buffer: arguments.send_buffer,
    };
    for (number, stream) in listener.incoming().enumerate() {
        let (stream, server) = (stream?, server.clone());
        // A client that goes away ends its connection, and no more.
        let body = move || drop(server.converse(stream));
        thread::Builder::new().name(format!("http-{number}")).spawn(body)?;
    }
    Ok(())
}
