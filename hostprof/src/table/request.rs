//! Table `request`: requests to an LLM server, from whoever saw them.

use super::{table, word::words};

words! {
    /// What a request asked for, by the path of its URL.
    #[derive(Default)]
    Endpoint {
        /// `/v1/completions`, `/completions`.
        Completions = "completions",
        /// `/v1/chat/completions`, `/chat/completions`.
        Chat = "chat",
        /// `/v1/responses`, `/responses`.
        Responses = "responses",
        /// `/v1/messages`.
        Messages = "messages",
        /// An engine's own: `/completion` and `/infill` of llama.cpp, `/generate` of SGLang and vLLM.
        Native = "native",
        /// Another path, answered by a stream of events.
        #[default]
        Other = "other",
    }
}

impl Endpoint {
    /// How paths of endpoints end: the longer before what it ends in, an endpoint's usual one first.
    pub const PATHS: [(&'static str, Self); 8] = [
        ("/chat/completions", Self::Chat),
        ("/completions", Self::Completions),
        ("/responses", Self::Responses),
        ("/messages", Self::Messages),
        ("/completion", Self::Native),
        ("/infill", Self::Native),
        ("/generate", Self::Native),
        ("/generate_stream", Self::Native),
    ];

    /// How its usual path ends; empty for another path.
    pub fn path(self) -> &'static str {
        Self::PATHS.iter().find(|(_, of)| *of == self).map_or("", |(end, _)| end)
    }
}

words! {
    /// What kept a request from being answered in full.
    #[derive(Default)]
    RequestError {
        /// No connection could be made.
        Connect = "connect",
        /// It took longer than was allowed.
        Timeout = "timeout",
        /// The server closed the connection before the response was whole.
        Closed = "closed",
        /// What the server sent is no HTTP.
        Http = "http",
        /// The status of the response is none of success.
        Status = "status",
        /// The body of the response is not what was asked for: no event stream, no JSON.
        Malformed = "malformed",
        /// The server told an error within a stream that had begun well.
        Server = "server",
        /// The response ended well and held no token.
        Empty = "empty",
        /// The client closed the connection, or was told to end, before the response was whole.
        Cancelled = "cancelled",
        /// None of these.
        #[default]
        Other = "other",
    }
}

words! {
    /// Who saw a request.
    #[derive(Default)]
    RequestSource {
        /// `hostprof load`, which made it.
        #[default]
        Load = "load",
        /// Probe `http`, on the server's sockets.
        Kernel = "kernel",
    }
}

words! {
    /// How a request's times were put on the recording's clock.
    #[derive(Default)]
    JoinTier {
        /// They were read from CLOCK_MONOTONIC on this machine.
        #[default]
        Monotonic = "monotonic",
        /// They are those of events of the server's sockets.
        Socket = "socket",
    }
}

table! {
    /// One row is a request to an LLM server. Where `hostprof load` ran inside a recording that also had probe
    /// `http`, a request has a row of each `source`. Text of requests and responses is never stored.
    RequestRow in "request" as RequestColumns, span |row| (row.arrival_mono_ns, row.end_mono_ns.unwrap_or(row.arrival_mono_ns));

    /// Unique within its source: of `load` what was sent as `x-request-id`; of `kernel` connection and number.
    request_id: String ["" Plain],
    /// When it was due to arrive, CLOCK_MONOTONIC. Of `load`, the intended start, which under an open loop a slow
    /// client does not put off; of `kernel`, when its first byte reached the server's socket, read or not.
    arrival_mono_ns: u64 ["ns" Delta],
    /// When its first byte was handed over: of `load`, to the client's socket; of `kernel`, to the server. Null where
    /// that did not come to be.
    send_mono_ns: Option<u64> ["ns" Delta],
    /// When the first byte of the response, its header included, was received by the client (`load`) or sent by the
    /// server (`kernel`). Null where there was none.
    first_byte_mono_ns: Option<u64> ["ns" Delta],
    /// When the first token, or chunk of tokens, was: TTFT is this less `arrival_mono_ns`. Not the header, which some
    /// servers send before prefill ends. Null where there was none, and for a response that was not streamed.
    first_token_mono_ns: Option<u64> ["ns" Delta],
    /// When the response was whole, or failed; null where recording ended before.
    end_mono_ns: Option<u64> ["ns" Delta],
    /// From its arrival to the server's taking it up, as the server tells. Null where it does not.
    queue_ns: Option<u64> ["ns" Plain],
    /// Tokens of the prompt, as the server counts them; null where it does not tell.
    input_tokens: Option<u32> ["" Dictionary],
    /// Tokens of the response, as the server counts them; null where it does not tell.
    output_tokens: Option<u32> ["" Dictionary],
    /// Tokens of the prompt that the server had in its cache; null where it does not tell.
    cached_tokens: Option<u32> ["" Dictionary],
    /// Rows of `token` the request has.
    chunks: u32 ["" Dictionary],
    /// Bytes of its body; null where they are not known.
    request_bytes: Option<u64> ["bytes" Dictionary],
    /// Bytes of the response's body, without the framing of chunks; null as above.
    response_bytes: Option<u64> ["bytes" Dictionary],
    /// What it asked for.
    endpoint: Endpoint ["" Dictionary],
    /// Whether the response was a stream of events.
    streamed: bool ["" Dictionary],
    /// Status of the response; null where there was none.
    status: Option<u16> ["" Dictionary],
    /// Why the server ended the response, as it tells: stop, length. Null where it does not.
    finish_reason: Option<String> ["" Dictionary],
    /// What went wrong; null where nothing did.
    error: Option<RequestError> ["" Dictionary],
    /// How late the client was at most, in this request, to do what was due: its own doing, not the server's. Null
    /// where that is not measured.
    client_delay_ns: Option<u64> ["ns" Plain],
    /// Who saw it.
    source: RequestSource ["" Dictionary],
    /// How its times were put on this clock.
    join_tier: JoinTier ["" Dictionary],
    /// How far they may be off for that. Null where it is not known.
    join_error_ns: Option<u64> ["ns" Dictionary],
    /// The connection it came by, of `kernel` the socket's cookie; null where it is not known.
    connection: Option<u64> ["" Dictionary],
    /// The thread that read it, in the initial pid namespace; null unless `kernel` saw it.
    tid: Option<u32> ["" Dictionary],
    /// Its process; null as for `tid`.
    tgid: Option<u32> ["" Dictionary],
}
