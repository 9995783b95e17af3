//! Importers against input that is damaged, mixed up and made up: none may panic, take more than is there, or keep text.
//!
//! Inputs are a function of a seed. A run of the suite tries a hundred thousand of each; the long run is
//! `HOSTPROF_FUZZ_INPUTS=10000000 cargo test --release -p hostprof --test import_fuzz`.

use std::{collections::HashSet, thread};

use hostprof::import::{FORMATS, Format, read, read_as};

/// What a text of a prompt or an answer is in every real input.
const TEXT: &str = "planted words";

/// Small real inputs, a request or two each, one for each format in its order.
const SEEDS: [&str; 8] = [
    concat!(
        r#"{"format":"hostprof-load/1","version":"0.1.0","mono_ns":26571000000000,"wall_ns":1795672644000000000,"url":"http://h:1"}"#,
        "\n",
        r#"{"request_id":"a-0","arrival_mono_ns":26571100000000,"send_mono_ns":26571100010000,"first_token_mono_ns":26571150000000,"end_mono_ns":26571190000000,"output_tokens":3,"chunks":2,"endpoint":"chat","error":null,"source":"load","join_tier":"monotonic","join_error_ns":0,"number":0,"retries":0,"wanted_input_tokens":60,"wanted_output_tokens":3,"token_mono_ns":[26571150000000,26571160000000]}"#
    ),
    r#"{"date":"20261126-055139","endpoint_type":"openai","backend":"openai","request_rate":Infinity,"input_lens":[60,61],"output_lens":[3,0],"ttfts":[0.111028604,0.0],"itls":[[0.0007738,7.664e-06],[]],"latencies":[0.138296155,0.0],"start_times":[26484.368952882,26484.369168066],"generated_texts":["planted words",""],"errors":["","Timeout: planted words"]}"#,
    r#"{"backend":"sglang","dataset_name":"random","request_rate":Infinity,"input_lens":[60,60],"output_lens":[3,3],"ttfts":[0.0523,0.0731],"itls":[[0.011,0.0121],[0.0131,0.0129]],"generated_texts":["planted words","b"],"errors":["",""]}"#,
    concat!(
        r#"{"request_parameters":"{\"text\": \"planted words\"}","id":"b9a7c4","finish_reason":{"type":"stop","matched":"planted words"},"prompt_tokens":60,"completion_tokens":8,"cached_tokens":16,"e2e_latency":0.2412,"request_received_ts":1795672557.1,"request_finished_ts":1795672557.3412,"queue_time":0.0021,"forward_entry_time":1795672557.1031,"prefill_finished_ts":1795672557.161,"inference_time":0.2381}"#,
        "\n",
        r#"{"request_parameters":"{}","meta_info":{"id":"c0","e2e_latency":0.05,"finish_reason":null}}"#
    ),
    concat!(
        r#"{"metadata":{"x_request_id":"32ac9288-cff5","request_start_ns":1795672529148862463,"request_end_ns":1795672529213649975,"was_cancelled":false},"metrics":{"time_to_first_token":{"value":64.787511,"unit":"ms"},"inter_chunk_latency":{"value":[0.0,1.5],"unit":"ms"},"request_latency":{"value":66.4,"unit":"ms"},"usage_prompt_tokens":{"value":84,"unit":"tokens"}}}"#,
        "\n",
        r#"{"metadata":{"x_request_id":"6a3420e1","request_start_ns":1795672529137339657,"request_end_ns":1795672529212308228},"metrics":{},"error":{"code":503,"type":"HTTPError","message":"planted words"}}"#
    ),
    r#"{"benchmarks":[{"requests":{"successful":[{"request_id":"07679d14","output":"planted words","request_start_time":1795672557.6621299,"request_end_time":1795672559.1708972,"time_to_first_token_ms":242.53,"prompt_tokens":110,"output_tokens":16,"cached_tokens":0,"info":{"error":null,"timings":{"first_token_iteration":1795672557.9046614}}}],"errored":[{"request_id":"1","request_start_time":1795672557.7,"info":{"error":"planted words"}}],"incomplete":null}}]}"#,
    concat!(
        r#"{"content":"planted words","stop":true,"stop_type":"limit","timings":{"cache_n":0,"prompt_n":8,"prompt_ms":0.581,"predicted_n":8,"predicted_ms":1.147}}"#,
        "\n",
        r#"data: {"choices":[{"text":"planted words","finish_reason":"length"}],"created":1795672301,"object":"text_completion","id":"chatcmpl-lQYp","timings":{"cache_n":5,"prompt_n":1,"prompt_ms":0.535,"predicted_n":4,"predicted_ms":0.568}}"#,
        "\n\ndata: [DONE]\n"
    ),
    r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"spanId":"e1","parentSpanId":"","startTimeUnixNano":"1795672557000000000","endTimeUnixNano":"1795672557290000000","attributes":[{"key":"gen_ai.request.id","value":{"stringValue":"cmpl-r1-0"}},{"key":"gen_ai.prompt","value":{"stringValue":"planted words"}},{"key":"gen_ai.latency.time_to_first_token","value":{"doubleValue":0.05}},{"key":"gen_ai.usage.prompt_tokens","value":{"intValue":"60"}},{"key":"gen_ai.response.finish_reasons","value":{"arrayValue":{"values":[{"stringValue":"stop"}]}}}],"status":{"code":1}}]}]}]}"#,
];

