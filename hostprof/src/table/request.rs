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
        /// A file of `vllm bench serve`.
        VllmBench = "vllm_bench",
        /// A file of SGLang's `bench_serving`.
        SglangBench = "sglang_bench",
        /// Metrics of requests that an SGLang server exported.
        Sglang = "sglang",
        /// A file of AIPerf.
        Aiperf = "aiperf",
        /// A file of guidellm.
        Guidellm = "guidellm",
        /// Responses of llama.cpp, kept by whoever asked.
        LlamaCpp = "llama_cpp",
        /// Spans of OpenTelemetry.
        Otel = "otel",
    }
}

impl RequestSource {
    /// Whether its times are those of whoever asked; else of the server.
    pub fn is_client(self) -> bool {
        match self {
            Self::Load | Self::VllmBench | Self::SglangBench | Self::Aiperf | Self::Guidellm => true,
            Self::Kernel | Self::Sglang | Self::LlamaCpp | Self::Otel => false,
        }
    }
}

words! {
    /// How a request was joined with the recording: by what its times are on the recording's clock.
    #[derive(Default)]
    JoinTier {
        /// By its id, which the row of `kernel` in `kernel_id` has as `client_id`: its times fit that row's.
        Exact = "exact",
        /// Its times were read from CLOCK_MONOTONIC on this machine.
        #[default]
        Monotonic = "monotonic",
        /// Its times are those of events of the server's sockets: seen there, or taken from the row in `kernel_id`,
        /// whose durations are its own.
        Socket = "socket",
        /// Its times were read from a wall clock, and the recording's anchors tell what CLOCK_MONOTONIC was then.
        Wall = "wall",
    }
}

table! {
    /// One row is a request to an LLM server, as one source tells it. A request that several tell has a row of each
    /// `source`: `kernel_id` and `client_id` say which rows are of one request. Text of requests and responses is
    /// never stored.
    RequestRow in "request" as RequestColumns, span |row| (row.arrival_mono_ns, row.end_mono_ns.unwrap_or(row.arrival_mono_ns));

    /// Unique within its source: of `load` and `aiperf` what was sent as `x-request-id`; of `kernel` connection and
    /// number; of others the file's own id, or where it has none a name of the file's content and number.
    request_id: String ["" Plain],
    /// When it was due to arrive, CLOCK_MONOTONIC. Of `load`, the intended start, which under an open loop a slow
    /// client does not put off; of `kernel`, when its first byte reached the server's socket, read or not; of other
    /// clients, when they were about to send it; of other servers, when they had received it.
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
    /// Time in which the server computed the prompt, as it tells. Null where it does not.
    prefill_ns: Option<u64> ["ns" Plain],
    /// Time in which the server computed the response's tokens, as it tells. Null where it does not.
    decode_ns: Option<u64> ["ns" Plain],
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
    /// How it was joined with the recording.
    join_tier: JoinTier ["" Dictionary],
    /// How far its times may be off for that, measured: of the file's numbers their rounding; of a wall clock what the
    /// anchors around it differ by, and how exactly they were read; beside a row of `kernel` by how much the two
    /// contradict each other (no answer ends before it was sent). Null where nothing tells.
    join_error_ns: Option<u64> ["ns" Dictionary],
    /// Of an imported row: `request_id` of the row of `kernel` that tells the same request. Null where there is none.
    kernel_id: Option<String> ["" Plain],
    /// Of a row of `kernel`: what the client sent as `x-request-id`. Null where it sent none, or one that is no id
    /// (more than 128 bytes, or others than letters, digits and `-_.:`).
    client_id: Option<String> ["" Plain],
    /// The connection it came by, of `kernel` the socket's cookie; null where it is not known.
    connection: Option<u64> ["" Dictionary],
    /// The thread that read it, in the initial pid namespace; null unless `kernel` saw it.
    tid: Option<u32> ["" Dictionary],
    /// Its process; null as for `tid`.
    tgid: Option<u32> ["" Dictionary],
}
