//! The answer to a request for a completion.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use calibration::http::{Connection, Request};
use serde_json::{Value, json};

use crate::{Server, fault::Fault};

/// What a request asks for.
struct Asked {
    input_tokens: usize,
    output_tokens: u64,
    is_chat: bool,
    streams: bool,
}

/// Answers. Returns whether the connection goes on.
pub fn answer(server: &Server, connection: &mut Connection, request: &Request) -> io::Result<bool> {
    let began = Instant::now();
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        connection.json(400, r#"{"error":{"message":"the request is no JSON"}}"#)?;
        return Ok(true);
    };
    if let Some(refusal) = refusal(server, request, &body) {
        connection.json(refusal.0, &json!({"error": {"message": refusal.1}}).to_string())?;
        return Ok(true);
    }
    let asked = Asked {
        input_tokens: input_tokens(&body),
        output_tokens: body["max_tokens"].as_u64().or(body["n_predict"].as_u64()).unwrap_or(16),
        is_chat: body["messages"].is_array(),
        streams: body["stream"] == true,
    };
    let fault = server.fault();
    if let Some(fault) = fault
        && fault.instead(connection)?
    {
        return Ok(fault.keeps_connection());
    }
    thread::sleep(server.delay);
    if !asked.streams || fault == Some(Fault::NoStream) {
        thread::sleep(server.gap * asked.output_tokens.saturating_sub(1) as u32);
        connection.json(200, &whole(server, &asked, began).to_string())?;
        return Ok(true);
    }
    connection.bytewise = fault == Some(Fault::Bytewise);
    let goes_on = stream(server, connection, &asked, fault, began);
    connection.bytewise = false;
    goes_on
}

fn refusal(server: &Server, request: &Request, body: &Value) -> Option<(u16, &'static str)> {
    if server.key.as_ref().is_some_and(|key| request.authorization != format!("Bearer {key}")) {
        return Some((401, "no such key"));
    }
    if server.no_ids && body["prompt"].is_array() {
        return Some((400, "a prompt must be a text"));
    }
    (server.no_ignore_eos && body.get("ignore_eos").is_some()).then_some((400, "unknown field ignore_eos"))
}

fn input_tokens(body: &Value) -> usize {
    let words = |text: &Value| text.as_str().map_or(0, |text| text.split(' ').count());
    match (&body["prompt"], &body["messages"]) {
        (Value::Array(ids), _) => ids.len(),
        (_, Value::Array(messages)) => messages.iter().map(|message| words(&message["content"])).sum(),
        (prompt, _) => words(prompt),
    }
}

fn usage(asked: &Asked) -> Value {
    json!({
        "prompt_tokens": asked.input_tokens,
        "completion_tokens": asked.output_tokens,
        "total_tokens": asked.input_tokens as u64 + asked.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    })
}

fn timings(began: Instant, first: Instant, last: Instant) -> Value {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    json!({"prompt_ms": ms(first - began), "predicted_ms": ms(last - first)})
}

fn whole(server: &Server, asked: &Asked, began: Instant) -> Value {
    let text = " a".repeat(asked.output_tokens as usize);
    let choice = if asked.is_chat {
        json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"})
    } else {
        json!({"index": 0, "text": text, "finish_reason": "length"})
    };
    let now = Instant::now();
    let mut answer = json!({"object": "stub", "choices": [choice], "timings": timings(began, now, now)});
    if !server.no_usage {
        answer["usage"] = usage(asked);
    }
    answer
}

fn stream(
    server: &Server,
    connection: &mut Connection,
    asked: &Asked,
    fault: Option<Fault>,
    began: Instant,
) -> io::Result<bool> {
    connection.begin_stream()?;
    let crlf = fault == Some(Fault::Crlf);
    let event = |data: &str| if crlf { format!("data:{data}\r\n\r\n") } else { format!("data: {data}\n\n") };
    let token = |text: &str, reason: Option<&str>| {
        let choice = if asked.is_chat {
            json!({"index": 0, "delta": {"content": text}, "finish_reason": reason})
        } else {
            json!({"index": 0, "text": text, "finish_reason": reason})
        };
        event(&json!({"object": "stub", "choices": [choice]}).to_string())
    };
    if crlf {
        connection.chunk(b": a comment\r\n\r\n")?;
    }
    let (usual, last_token) = (token(" a", None), token(" a", Some("length")));
    let mut first = None;
    let count = if fault == Some(Fault::NoToken) { 0 } else { asked.output_tokens };
    for number in 0..count {
        if number > 0 {
            thread::sleep(server.gap);
        }
        // Before it is sent: who receives it may be faster than who sent it.
        first.get_or_insert_with(Instant::now);
        if number >= count / 2 {
            match fault {
                Some(Fault::CloseMidway) => return Ok(false),
                Some(Fault::EndMidway) => return connection.end_stream().map(|()| true),
                Some(Fault::BadEvent) => connection.chunk(event("{\"choices\":").as_bytes())?,
                Some(Fault::ErrorEvent) => {
                    connection.chunk(event(r#"{"error":{"message":"out of memory"}}"#).as_bytes())?;
                }
                _ => {}
            }
        }
        let is_last = number + 1 == count;
        connection.chunk(if is_last { last_token.as_bytes() } else { usual.as_bytes() })?;
    }
    let now = Instant::now();
    let mut last =
        json!({"object": "stub", "choices": [], "timings": timings(began, first.unwrap_or(now), now)});
    if !server.no_usage {
        last["usage"] = usage(asked);
    }
    connection.chunk(format!("{}{}", event(&last.to_string()), event("[DONE]")).as_bytes())?;
    connection.end_stream()?;
    Ok(fault != Some(Fault::CloseAfter))
}