/// What is put in: numbers at the edges, the grammar's own marks, names of other formats.
const PIECES: [&str; 32] = [
    "0",
    "-1",
    "1e308",
    "1e-320",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "NaN",
    "Infinity",
    "-Infinity",
    "null",
    "true",
    "\"\"",
    "{}",
    "[]",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\n",
    "\u{0}",
    "\u{ff}",
    "\"id\":\"",
    "\"created\":99999999999999999999",
    "\"ttfts\":",
    "\"timings\":",
    "data: ",
    "[[[[[[[[[[[[[[[[[[[[",
];

/// `SplitMix64`: as good as is needed, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }
}

/// An input: one in sixteen is arbitrary bytes, the others a real one with one to four changes.
fn input(seed: &str, random: &mut Random, out: &mut Vec<u8>) {
    out.clear();
    if random.below(16) == 0 {
        let length = random.below(300);
        out.extend((0..length).map(|_| random.next() as u8));
        return;
    }
    out.extend_from_slice(seed.as_bytes());
    for _ in 0..=random.below(4) {
        let at = random.below(out.len());
        let end = (at + 1 + random.below(24)).min(out.len());
        match random.below(8) {
            0 if !out.is_empty() => out[at] = random.next() as u8,
            1 if !out.is_empty() => out[at] ^= 1 << random.below(8),
            2 => out.truncate(at),
            3 => drop(out.drain(at..end)),
            4 => {
                let again = out[at..end].to_vec();
                out.splice(at..at, again);
            }
            5 => {
                let other = SEEDS[random.below(SEEDS.len())].as_bytes();
                let from = random.below(other.len());
                let to = (from + random.below(60)).min(other.len());
                out.splice(at..end, other[from..to].iter().copied());
            }
            6 => number(random, out),
            _ => {
                let piece = PIECES[random.below(PIECES.len())].as_bytes();
                out.splice(at..end, piece.iter().copied());
            }
        }
    }
}

/// Puts another number in one's place.
fn number(random: &mut Random, out: &mut Vec<u8>) {
    let from = random.below(out.len());
    let Some(at) = out[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let end = out[at..].iter().position(|byte| !byte.is_ascii_digit()).map_or(out.len(), |end| at + end);
    let piece = PIECES[random.below(11)].as_bytes();
    out.splice(at..end, piece.iter().copied());
}

/// What holds of every reading.
fn hold(format: &Format, text: &[u8]) -> usize {
    let found = read_as(format, text);
    assert!(found.requests.len() + found.bad_count as usize <= text.len() + 1, "more told than is there");
    assert!(found.bad.len() as u64 <= found.bad_count);
    for told in &found.requests {
        let row = &told.row;
        assert_eq!(row.source, format.source);
        assert!(told.token_ns.len() <= text.len(), "more chunks than is there");
        assert!(told.token_ns.is_sorted(), "chunks go back");
        assert!(row.end_mono_ns.is_none_or(|end| end >= row.arrival_mono_ns), "ends before it begins");
        assert!(
            row.first_token_mono_ns.is_none_or(|first| first >= row.arrival_mono_ns),
            "first token before its arrival"
        );
        let texts = [Some(&row.request_id), row.finish_reason.as_ref()];
        assert!(texts.iter().flatten().all(|text| text.len() <= 128 && !text.contains(TEXT)), "keeps text");
    }
    found.requests.len()
}

fn inputs() -> u64 {
    std::env::var("HOSTPROF_FUZZ_INPUTS")
        .ok()
        .map_or(100_000, |value| value.parse().expect("a number of inputs"))
}

#[test]
fn every_seed_is_read_in_full() {
    for (format, seed) in FORMATS.iter().zip(SEEDS) {
        let reading = read(seed.as_bytes()).expect("a seed is of its format");
        assert_eq!(reading.format.source, format.source);
        assert_eq!(reading.found.bad_count, 0, "{}: {:?}", format.source, reading.found.bad);
    }
    let sources: HashSet<String> = FORMATS.iter().map(|format| format.source.to_string()).collect();
    assert_eq!(sources.len(), SEEDS.len(), "a seed for each format");
}

#[test]
fn no_input_panics_or_is_told_as_more_than_it_holds() {
    let inputs = inputs();
    thread::scope(|scope| {
        for (number, format) in FORMATS.iter().enumerate() {
            scope.spawn(move || {
                let mut random = Random(number as u64);
                let (mut text, mut requests) = (Vec::new(), 0);
                for _ in 0..inputs {
                    input(SEEDS[number], &mut random, &mut text);
                    requests += hold(format, &text);
                }
                eprintln!("{}: {inputs} inputs, {requests} requests", format.source);
                assert!(requests as u64 > inputs / 50, "most inputs must reach beyond the grammar");
            });
        }
    });
}

#[test]
fn whatever_is_read_as_any_format_ends() {
    let mut random = Random(99);
    let mut text = Vec::new();
    for number in 0..inputs().min(50_000) {
        input(SEEDS[number as usize % SEEDS.len()], &mut random, &mut text);
        if let Err(tried) = read(&text) {
            assert_eq!(tried.len(), FORMATS.len(), "every format says why");
        }
    }
}
