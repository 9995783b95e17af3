//! Connections: each has a thread, which takes requests and sends what the engine makes of them.

use std::{
    io,
    net::TcpStream,
    os::fd::AsRawFd as _,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
};

use calibration::http::{Connection, Request};
use serde_json::{Value, json};

use crate::{engine::Job, helper::Helper};

/// What connections share.
#[derive(Clone)]
pub struct Server {
    pub jobs: Sender<Job>,
    pub tokenizer: Arc<Mutex<Helper>>,
    pub chunk_tokens: u64,
    pub event_bytes: usize,
    pub send_buffer: usize,
}

impl Server {
    /// Answers one request after the other.
    pub fn converse(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        limit_send_buffer(&stream, self.send_buffer)?;
        let mut connection = Connection::new(stream);
        while let Some(request) = connection.request()? {
            if request.method == "GET" {
                connection.json(200, r#"{"object":"list","data":[{"id":"planted","object":"model"}]}"#)?;
            } else {
                self.answer(&mut connection, &request)?;
            }
        }
        Ok(())
    }

    fn answer(&self, connection: &mut Connection, request: &Request) -> io::Result<()> {
        let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
            return connection.json(400, r#"{"error":{"message":"the request is no JSON"}}"#);
        };
        let tokens = body["max_tokens"].as_u64().unwrap_or(16).max(1);
        let input_tokens = input_tokens(&body);
        self.tokenizer.lock().unwrap_or_else(PoisonError::into_inner).ask(input_tokens)?;
        let (made, makes) = channel();
        let chunks = input_tokens.div_ceil(self.chunk_tokens).max(1);
        let job = Job { chunks, tokens, made };
        self.jobs.send(job).map_err(|_| io::Error::other("the engine ended"))?;
        connection.begin_stream()?;
        let usual = self.event(None);
        let mut number = 0;
        for () in makes {
            number += 1;
            let last = (number == tokens).then(|| self.event(Some("length")));
            connection.chunk(last.as_ref().unwrap_or(&usual).as_bytes())?;
        }
        let usage = json!({"prompt_tokens": input_tokens, "completion_tokens": number,
                           "total_tokens": input_tokens + number});
        let last = json!({"object": "planted", "choices": [], "usage": usage});
        connection.chunk(format!("data: {last}\n\ndata: [DONE]\n\n").as_bytes())?;
        connection.end_stream()
    }

    /// An event with a token; what makes it long comes last, as probabilities would.
    fn event(&self, reason: Option<&str>) -> String {
        let choice = json!({"index": 0, "text": " a", "finish_reason": reason});
        let short = format!("{{\"choices\":[{choice}],\"rest\":\"");
        let rest = "x".repeat(self.event_bytes.saturating_sub(short.len()));
        format!("data: {short}{rest}\"}}\n\n")
    }
}

fn input_tokens(body: &Value) -> u64 {
    match &body["prompt"] {
        Value::Array(ids) => ids.len() as u64,
        prompt => prompt.as_str().map_or(0, |text| text.split(' ').count() as u64),
    }
}

/// Left to itself the kernel would take in a whole response for a client that does not read.
fn limit_send_buffer(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    let bytes = bytes as libc::c_int;
    // SAFETY: the value is a live integer of that length; the descriptor is open.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
