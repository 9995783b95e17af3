//! An engine's metrics in a recording: what the page said, at the time it said so.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[path = "kernel/support/mod.rs"]
mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use hostprof::table::EngineSampleRow;
use support::{Recorder, mono_ns, poll};

/// An engine whose page says how often it was asked, and what it answered when.
struct Engine {
    address: SocketAddr,
    answers: Arc<Mutex<Vec<(u64, u64)>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    fn start(status: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (answers, is_over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (told, over) = (Arc::clone(&answers), Arc::clone(&is_over));
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                serve(&mut stream.unwrap(), status, &told);
            }
        });
        Self { address, answers, is_over, thread: Some(thread) }
    }

    fn answers(&self) -> Vec<(u64, u64)> {
        self.answers.lock().unwrap().clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(stream: &mut TcpStream, status: &str, told: &Mutex<Vec<(u64, u64)>>) {
    let mut request = [0; 4096];
    let length = stream.read(&mut request).unwrap();
    if !request[..length].starts_with(b"GET /metrics ") {
        return;
    }
    let mut told = told.lock().unwrap();
    let number = told.len() as u64 + 1;
    let body = format!(
        "# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing {number}\n\
         llamacpp:requests_deferred 0\nllamacpp:prompt_seconds_total {number}.25\n"
    );
    told.push((mono_ns(), number));
    let length = body.len();
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
}

fn recorder(more: &[&str]) -> Recorder {
    let me = std::process::id().to_string();
    let all = ["--pid", &me, "--tree", "exact", "--probe", "sched", "--sample-interval", "100ms"];
    Recorder::start(&[&all[..], more].concat())
}

fn hold(engine: &Engine, rows: &[EngineSampleRow]) {
    let answers = engine.answers();
    assert_eq!(rows.len(), answers.len(), "each answer is a row");
    for (row, (at, number)) in rows.iter().zip(answers) {
        assert_eq!((row.engine.as_str(), row.running, row.waiting), ("llama.cpp", Some(number), Some(0)));
        assert_eq!(row.prefill_ns, Some(number * 1_000_000_000 + 250_000_000));
        assert_eq!((row.kv_used_ratio, row.finished), (None, None), "absent is null");
        assert!(
            row.ts_mono_ns <= at && at <= row.ts_mono_ns + row.read_ns,
            "asked before and answered after"
        );
        assert_eq!(row.server, engine.address.to_string());
    }
}

#[test]
fn a_page_that_is_named_becomes_a_row_each_time_it_answers() {
    let engine = Engine::start("200 OK");
    let recorder = recorder(&["--metrics", &format!("http://{}", engine.address)]);
    poll("five samples", || (engine.answers().len() >= 5).then_some(()));
    let recorded = recorder.interrupt();
    assert!(recorded.status.success(), "{}", recorded.stderr);
    hold(&engine, &recorded.rows::<EngineSampleRow>());
    assert!(recorded.config().samples.notes.iter().all(|note| !note.contains("engine")));
}

#[test]
fn an_engine_of_the_target_is_found_by_its_listening_socket() {
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    fs::write("/proc/self/comm", "llama-server").unwrap();
    let engine = Engine::start("200 OK");
    let recorder = recorder(&[]);
    poll("two samples", || (engine.answers().len() >= 2).then_some(()));
    let recorded = recorder.interrupt();
    fs::write("/proc/self/comm", name.trim_end()).unwrap();
    hold(&engine, &recorded.rows::<EngineSampleRow>());
}

#[test]
fn a_program_that_is_no_engine_is_not_asked() {
    let engine = Engine::start("200 OK");
    let recorder = recorder(&["--duration", "600ms"]);
    let recorded = recorder.finish();
    assert_eq!(engine.answers(), []);
    assert_eq!(recorded.rows::<EngineSampleRow>(), []);
}

#[test]
fn an_engine_without_a_page_is_noted_with_the_remedy() {
    let engine = Engine::start("501 Not Implemented");
    let recorder = recorder(&["--metrics", &format!("http://{}", engine.address)]);
    poll("an answer", || (engine.answers().len() >= 2).then_some(()));
    let recorded = recorder.interrupt();
    assert_eq!(recorded.rows::<EngineSampleRow>(), []);
    let notes = &recorded.config().samples.notes;
    assert!(notes.iter().any(|note| note.contains("501 (start llama-server with --metrics)")), "{notes:?}");
}
