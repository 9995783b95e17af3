//! Table `step`: calls of an inference engine's own functions.

use std::borrow::Cow;

use super::{table, word::words};

words! {
    /// What an engine does in a call.
    #[derive(Default)]
    StepKind {
        /// Computes a batch in which every sequence has one token: each goes on with its response. A prompt of one token, or
        /// the last of a longer one, looks like that as well.
        #[default]
        Decode = "decode",
        /// Computes a batch in which every sequence has several tokens: parts of prompts.
        Prefill = "prefill",
        /// Computes a batch of both.
        Mixed = "mixed",
        /// Computes a batch whose sequences are not known.
        Batch = "batch",
        /// Runs an encoder on a batch.
        Encode = "encode",
        /// Makes tokens of a text.
        Tokenise = "tokenise",
        /// Chooses a token; on a GPU it waits there for the batch as well.
        Sample = "sample",
        /// Makes a text of tokens.
        Detokenise = "detokenise",
        /// A round of the engine's loop: it plans a batch, has it computed and hands on what came of it. Those calls lie
        /// within it.
        Round = "round",
    }
}

impl StepKind {
    /// Whether it computes a batch.
    pub fn is_batch(self) -> bool {
        matches!(self, Self::Decode | Self::Prefill | Self::Mixed | Self::Batch | Self::Encode)
    }
}

table! {
    /// One row is a call of a function of the engine (llama.cpp) that a probe at it saw. A call within another of its
    /// thread's is no row, but for those within a round. All calls are counted in `histogram`.
    StepRow in "step" as StepColumns, span |row| (row.ts_mono_ns, row.ts_mono_ns + row.dur_ns);

    /// When it was entered, CLOCK_MONOTONIC. Source: a uprobe at the function.
    ts_mono_ns: u64 ["ns" Delta],
    /// Thread, in the initial pid namespace.
    tid: u32 ["" Dictionary],
    /// Process, in the initial pid namespace.
    tgid: u32 ["" Dictionary],
    /// The function: `llama_decode`, `llama_process`, `llama_tokenize`, `common_sampler_sample`, `update_slots`.
    name: Cow<'static, str> ["" Dictionary],
    /// What it does; of a batch, what it is made of.
    kind: StepKind ["" Dictionary],
    /// From its first instruction to its return; to the end of the recording, or of the thread, where `open_end`. With the
    /// probe's own time, which is about a microsecond. An engine on a GPU may return before the GPU is done.
    dur_ns: u64 ["ns" Plain],
    /// Of that, what the thread spent off the CPU: to the nanosecond the sum of its rows of `off_cpu` within. Null where the
    /// kernel did not tell the switch-in of a stay on a CPU that the call begins or ends in.
    off_cpu_ns: Option<u64> ["ns" Dictionary],
    /// Tokens of the batch, or made of a text. Null for other calls, and where
    /// it could not be read: `llama_process` has a batch that is laid out otherwise in every version.
    tokens: Option<u32> ["" Dictionary],
    /// Sequences in the batch, each a request's (its slot). Null for other calls, for a batch of over 512 tokens, and for
    /// one with a sequence numbered 64 or higher.
    sequences: Option<u32> ["" Dictionary],
    /// What it returned: 0 is success for a batch, the number of tokens for `llama_tokenize`. Null for `open_end`, and for a
    /// round.
    ret: Option<i32> ["" Dictionary],
    /// The call was open when its thread, or recording, ended.
    open_end: bool ["" Dictionary],
}
