//! Calls of an inference engine's functions: which are probed, how they are found, and a call as a row.
//!
//! The engine is llama.cpp, wherever its functions are: `libllama.so`, a server that is linked with it, a module of Python's.
//! Functions of its interface have C's names and keep their arguments. Those of its server and of `common` have C++'s names,
//! which a server without symbols lacks; nothing is read of their arguments.

use std::{borrow::Cow, collections::BTreeMap};

use hostprof_common::{
    function::{Args, Batch, Call, Cookie, ENGINE_FIRST, flag, lane},
    span::OFF_CPU_UNKNOWN,
};

use super::function::FunctionProbe;
use crate::table::{
    StepKind::{self, Detokenise, Encode, Round, Sample, Tokenise},
    StepRow, ThreadRow,
};

/// How a function is known by its symbol.
#[derive(Clone, Copy, Debug)]
enum Symbol {
    /// It is this.
    Is(&'static str),
    /// It begins so.
    Begins(&'static str),
    /// A member of a class, whose name holds the first and ends with the second.
    Member(&'static str, &'static str),
}

impl Symbol {
    fn is(self, symbol: &str) -> bool {
        match self {
            Self::Is(name) => symbol == name,
            // Parts that the compiler took out of a function have a dot in their names.
            Self::Begins(begin) => symbol.starts_with(begin) && !symbol.contains('.'),
            Self::Member(class, end) => {
                symbol.starts_with("_ZN") && symbol.contains(class) && symbol.ends_with(end)
            }
        }
    }
}

/// A call that is probed.
#[derive(Clone, Copy, Debug)]
pub struct EngineCall {
    /// As rows have it.
    pub name: &'static str,
    symbol: Symbol,
    /// What it does; of a batch, where its sequences are not known.
    kind: StepKind,
}

const fn of(kind: StepKind, name: &'static str) -> EngineCall {
    EngineCall { name, symbol: Symbol::Is(name), kind }
}

/// Every call that is probed; its place is its number, from [`ENGINE_FIRST`] on.
pub const ENGINE_CALLS: &[EngineCall] = &[
    of(StepKind::Batch, "llama_decode"),
    of(Encode, "llama_encode"),
    of(StepKind::Batch, "llama_process"),
    of(Tokenise, "llama_tokenize"),
    of(Sample, "llama_sampler_sample"),
    EngineCall {
        name: "common_sampler_sample",
        symbol: Symbol::Begins("_Z21common_sampler_sampleP14common_sampler"),
        kind: Sample,
    },
    of(Detokenise, "llama_token_to_piece"),
    of(Detokenise, "llama_detokenize"),
    EngineCall {
        name: "update_slots",
        symbol: Symbol::Member("server_context", "12update_slotsEv"),
        kind: Round,
    },
];

/// A file of the engine, or that uses it, has one of these symbols.
pub const ENGINE_MARKS: &[&str] = &["llama_decode", "llama_process"];

/// The functions of a file to be probed, one for each place in it, by the names and places of all of them.
pub fn engine_probes<'a>(functions: impl Iterator<Item = (&'a str, u64)>) -> Vec<FunctionProbe> {
    let mut probes: BTreeMap<u64, FunctionProbe> = BTreeMap::new();
    for (symbol, offset) in functions {
        let Some(number) = ENGINE_CALLS.iter().position(|call| call.symbol.is(symbol)) else { continue };
        let kind = ENGINE_CALLS[number].kind;
        let cookie = Cookie {
            call: ENGINE_FIRST + number as u16,
            lane: if kind == Round { lane::ENGINE_ROUND } else { lane::ENGINE },
            args: match ENGINE_CALLS[number].name {
                "llama_process" => Args::Extended,
                _ if kind.is_batch() => Args::Batch,
                _ => Args::None,
            },
        };
        probes.entry(offset).or_insert(FunctionProbe { offset, cookie, only_counted: false });
    }
    probes.into_values().collect()
}

/// The call of a number.
pub fn engine_call(number: u16) -> Option<&'static EngineCall> {
    ENGINE_CALLS.get(usize::from(number.checked_sub(ENGINE_FIRST)?))
}

