//! Table `token`: when each token, or chunk of tokens, of a streamed response was.

use super::{RequestSource, table};

table! {
    /// One row is an event of a streamed response that carries tokens: one, several, or none where the server holds
    /// back an incomplete character. Gaps between successive rows of a request are its inter-token latencies, as its
    /// source saw them: a client when it received each, `kernel` when the server had sent it.
    TokenRow in "token" as TokenColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns);

    /// The request: see `request.request_id`.
    request_id: String ["" Dictionary],
    /// Its place in the response, from 0.
    index: u32 ["" Delta],
    /// When it was, CLOCK_MONOTONIC.
    ts_mono_ns: u64 ["ns" Delta],
    /// Who saw it.
    source: RequestSource ["" Dictionary],
}
