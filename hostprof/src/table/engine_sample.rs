//! Table `engine_sample`: what an inference engine tells of itself.

use super::table;

table! {
    /// One row is an engine at an instant, as its page of metrics (`/metrics`) tells, one at each sample that was
    /// answered. What the engine does not tell is null. Of an engine with several cores counts are sums.
    EngineSampleRow in "engine_sample" as EngineSampleColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns);

    /// Just before the page was asked for, CLOCK_MONOTONIC.
    ts_mono_ns: u64 ["ns" Delta],
    /// The engine, told by the names of its metrics: vLLM, SGLang, llama.cpp.
    engine: String ["" Dictionary],
    /// Host and port that were asked.
    server: String ["" Dictionary],
    /// How long the answer took.
    read_ns: u64 ["ns" Plain],
    /// Requests that are worked on.
    running: Option<u64> ["" Dictionary],
    /// Requests that wait for that.
    waiting: Option<u64> ["" Dictionary],
    /// Share of the KV cache in use, 0 to 1; of several cores that of the fullest. llama.cpp does not tell it.
    kv_used_ratio: Option<f64> ["ratio" Plain],
    /// Tokens of prompts that were found in the prefix cache, cumulative.
    prefix_hits: Option<u64> ["" Delta],
    /// Tokens of prompts that were looked for there, cumulative.
    prefix_queries: Option<u64> ["" Delta],
    /// Requests that were put back to make room (SGLang: retracted), cumulative; llama.cpp has none.
    preemptions: Option<u64> ["" Delta],
    /// Tokens of prompts, those from the cache included, cumulative.
    input_tokens: Option<u64> ["" Delta],
    /// Tokens of responses, cumulative.
    output_tokens: Option<u64> ["" Delta],
    /// Requests that were answered, cumulative; llama.cpp does not tell it.
    finished: Option<u64> ["" Delta],
    /// Time that requests have waited for their first turn, summed over them, cumulative. Source: vLLM
    /// `request_queue_time_seconds_sum`, SGLang `queue_time_seconds_sum`; those below likewise.
    queue_ns: Option<u64> ["ns" Delta],
    /// Time of prompts, summed, cumulative. vLLM `request_prefill_time_seconds_sum`, llama.cpp `prompt_seconds_total`.
    prefill_ns: Option<u64> ["ns" Delta],
    /// Time of the responses' tokens, summed, cumulative. vLLM `request_decode_time_seconds_sum`, llama.cpp
    /// `tokens_predicted_seconds_total`.
    decode_ns: Option<u64> ["ns" Delta],
}