/// A call that returned, or that its thread ended in, as a row; `None` for one that this version does not know.
pub fn row(call: &Call, thread: &ThreadRow) -> Option<StepRow> {
    let of = engine_call(call.call)?;
    let open_end = call.flags & flag::OPEN != 0;
    let ret = (!open_end && of.kind != Round).then_some(call.ret);
    let batch = (of.kind.is_batch() && call.flags & flag::TOLD != 0).then(|| Batch::unpack(call.told));
    let sequences = batch.map(|batch| batch.sequences).filter(|sequences| *sequences > 0);
    let kind = match (of.kind, batch.zip(sequences)) {
        (StepKind::Batch, _) if batch.is_some_and(|batch| batch.encode) => Encode,
        (StepKind::Batch, Some((Batch { several, .. }, sequences))) => match several {
            0 => StepKind::Decode,
            _ if several == sequences => StepKind::Prefill,
            _ => StepKind::Mixed,
        },
        (kind, _) => kind,
    };
    Some(StepRow {
        ts_mono_ns: call.enter_ns,
        tid: thread.tid,
        tgid: thread.tgid,
        name: Cow::Borrowed(of.name),
        kind,
        dur_ns: call.exit_ns.saturating_sub(call.enter_ns),
        off_cpu_ns: (call.off_cpu_ns != OFF_CPU_UNKNOWN).then_some(call.off_cpu_ns),
        tokens: match kind {
            // One that had too little room says, below zero, how much it needs.
            Tokenise => ret.and_then(|ret| u32::try_from(ret).ok()),
            _ => batch.map(|batch| batch.tokens),
        },
        sequences: sequences.map(u32::from),
        ret,
        open_end,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(call: &str, told: Option<Batch>, ret: i32) -> StepRow {
        let number = ENGINE_CALLS.iter().position(|known| known.name == call).unwrap();
        let call = Call {
            call: ENGINE_FIRST + number as u16,
            enter_ns: 100,
            exit_ns: 350,
            told: told.map_or(0, Batch::pack),
            flags: if told.is_some() { flag::TOLD } else { 0 },
            ret,
            ..Call::default()
        };
        row(&call, &ThreadRow { tid: 7, ..ThreadRow::default() }).unwrap()
    }

    #[test]
    fn a_batch_is_told_by_its_sequences() {
        let of = |tokens, sequences, several| {
            let row = told("llama_decode", Some(Batch { tokens, sequences, several, encode: false }), 0);
            (row.kind, row.tokens, row.sequences)
        };
        assert_eq!(of(3, 3, 0), (StepKind::Decode, Some(3), Some(3)));
        assert_eq!(of(90, 1, 1), (StepKind::Prefill, Some(90), Some(1)));
        assert_eq!(of(90, 4, 1), (StepKind::Mixed, Some(90), Some(4)));
        assert_eq!(of(2000, 0, 0), (StepKind::Batch, Some(2000), None));
        let encode = Some(Batch { tokens: 9, encode: true, ..Batch::NONE });
        assert_eq!(told("llama_process", encode, 0).kind, Encode);
        let unread = told("llama_decode", None, 1);
        assert_eq!((unread.kind, unread.tokens, unread.ret), (StepKind::Batch, None, Some(1)));
        assert_eq!((unread.tid, unread.dur_ns), (7, 250));
    }

    #[test]
    fn a_text_has_the_tokens_that_were_made_of_it() {
        assert_eq!(told("llama_tokenize", None, 12).tokens, Some(12));
        assert_eq!(told("llama_tokenize", None, -12).tokens, None);
        let round = told("update_slots", None, 99);
        assert_eq!((round.kind, round.ret), (Round, None));
    }

    #[test]
    fn functions_are_known_by_their_symbols_and_a_place_is_probed_once() {
        let symbols = [
            ("llama_decode", 1),
            ("llama_decode_other", 2),
            ("_Z21common_sampler_sampleP14common_samplerP13llama_contextib", 3),
            ("_Z21common_sampler_sampleP14common_samplerP13llama_contextib.cold", 4),
            ("_ZN19server_context_impl12update_slotsEv", 5),
            ("_ZN14server_context12update_slotsEv", 6),
            ("_ZN14server_context12update_slotsEv.cold", 7),
            ("llama_tokenize", 8),
            ("llama_detokenize", 8),
        ];
        let found: Vec<_> = engine_probes(symbols.into_iter())
            .iter()
            .map(|probe| (engine_call(probe.cookie.call).unwrap().name, probe.offset, probe.cookie.lane))
            .collect();
        assert_eq!(
            found,
            [
                ("llama_decode", 1, lane::ENGINE),
                ("common_sampler_sample", 3, lane::ENGINE),
                ("update_slots", 5, lane::ENGINE_ROUND),
                ("update_slots", 6, lane::ENGINE_ROUND),
                ("llama_tokenize", 8, lane::ENGINE),
            ]
        );
    }
}
